//! trim against a real Redis: shown first, refused where it would lose something, approximate or exact.

use serde_json::{Value, json};
use stream_core::{Holder, NameLease, StartAt};
use testkit::RedisServer;

use crate::common::{Ended, TestStream, orderflow};

/// Entries 1-0 to 300-0, and groups that have acked this many.
async fn stream(server: &RedisServer, groups: &[(&str, usize)]) -> TestStream {
    let stream = TestStream::new(server);
    let mut pipeline = redis::pipe();
    for n in 1..=300 {
        pipeline.cmd("XADD").arg(&stream.key).arg(format!("{n}-0")).arg(&["type", "order.paid"]).ignore();
    }
    pipeline.query_async::<()>(&mut server.connection().await).await.unwrap();
    for (group, acked) in groups {
        stream.stream.ensure_group(group, StartAt::Beginning).await.unwrap();
        if *acked > 0 {
            stream.deliver(group, "worker", *acked).await;
        }
        let ids: Vec<_> = (1..=*acked as u64).map(|n| stream_core::StreamId::new(n, 0)).collect();
        stream.stream.ack(group, &ids).await.unwrap();
    }
    stream
}

impl TestStream {
    fn trim(&self, args: &[&str]) -> Ended {
        orderflow(&self.args(&[&["trim"], args].concat()))
    }

    async fn first(&self) -> String {
        self.stream.info().await.unwrap().first_entry.unwrap().id.to_string()
    }
}

const SETTLED: [(&str, usize); 2] = [("notifications", 300), ("analytics", 300)];

#[tokio::test]
async fn trimming_is_approximate_unless_it_is_to_be_exact() {
    let server = RedisServer::start().await;
    let stream = stream(&server, &SETTLED).await;
    let dry = stream.trim(&["--maxlen", "150", "--dry-run"]).success();
    assert!(dry.contains("to remove  150 entries, those before 151-0 "), "{dry}");
    assert!(dry.contains("nodes of up to 100 entries go whole"), "{dry}");
    assert!(dry.contains("all of them have acked what is to be removed"), "{dry}");
    assert_eq!(stream.first().await, "1-0");
    assert_eq!(
        stream.trim(&["--maxlen", "150", "--yes"]).success(),
        "removed 100 entries; 200 entries left\n"
    );
    assert_eq!(stream.first().await, "101-0", "whole nodes");
    let none = stream.trim(&["--maxlen", "150", "--yes"]);
    assert!(none.stderr.contains("--exact removes to the entry"), "{none:?}");
    assert_eq!(none.success(), "removed 0 entries; 200 entries left\n");
    let exact = stream.trim(&["--maxlen", "150", "--exact", "--yes"]);
    assert!(exact.stderr.contains("exact: to the entry"), "{exact:?}");
    assert_eq!(exact.success(), "removed 50 entries; 150 entries left\n");
    assert_eq!(stream.first().await, "151-0");
    assert_eq!(
        stream.trim(&["--min-id", "200-0", "--exact", "--yes"]).success(),
        "removed 49 entries; 101 entries left\n"
    );
    let nothing = stream.trim(&["--maxlen", "101", "--yes"]).success();
    assert!(nothing.starts_with("nothing to remove: "), "{nothing}");
    assert_eq!(
        stream.trim(&["--older-than", "1d", "--exact", "--yes"]).success(),
        "removed 101 entries; 0 entries left\n"
    );
}

#[tokio::test]
async fn the_length_is_found_from_either_end() {
    let server = RedisServer::start().await;
    let stream = stream(&server, &SETTLED).await;
    for (maxlen, cutoff) in
        [("1", "300-0"), ("299", "2-0"), ("151", "150-0"), ("149", "152-0"), ("0", "300-1")]
    {
        let outlook = stream.trim(&["--maxlen", maxlen, "--dry-run", "--json"]).success();
        let outlook: Value = serde_json::from_str(&outlook).unwrap();
        assert_eq!(outlook["cutoff"], cutoff);
        let going = 300 - maxlen.parse::<u64>().unwrap();
        assert_eq!(outlook["going"], json!({"count": going, "exact": true}));
    }
}

#[tokio::test]
async fn it_asks_where_it_can_and_otherwise_needs_a_yes() {
    let server = RedisServer::start().await;
    let stream = stream(&server, &SETTLED).await;
    let stderr = stream.trim(&["--maxlen", "10"]).failure(1);
    assert!(stderr.contains("to remove  290 entries"), "shown all the same: {stderr}");
    assert!(stderr.contains("--yes") && stderr.contains("--dry-run"), "{stderr}");
    assert_eq!(stream.stream.length().await.unwrap(), 300);
}

#[tokio::test]
async fn what_a_managed_group_has_not_acked_is_kept_unless_its_loss_is_accepted() {
    let server = RedisServer::start().await;
    let stream = stream(&server, &[("notifications", 120), ("analytics", 300), ("audit", 0)]).await;
    stream.deliver("notifications", "worker", 5).await;
    let refused = stream.trim(&["--maxlen", "50", "--yes"]).failure(3);
    let table: Vec<Vec<_>> = refused.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(table.contains(&vec!["notifications", "5", "125", "121-0", "yes"]), "{refused}");
    assert!(table.contains(&vec!["audit", "0", "250", "1-0", "no"]), "{refused}");
    assert!(refused.contains("refused: not acked yet by notifications"), "{refused}");
    assert!(refused.contains("--min-id 121-0") && refused.contains("--accept-loss"), "{refused}");
    stream.trim(&["--maxlen", "50", "--dry-run"]).failure(3);
    assert_eq!(stream.stream.length().await.unwrap(), 300);

    // As far as was told, and not for a group that is nobody's here.
    stream.trim(&["--min-id", "121-0", "--exact", "--yes"]).success();
    assert_eq!(stream.first().await, "121-0");
    let trimmed = stream.trim(&["--maxlen", "50", "--exact", "--yes", "--accept-loss", "--json"]).success();
    let trimmed: Value = serde_json::from_str(&trimmed).unwrap();
    assert_eq!((&trimmed["removed"], &trimmed["length"]), (&json!(130), &json!(50)));
    assert_eq!(trimmed["groups"][0]["pending"], json!({"count": 0, "exact": true}), "{trimmed}");
}

#[tokio::test]
async fn a_group_that_our_workers_registered_is_waited_for_as_well() {
    let server = RedisServer::start().await;
    let stream = stream(&server, &[("notifications", 300), ("analytics", 300), ("audit", 0)]).await;
    let holder = Holder::current("host-1", "");
    let ttl = std::time::Duration::from_mins(1);
    let _name = NameLease::reserve(&stream.stream, "audit", "auditor", &holder, ttl).await.unwrap();
    let refused = stream.trim(&["--maxlen", "50", "--yes"]).failure(3);
    assert!(refused.contains("not acked yet by audit"), "{refused}");
    // A group that is configured and not there has everything before it.
    let missing = ["--maxlen", "50", "--yes", "--set", "retention.groups=shipping"];
    let refused = stream.trim(&missing).failure(3);
    assert!(refused.contains("shipping does not exist yet") || refused.contains("audit"), "{refused}");
    assert_eq!(stream.stream.length().await.unwrap(), 300);
}
