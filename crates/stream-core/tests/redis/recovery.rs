//! Recovery: claiming idle entries, the reaper's sweep, the end of a dead consumer.

use std::time::Duration;

use stream_core::{ClaimRequest, Fields, Lease, Retired, StreamId, Take};

use crate::support::{Bench, GROUP, text};

const HOUR: Duration = Duration::from_hours(1);

fn request<'a>() -> ClaimRequest<'a> {
    ClaimRequest {
        group: GROUP,
        consumer: "b",
        min_idle: Duration::from_mins(1),
        after: None,
        page: 10,
        max_deliveries: 5,
        suspect_deliveries: 2,
        suspects_allowed: 1,
        owner: None,
        only: &[],
        again: false,
    }
}

/// `count` entries, delivered to `a` an hour ago.
async fn abandoned(bench: &Bench, count: usize) -> Vec<StreamId> {
    let ids = bench.append(count).await;
    bench.deliver_to("a", count).await;
    for id in &ids {
        bench.set_row("a", *id, 1, HOUR).await;
    }
    ids
}

#[tokio::test]
async fn claims_page_through_the_list_in_order() {
    let bench = Bench::with_group().await;
    let ids = abandoned(&bench, 25).await;
    bench.set_row("a", ids[7], 1, Duration::ZERO).await;
    let (mut claimed, mut after) = (Vec::new(), None);
    loop {
        let page = bench.stream.claim_idle(&ClaimRequest { after, ..request() }).await.unwrap();
        assert!(page.entries.iter().all(|entry| entry.deliveries == 2));
        claimed.extend(page.entries.into_iter().map(|claimed| claimed.entry.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<_> = ids.iter().copied().filter(|id| *id != ids[7]).collect();
    assert_eq!(claimed, expected);
    let owners = bench.owners().await;
    assert!(owners.iter().all(|(id, owner, deliveries)| match owner.as_str() {
        "a" => *id == ids[7] && *deliveries == 1,
        _ => *deliveries == 2,
    }));
}

#[tokio::test]
async fn a_claim_settles_what_cannot_be_handled_any_more() {
    let bench = Bench::with_group().await;
    let ids = abandoned(&bench, 6).await;
    bench.set_row("a", ids[0], 5, HOUR).await;
    bench.cmd::<i64>(&format!("XDEL $stream {} {}", ids[1], ids[2])).await;
    bench.set_row("a", ids[3], 2, HOUR).await;
    bench.set_row("a", ids[4], 4, HOUR).await;
    let claimed = bench.stream.claim_idle(&request()).await.unwrap();
    let entries: Vec<_> = claimed.entries.iter().map(|c| (c.entry.id, c.deliveries)).collect();
    assert_eq!(entries, [(ids[3], 3), (ids[5], 2)], "one suspect, and everything that is none");
    assert_eq!((claimed.dead, claimed.lost), (vec![ids[0]], vec![ids[1], ids[2]]));
    assert_eq!(claimed.suspects, [(ids[4], 4)]);
    let left: Vec<_> = bench.owners().await.into_iter().map(|(id, owner, _)| (id, owner)).collect();
    assert_eq!(left, [(ids[3], "b".into()), (ids[4], "a".into()), (ids[5], "b".into())]);
    let dead = |id: StreamId, reason: &str| (id.to_string(), reason.to_owned());
    let lost = "payload_lost";
    let expected = [dead(ids[0], "max_deliveries"), dead(ids[1], lost), dead(ids[2], lost)];
    assert_eq!(bench.dead().await, expected);
}

#[tokio::test]
async fn a_claim_of_the_own_entries_takes_no_others() {
    let bench = Bench::with_group().await;
    let ids = bench.append(4).await;
    bench.deliver_to("a", 2).await;
    bench.deliver_to("b", 2).await;
    let own = ClaimRequest { min_idle: Duration::ZERO, owner: Some("b"), ..request() };
    let claimed = bench.stream.claim_idle(&own).await.unwrap();
    assert_eq!(claimed.entries.iter().map(|c| c.entry.id).collect::<Vec<_>>(), ids[2..]);
}

#[tokio::test]
async fn an_exhausted_entry_too_wide_for_a_script_is_dead_lettered() {
    let bench = Bench::with_group().await;
    let fields: Fields = (0..4_000).map(|n| (format!("f{n}"), "v")).collect();
    let wide = bench.stream.append(fields.iter()).await.unwrap();
    let other = bench.append(1).await[0];
    bench.deliver_to("a", 2).await;
    bench.set_row("a", wide, 6, HOUR).await;
    bench.set_row("a", other, 1, HOUR).await;
    let claimed = bench.stream.claim_idle(&request()).await.unwrap();
    assert_eq!((claimed.dead, claimed.entries.len()), (vec![wide], 1));
    let letter = bench.dead_letters().await.pop().unwrap();
    assert!(letter.fields.iter().skip(7).eq(fields.iter()));
    assert_eq!((text(&letter, "_dl_deliveries"), text(&letter, "_dl_consumer")), ("6".into(), "a".into()));
}

fn reaper(bench: &Bench, value: &str) -> Lease {
    let key = bench.stream.key().reaper_lease();
    Lease::new(bench.stream.connection().clone(), key, value.to_owned(), HOUR)
}

async fn sweep(
    bench: &Bench,
    value: &str,
    after: Option<StreamId>,
    page: usize,
) -> Option<stream_core::SweepPage> {
    let minute = Duration::from_mins(1);
    bench.stream.sweep(GROUP, value, minute, after, page, 5).await.expect("a sweep")
}

#[tokio::test]
async fn a_sweep_dead_letters_the_exhausted_and_the_trimmed() {
    let bench = Bench::with_group().await;
    assert_eq!(reaper(&bench, "me").take(None).await.unwrap(), Take::Taken);
    let ids = abandoned(&bench, 6).await;
    bench.set_row("a", ids[3], 5, HOUR).await;
    bench.set_row("a", ids[4], 5, Duration::ZERO).await;
    bench.cmd::<i64>(&format!("XTRIM $stream MINID = {}", ids[2])).await;
    let first = sweep(&bench, "me", None, 3).await.unwrap();
    assert_eq!((first.lost, first.dead, first.next), (vec![ids[0], ids[1]], vec![], Some(ids[2])));
    let second = sweep(&bench, "me", Some(ids[2]), 3).await.unwrap();
    assert_eq!((second.lost, second.dead, second.next), (vec![], vec![ids[3]], None));
    let left: Vec<_> = bench.rows().await.into_iter().map(|row| row.id).collect();
    assert_eq!(left, [ids[2], ids[4], ids[5]], "not exhausted, or not idle: its last attempt may run");
    let dead = |id: StreamId, reason: &str| (id.to_string(), reason.to_owned());
    let lost = "payload_lost";
    assert_eq!(bench.dead().await, [dead(ids[0], lost), dead(ids[1], lost), dead(ids[3], "max_deliveries")]);
}

#[tokio::test]
async fn who_lost_the_reaper_lease_does_nothing() {
    let bench = Bench::with_group().await;
    let ids = abandoned(&bench, 1).await;
    bench.set_row("a", ids[0], 9, HOUR).await;
    assert_eq!(sweep(&bench, "me", None, 10).await, None, "never held");
    reaper(&bench, "other").take(None).await.unwrap();
    assert_eq!(sweep(&bench, "me", None, 10).await, None, "held by another");
    let retired = bench.stream.retire_consumer(GROUP, "me", "a", Some("b"), 10).await.unwrap();
    assert_eq!(retired, Retired::Fenced);
    assert_eq!(bench.owners().await, [(ids[0], "a".into(), 9)]);
    assert!(bench.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_dead_consumer_is_moved_to_a_peer_and_deleted() {
    let bench = Bench::with_group().await;
    reaper(&bench, "me").take(None).await.unwrap();
    let ids = bench.append(5).await;
    bench.deliver_to("a", 5).await;
    bench.set_row("a", ids[1], 3, Duration::ZERO).await;
    bench.cmd::<i64>(&format!("XDEL $stream {}", ids[2])).await;
    bench.cmd::<i64>(&format!("HSET {} {GROUP}/a x {GROUP}/b y", bench.stream.key().workers())).await;

    let alive = bench.stream.key().consumer_lease(GROUP, "a");
    bench.cmd::<()>(&format!("SET {alive} somebody")).await;
    let retire = async |peer| bench.stream.retire_consumer(GROUP, "me", "a", peer, 3).await.unwrap();
    assert_eq!(retire(Some("b")).await, Retired::Alive);
    bench.cmd::<i64>(&format!("DEL {alive}")).await;
    let peer = bench.stream.key().consumer_lease(GROUP, "b");
    bench.cmd::<()>(&format!("SET {peer} somebody")).await;

    assert_eq!(retire(None).await, Retired::Page { moved: 0, deleted: false, lost: vec![] });
    let first = Retired::Page { moved: 2, deleted: false, lost: vec![ids[2]] };
    assert_eq!(retire(Some("b")).await, first);
    assert_eq!(retire(Some("b")).await, Retired::Page { moved: 2, deleted: true, lost: vec![] });
    let rows = bench.rows().await;
    assert!(rows.iter().all(|row| row.consumer == "b" && row.idle >= HOUR), "claimable at once");
    assert_eq!(rows.iter().map(|row| row.deliveries).collect::<Vec<_>>(), [1, 3, 1, 1]);
    let consumers = bench.stream.consumers(GROUP).await.unwrap();
    assert_eq!(consumers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let registry: Vec<String> = bench.cmd(&format!("HKEYS {}", bench.stream.key().workers())).await;
    assert_eq!(registry, [format!("{GROUP}/b")]);
    assert_eq!(retire(None).await, Retired::Page { moved: 0, deleted: true, lost: vec![] }, "gone already");
}

#[tokio::test]
async fn a_peer_that_has_left_is_given_nothing() {
    let bench = Bench::with_group().await;
    reaper(&bench, "me").take(None).await.unwrap();
    let ids = abandoned(&bench, 2).await;
    let retire = async || bench.stream.retire_consumer(GROUP, "me", "a", Some("b"), 10).await.unwrap();
    assert_eq!(retire().await, Retired::PeerGone);
    assert_eq!(bench.owners().await, [(ids[0], "a".into(), 1), (ids[1], "a".into(), 1)]);
    let consumers = bench.stream.consumers(GROUP).await.unwrap();
    assert_eq!(consumers.len(), 1, "the peer did not come back as a consumer either");
    let peer = bench.stream.key().consumer_lease(GROUP, "b");
    bench.cmd::<()>(&format!("SET {peer} somebody")).await;
    assert_eq!(retire().await, Retired::Page { moved: 2, deleted: true, lost: vec![] });
}

#[tokio::test]
async fn a_sweep_goes_past_an_owner_whose_name_is_no_text() {
    let bench = Bench::with_group().await;
    reaper(&bench, "me").take(None).await.unwrap();
    let ids = abandoned(&bench, 1).await;
    let fields: Fields = (0..4_000).map(|n| (format!("f{n}"), "v")).collect();
    let wide = bench.stream.append(fields.iter()).await.unwrap();
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg(b"\xff").arg("STREAMS").arg(bench.stream.key().as_str()).arg(">");
    read.query_async::<redis::Value>(&mut bench.server.connection().await).await.unwrap();
    let mut claim = redis::cmd("XCLAIM");
    claim.arg(bench.stream.key().as_str()).arg(GROUP).arg(b"\xff").arg(0).arg(wide.to_string());
    claim.arg("IDLE").arg(HOUR.as_millis() as u64).arg("RETRYCOUNT").arg(9).arg("JUSTID");
    claim.query_async::<redis::Value>(&mut bench.server.connection().await).await.unwrap();
    let swept = sweep(&bench, "me", None, 10).await.unwrap();
    assert_eq!(swept.dead, [wide]);
    let letter = bench.dead_letters().await.pop().unwrap();
    assert_eq!(text(&letter, "_dl_consumer"), "\u{fffd}");
    assert_eq!(bench.owners().await, [(ids[0], "a".into(), 1)]);
}
