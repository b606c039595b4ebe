//! Groups and consumers: created, restored, handed over, deleted.

use std::time::Duration;

use stream_core::{ErrorKind, Handover, HandoverError, HandoverRequest, StartAt, StreamId};

use crate::support::{Bench, GROUP};

#[tokio::test]
async fn a_group_is_created_with_its_stream_and_then_left_alone() {
    let bench = Bench::start().await;
    assert!(bench.stream.ensure_group(GROUP, StartAt::Beginning).await.unwrap());
    let ids = bench.append(2).await;
    bench.deliver_to("c", 1).await;
    assert!(!bench.stream.ensure_group(GROUP, StartAt::Beginning).await.unwrap());
    assert_eq!(bench.stream.groups().await.unwrap()[0].last_delivered_id, ids[0]);
    bench.stream.ensure_group("end", StartAt::End).await.unwrap();
    bench.stream.ensure_group("after", StartAt::After(ids[0])).await.unwrap();
    let positions: Vec<_> =
        bench.stream.groups().await.unwrap().into_iter().map(|g| (g.name, g.last_delivered_id)).collect();
    assert_eq!(positions, [("after".into(), ids[0]), ("end".into(), ids[1]), (GROUP.into(), ids[0])]);
}

#[tokio::test]
async fn the_recorded_position_is_the_low_watermark_and_only_rises() {
    let bench = Bench::with_group().await;
    let ids = bench.append(4).await;
    assert_eq!(bench.stream.record_position(GROUP).await.unwrap(), StreamId::MIN);
    bench.deliver_to("c", 3).await;
    assert_eq!(bench.stream.record_position(GROUP).await.unwrap(), StreamId::MIN, "the first is pending");
    bench.stream.ack(GROUP, &[ids[0], ids[2]]).await.unwrap();
    assert_eq!(bench.stream.record_position(GROUP).await.unwrap(), ids[0], "the second is pending");
    bench.stream.ack(GROUP, &[ids[1]]).await.unwrap();
    assert_eq!(bench.stream.record_position(GROUP).await.unwrap(), ids[2], "nothing is pending");
    bench.cmd::<()>(&format!("XGROUP SETID $stream {GROUP} 0")).await;
    assert_eq!(bench.stream.record_position(GROUP).await.unwrap(), ids[2], "it never falls");
}

#[tokio::test]
async fn positions_are_compared_as_numbers() {
    let bench = Bench::with_group().await;
    for id in ["9-9", "9-10", "10-2"] {
        bench.cmd::<String>(&format!("XADD $stream {id} a 1")).await;
        bench.deliver_to("c", 1).await;
        let id: StreamId = id.parse().unwrap();
        bench.stream.ack(GROUP, &[id]).await.unwrap();
        assert_eq!(bench.stream.record_position(GROUP).await.unwrap(), id);
    }
}

#[tokio::test]
async fn a_destroyed_group_is_restored_where_it_was() {
    let bench = Bench::with_group().await;
    let ids = bench.append(3).await;
    bench.deliver_to("c", 2).await;
    bench.stream.ack(GROUP, &ids[..2]).await.unwrap();
    bench.stream.record_position(GROUP).await.unwrap();
    assert_eq!(bench.stream.restore_group(GROUP).await.unwrap(), (false, ids[1]));
    bench.cmd::<i64>(&format!("XGROUP DESTROY $stream {GROUP}")).await;
    let error = bench.stream.record_position(GROUP).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoGroup);
    assert_eq!(bench.stream.restore_group(GROUP).await.unwrap(), (true, ids[1]));
    bench.deliver_to("c", 10).await;
    assert_eq!(bench.owners().await, [(ids[2], "c".into(), 1)]);
    // Without a recorded position: from the beginning, never at `$`.
    assert_eq!(bench.stream.restore_group("other").await.unwrap(), (true, StreamId::MIN));
}

#[tokio::test]
async fn a_handover_moves_every_row_and_counts_none() {
    let bench = Bench::with_group().await;
    let ids = bench.append(1_203).await;
    bench.deliver_to("from", 1_202).await;
    bench.deliver_to("bystander", 1).await;
    bench.set_row("from", ids[0], 4, Duration::from_secs(9)).await;
    bench.cmd::<i64>(&format!("XDEL $stream {} {}", ids[5], ids[900])).await;

    let idle = Duration::from_mins(1);
    let request = HandoverRequest { group: GROUP, from: "from", to: "to", idle, only_if_dead: true };
    let error = bench.stream.handover(&request).await.unwrap_err();
    assert!(matches!(&error, HandoverError::PeerGone(name) if name == "to"), "{error}");
    let lease = |name| bench.stream.key().consumer_lease(GROUP, name);
    bench.cmd::<()>(&format!("SET {} x", lease("to"))).await;
    bench.cmd::<()>(&format!("SET {} x", lease("from"))).await;
    let error = bench.stream.handover(&request).await.unwrap_err();
    assert!(matches!(&error, HandoverError::SourceAlive(name) if name == "from"), "{error}");
    assert_eq!(bench.rows().await[0].consumer, "from", "nothing was done");
    bench.cmd::<i64>(&format!("DEL {}", lease("from"))).await;

    let done = bench.stream.handover(&request).await.unwrap();
    assert_eq!(done, Handover { moved: 1_200, lost: vec![ids[5], ids[900]] });
    let rows = bench.rows().await;
    assert_eq!(rows.len(), 1_201);
    assert_eq!((rows[0].deliveries, rows[1].deliveries), (4, 1));
    assert!(rows[..1_200].iter().all(|row| row.consumer == "to" && row.idle >= idle && row.idle < idle * 2));
    assert_eq!(rows[1_200].consumer, "bystander");
    let lost = |id: StreamId| (id.to_string(), "payload_lost".to_owned());
    assert_eq!(bench.dead().await, [lost(ids[5]), lost(ids[900])]);

    assert_eq!(bench.stream.handover(&request).await.unwrap(), Handover::default());
    let to_itself = HandoverRequest { from: "to", ..request };
    assert_eq!(bench.stream.handover(&to_itself).await.unwrap(), Handover::default());
}

#[tokio::test]
async fn a_consumer_is_deleted_only_without_pending_rows() {
    let bench = Bench::with_group().await;
    let ids = bench.append(1).await;
    bench.stream.create_consumer(GROUP, "c").await.unwrap();
    assert_eq!(bench.stream.consumers(GROUP).await.unwrap()[0].name, "c");
    bench.deliver_to("c", 1).await;
    assert!(!bench.stream.delete_idle_consumer(GROUP, "c").await.unwrap());
    assert_eq!(bench.owners().await, [(ids[0], "c".into(), 1)]);
    bench.stream.ack(GROUP, &ids).await.unwrap();
    assert!(bench.stream.delete_idle_consumer(GROUP, "c").await.unwrap());
    assert!(bench.stream.consumers(GROUP).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_deleted_stream_keeps_positions_and_dead_letters() {
    let bench = Bench::with_group().await;
    let ids = bench.append(1).await;
    bench.deliver_to("c", 1).await;
    bench.stream.ack(GROUP, &ids).await.unwrap();
    bench.stream.record_position(GROUP).await.unwrap();
    assert!(bench.stream.delete_stream().await.unwrap());
    assert!(!bench.stream.delete_stream().await.unwrap());
    assert_eq!(bench.stream.restore_group(GROUP).await.unwrap(), (true, ids[0]));
}

#[tokio::test]
async fn a_position_does_not_rise_past_what_could_not_be_noted() {
    // Each of the keys in which a projection's past is kept, spoilt.
    for suffix in ["pos:g:applied", "pos:g:dead", "pos:g:redriven", "pos:g:noted"] {
        let bench = Bench::with_group().await;
        let ids = bench.append(3).await;
        bench.deliver_to("c", 3).await;
        bench.cmd::<i64>(&format!("ZADD {} {} {}", bench.key("pos:g:applied"), ids[0].ms, ids[0])).await;
        bench.stream.ack(GROUP, &ids).await.unwrap();
        bench.cmd::<()>(&format!("SET {} spoilt", bench.key(suffix))).await;
        let error = bench.stream.record_position(GROUP).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongType, "{error}");
        let recorded: Option<String> = bench.cmd(&format!("GET {}", bench.key("pos:g"))).await;
        assert_eq!(recorded, None, "{suffix}");
        bench.cmd::<i64>(&format!("DEL {}", bench.key(suffix))).await;
        assert_eq!(bench.stream.record_position(GROUP).await.unwrap(), ids[2]);
    }
}
