//! Leases: taken, held, renewed, released.

use std::time::Duration;

use stream_core::{Lease, PendingRow, Take};
use testkit::eventually;

use crate::support::{Bench, GROUP, SOON};

fn lease(bench: &Bench, value: &str, ttl: Duration) -> Lease {
    Lease::new(bench.stream.connection().clone(), "{x}:lease".into(), value.into(), ttl)
}

#[tokio::test]
async fn one_holds_it_until_it_gives_it_up() {
    let bench = Bench::start().await;
    let hour = Duration::from_hours(1);
    let (a, b) = (lease(&bench, "a", hour), lease(&bench, "b", hour));
    assert_eq!(a.take(None).await.unwrap(), Take::Taken);
    assert_eq!(a.take(None).await.unwrap(), Take::Taken, "its own again");
    let Take::Held { value, remaining } = b.take(None).await.unwrap() else { panic!("two holders") };
    assert!(value == "a" && remaining > Duration::from_mins(50) && remaining <= hour);
    assert!(!b.renew().await.unwrap());
    assert!(!b.release().await.unwrap());
    assert!(a.renew().await.unwrap());
    assert!(a.release().await.unwrap());
    assert!(!a.renew().await.unwrap(), "given up");
    assert_eq!(b.take(None).await.unwrap(), Take::Taken);
    assert_eq!((b.value(), b.ttl()), ("b", hour));
}

#[tokio::test]
async fn it_runs_out_unless_it_is_renewed() {
    let bench = Bench::start().await;
    let (a, b) = (lease(&bench, "a", Duration::from_millis(300)), lease(&bench, "b", Duration::from_secs(9)));
    a.take(None).await.unwrap();
    bench.cmd::<i64>("PEXPIRE {x}:lease 5000").await;
    assert!(a.renew().await.unwrap());
    let left: u64 = bench.cmd("PTTL {x}:lease").await;
    assert!(left <= 300, "a renewal sets the lease's own TTL: {left}");
    eventually(SOON, "the lease runs out", async || {
        matches!(b.take(None).await, Ok(Take::Taken)).then_some(())
    })
    .await;
    assert!(!a.renew().await.unwrap());
}

#[tokio::test]
async fn a_holder_known_to_be_gone_is_replaced_by_one_successor() {
    let bench = Bench::start().await;
    let hour = Duration::from_hours(1);
    let [gone, b, c] = ["gone", "b", "c"].map(|value| lease(&bench, value, hour));
    gone.take(None).await.unwrap();
    assert_eq!(b.take(Some("gone")).await.unwrap(), Take::Taken);
    assert!(matches!(c.take(Some("gone")).await.unwrap(), Take::Held { value, .. } if value == "b"));
}

#[tokio::test]
async fn rows_beyond_a_long_list_that_was_handed_over_are_renewed_too() {
    let bench = Bench::with_group().await;
    let mut ids = Vec::new();
    for _ in 0..11 {
        ids.extend(bench.append(1_000).await);
    }
    bench.deliver_to("c", 11_000).await;
    let (first, last, others) = (ids[0], ids[10_999], ids[10_998]);
    for id in [first, last] {
        bench.set_row("c", id, 1, Duration::from_hours(1)).await;
    }
    bench.set_row("somebody", others, 2, Duration::from_hours(1)).await;
    let renewed = bench.stream.renew(GROUP, "c", &[first, last], &[others]).await.unwrap();
    assert_eq!((renewed.renewed, renewed.away), (2, vec![others]));
    let idle = |rows: &[PendingRow], id| rows.iter().find(|row| row.id == id).map(|row| row.idle).unwrap();
    let rows = bench.rows().await;
    assert!(idle(&rows, last) < Duration::from_mins(1));
    assert!(idle(&rows, others) > Duration::from_mins(1), "not stolen");
}
