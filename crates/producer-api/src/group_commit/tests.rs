//! Group commit against a sink that answers when the test says so.

mod harness;

use stream_core::ErrorKind;
use tokio::time::Instant;

use self::harness::{Harness, far, ids, orders};
use super::{Cause, Failure, Outcome, Stored};

const OOM: Failure = Failure::not_stored(Cause::Redis(ErrorKind::OutOfMemory));

#[tokio::test]
async fn a_single_event_does_not_wait_for_company() {
    let mut harness = Harness::start(100, 10, 1);
    let ticket = harness.submit("a", 1).unwrap();
    let call = harness.call().await;
    assert_eq!(call.orders, orders("a", 0..1));
    call.answer(ids(1..=1));
    assert_eq!(ticket.outcomes(far()).await, ids(1..=1));
}

#[tokio::test]
async fn what_queued_during_a_write_goes_out_as_one_pipeline_with_an_outcome_each() {
    let mut harness = Harness::start(100, 10, 1);
    let first = harness.submit("first", 1).unwrap();
    let call = harness.call().await;
    let queued: Vec<_> = ["a", "b", "c"].map(|name| harness.submit(name, 1).unwrap()).into();
    call.answer(ids(1..=1));
    assert_eq!(first.outcomes(far()).await, ids(1..=1));

    let call = harness.call().await;
    assert_eq!(call.orders, ["a-0", "b-0", "c-0"]);
    let outcomes = [ids(2..=2), vec![Err(OOM)], ids(3..=3)];
    call.answer(outcomes.concat());
    for (ticket, outcome) in queued.into_iter().zip(outcomes) {
        assert_eq!(ticket.outcomes(far()).await, outcome);
    }
    assert_eq!(harness.counted("stored"), 3);
    assert_eq!(harness.counted("failed"), 1);
    assert_eq!(harness.metric("producer_append_batch_size_sum"), 4);
    assert_eq!(harness.metric("producer_append_batch_size_count"), 2);
    assert_eq!(harness.metric("producer_queue_events"), 0);
}

#[tokio::test]
async fn so_many_pipelines_are_in_flight_and_no_more() {
    let mut harness = Harness::start(100, 1, 2);
    let tickets: Vec<_> = ["a", "b", "c"].map(|name| harness.submit(name, 1).unwrap()).into();
    let one = harness.call().await;
    let two = harness.call().await;
    assert!(harness.no_call().await, "a third pipeline before one of the two was answered");
    two.answer(ids(1..=1));
    let three = harness.call().await;
    one.answer(ids(2..=2));
    three.answer(ids(3..=3));
    for ticket in tickets {
        assert!(ticket.outcomes(far()).await[0].is_ok());
    }
}

#[tokio::test]
async fn a_large_batch_goes_out_in_order_each_part_after_the_one_before() {
    let mut harness = Harness::start(100, 4, 3);
    let ticket = harness.submit("batch", 10).unwrap();
    let other = harness.submit("other", 1).unwrap();
    let first = harness.call().await;
    assert_eq!(first.orders, orders("batch", 0..4));
    // An idle writer takes what came later, but not the batch's next part.
    let second = harness.call().await;
    assert_eq!(second.orders, orders("other", 0..1));
    assert!(harness.no_call().await);

    first.answer(ids(1..=4));
    let third = harness.call().await;
    assert_eq!(third.orders, orders("batch", 4..8));
    let late = harness.submit("late", 1).unwrap();
    let fourth = harness.call().await;
    third.answer(ids(5..=8));
    let fifth = harness.call().await;
    assert_eq!(fifth.orders, orders("batch", 8..10));
    fifth.answer(ids(9..=10));
    assert_eq!(ticket.outcomes(far()).await, ids(1..=10));
    second.answer(ids(11..=11));
    fourth.answer(ids(12..=12));
    assert!(other.outcomes(far()).await[0].is_ok() && late.outcomes(far()).await[0].is_ok());
    assert_eq!(harness.metric("producer_queue_events"), 0);
}

#[tokio::test]
async fn parts_and_single_events_share_pipelines() {
    let mut harness = Harness::start(100, 4, 1);
    let _held = harness.submit("first", 1).unwrap();
    let first = harness.call().await;
    let _single = harness.submit("single", 1).unwrap();
    let batch = harness.submit("batch", 5).unwrap();
    first.answer(ids(1..=1));
    let call = harness.call().await;
    assert_eq!(call.orders, ["single-0", "batch-0", "batch-1", "batch-2"]);
    call.answer(ids(2..=5));
    let call = harness.call().await;
    assert_eq!(call.orders, orders("batch", 3..5));
    call.answer(ids(6..=7));
    assert_eq!(batch.outcomes(far()).await, ids(3..=7));
}

#[tokio::test]
async fn after_a_failed_part_nothing_further_is_written() {
    let mut harness = Harness::start(100, 2, 1);
    let ticket = harness.submit("batch", 6).unwrap();
    let call = harness.call().await;
    call.answer(ids(1..=2));
    let call = harness.call().await;
    call.answer(vec![Ok(harness::id(3)), Err(OOM)]);
    let expected: Vec<Outcome> = [ids(1..=3), vec![Err(OOM); 3]].concat();
    assert_eq!(ticket.outcomes(far()).await, expected);
    harness.stop().await.unwrap();
    assert!(harness.no_call().await);
    assert_eq!((harness.counted("stored"), harness.counted("failed")), (3, 3));
    assert_eq!(harness.metric("producer_queue_events"), 0);
}

#[tokio::test]
async fn a_request_that_ended_is_not_written_late() {
    let mut harness = Harness::start(100, 10, 1);
    let _held = harness.submit("first", 1).unwrap();
    let call = harness.call().await;
    let gone = harness.submit("gone", 1).unwrap();
    let late = harness.submit("late", 2).unwrap();
    let waits = harness.submit("waits", 1).unwrap();
    drop(gone);
    let no = Failure::not_stored(Cause::Deadline);
    assert_eq!(late.outcomes(Instant::now()).await, [Err(no), Err(no)]);
    call.answer(ids(1..=1));
    let call = harness.call().await;
    assert_eq!(call.orders, orders("waits", 0..1));
    call.answer(ids(2..=2));
    assert_eq!(waits.outcomes(far()).await, ids(2..=2));
    assert_eq!(harness.counted("failed"), 3);
}

#[tokio::test]
async fn at_the_deadline_what_was_sent_is_unknown_and_the_rest_is_not_stored() {
    let mut harness = Harness::start(100, 2, 1);
    let ticket = harness.submit("batch", 6).unwrap();
    harness.call().await.answer(ids(1..=2));
    let call = harness.call().await;
    let outcomes = ticket.outcomes(Instant::now()).await;
    let unknown = Failure::unknown(Cause::Deadline);
    let no = Failure::not_stored(Cause::Deadline);
    let expected: Vec<Outcome> =
        [ids(1..=2), vec![Err(unknown), Err(unknown)], vec![Err(no), Err(no)]].concat();
    assert_eq!(outcomes, expected);

    call.answer(ids(3..=4));
    harness.stop().await.unwrap();
    assert!(harness.no_call().await, "what was told to be not stored must never be written");
    assert_eq!((harness.counted("stored"), harness.counted("failed")), (4, 2), "the metrics know better");
}

#[tokio::test]
async fn a_full_queue_refuses_whole_requests() {
    let mut harness = Harness::start(3, 10, 1);
    let _held = harness.submit("first", 1).unwrap();
    let _call = harness.call().await;
    let _two = harness.submit("two", 2).unwrap();
    assert_eq!(harness.submit("four", 2).unwrap_err(), Failure::not_stored(Cause::QueueFull));
    let three = harness.submit("three", 1).unwrap();
    assert!(harness.submit("four", 1).is_err());
    assert_eq!(harness.metric("producer_queue_events"), 3);
    assert_eq!(harness.counted("failed"), 3);
    drop(three);
    assert!(harness.submit("four", 1).is_err(), "an older request still waits before it");
}

#[tokio::test]
async fn who_can_wait_is_refused_by_a_full_queue_only_at_the_deadline() {
    let mut harness = Harness::start(1, 1, 1);
    let _first = harness.submit("first", 1).unwrap();
    let call = harness.call().await;
    let _second = harness.submit("second", 1).unwrap();
    let full = Failure::not_stored(Cause::QueueFull);
    assert_eq!(harness.submit_by("third", Instant::now()).await.unwrap_err(), full);
    assert_eq!(harness.counted("failed"), 1);

    let waiting = harness.submit_by("third", far());
    let (third, call) = tokio::join!(waiting, async {
        call.answer(ids(1..=1));
        harness.call().await
    });
    call.answer(ids(2..=2));
    let call = harness.call().await;
    assert_eq!(call.orders, ["third-0"]);
    call.answer(ids(3..=3));
    assert_eq!(third.unwrap().outcomes(far()).await, ids(3..=3));
    assert_eq!(harness.counted("failed"), 1, "waiting is no failure");
}

#[tokio::test]
async fn requests_that_ended_make_room() {
    let mut harness = Harness::start(3, 10, 1);
    let _held = harness.submit("first", 1).unwrap();
    let call = harness.call().await;
    drop(harness.submit("two", 2).unwrap());
    drop(harness.submit("three", 1).unwrap());
    let four = harness.submit("four", 2).unwrap();
    call.answer(ids(1..=1));
    let call = harness.call().await;
    assert_eq!(call.orders, orders("four", 0..2));
    call.answer(ids(2..=3));
    assert_eq!(four.outcomes(far()).await, ids(2..=3));
}

#[tokio::test]
async fn a_batch_beyond_the_capacity_is_taken_by_an_empty_queue() {
    let mut harness = Harness::start(3, 10, 1);
    let ticket = harness.submit("batch", 8).unwrap();
    harness.call().await.answer(ids(1..=8));
    assert_eq!(ticket.outcomes(far()).await, ids(1..=8));
}

#[tokio::test]
async fn the_size_of_waiting_bodies_is_bounded_too() {
    let harness = Harness::start(1_000_000, 10, 0);
    let body = 1024 * 1024;
    let mut tickets = Vec::new();
    while let Ok(ticket) = harness.submit_sized("big", 1, body) {
        tickets.push(ticket);
        assert!(tickets.len() <= 64, "the queue grows without bound");
    }
    assert_eq!(tickets.len(), 64);
}

#[tokio::test]
async fn a_pipeline_of_large_events_is_cut_by_size() {
    let mut harness = Harness::start(100, 50, 1);
    let _held = harness.submit("first", 1).unwrap();
    let call = harness.call().await;
    let _big: Vec<_> = (0..6).map(|_| harness.submit_sized("big", 1, 1024 * 1024).unwrap()).collect();
    call.answer(ids(1..=1));
    assert_eq!(harness.call().await.orders.len(), 4);
}

#[tokio::test]
async fn a_closed_queue_is_emptied_and_takes_no_more() {
    let mut harness = Harness::start(100, 1, 1);
    let tickets: Vec<_> = ["a", "b"].map(|name| harness.submit(name, 1).unwrap()).into();
    let call = harness.call().await;
    harness.close();
    assert_eq!(harness.submit("c", 1).unwrap_err(), Failure::not_stored(Cause::ShuttingDown));
    call.answer(ids(1..=1));
    harness.call().await.answer(ids(2..=2));
    for ticket in tickets {
        assert!(ticket.outcomes(far()).await[0].is_ok());
    }
    harness.stop().await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let mut harness = Harness::start(100, 1, 1);
    let ticket = harness.submit("a", 1).unwrap();
    let _unanswered = harness.call().await;
    harness.stop_by(Instant::now()).await.unwrap();
    assert_eq!(ticket.outcomes(far()).await[0].unwrap_err().stored, Stored::Unknown);
}

#[tokio::test]
async fn a_lost_writer_leaves_nobody_waiting_and_is_reported() {
    let mut harness = Harness::start(100, 2, 1);
    let ticket = harness.submit("a", 3).unwrap();
    harness.call().await.panic();
    let (unknown, no) =
        (Err(Failure::unknown(Cause::WriterLost)), Err(Failure::not_stored(Cause::WriterLost)));
    assert_eq!(ticket.outcomes(far()).await, [unknown, unknown, no]);
    assert!(harness.writers_failed().await.to_string().contains("a writer failed"));
}

#[tokio::test]
async fn missing_outcomes_are_unknown() {
    let mut harness = Harness::start(100, 2, 1);
    let ticket = harness.submit("a", 2).unwrap();
    harness.call().await.answer(ids(1..=1));
    let outcomes = ticket.outcomes(far()).await;
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1].unwrap_err().stored, Stored::Unknown);
}
