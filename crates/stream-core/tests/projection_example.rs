//! `examples/projection.rs`, run as its reader would, killed in the middle, and exact all the same.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use testkit::{RedisServer, eventually};

const SOON: Duration = Duration::from_secs(30);
const VOTES: i64 = 15_000;

/// The example, built with the tests; killed when dropped.
struct Example(Child);

impl Example {
    fn start(server: &RedisServer, flags: &[&str]) -> Self {
        let test = std::env::current_exe().expect("a running test has a path");
        let profile: PathBuf = test.ancestors().nth(2).expect("target/<profile>/deps/<test>").into();
        let child = Command::new(profile.join("examples/projection"))
            .arg(server.url())
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example is built with the tests");
        Self(child)
    }

    /// Everything it printed; it must have ended well.
    fn output(mut self) -> String {
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().expect("piped");
        std::io::Read::read_to_string(&mut stdout, &mut text).expect("UTF-8");
        assert!(self.0.wait().expect("its own child").success(), "{text}");
        text
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // SIGKILL, as a crash would.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn vote(connection: &mut MultiplexedConnection, votes: impl Iterator<Item = i64>) {
    let mut pipeline = redis::pipe();
    for n in votes {
        pipeline
            .cmd("XADD")
            .arg("votes")
            .arg("*")
            .arg("for")
            .arg(format!("c-{}", n % 3))
            .arg("weight")
            .arg(n);
        pipeline.ignore();
    }
    pipeline.query_async::<()>(connection).await.expect("XADD");
}

async fn counted(connection: &mut MultiplexedConnection, prefix: &str) -> (i64, i64) {
    let totals: HashMap<String, i64> = redis::cmd("HGETALL")
        .arg(format!("{{votes}}:{prefix}tally:totals"))
        .query_async(connection)
        .await
        .expect("HGETALL");
    (totals.get("votes").copied().unwrap_or(0), totals.get("weight").copied().unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_counts_each_vote_once_however_often_it_is_killed() {
    let server = RedisServer::start().await;
    let mut connection = server.connection().await;
    vote(&mut connection, 0..VOTES).await;
    let mut killed_at = Vec::new();
    for _ in 0..3 {
        let before = counted(&mut connection, "").await.0;
        let example = Example::start(&server, &[]);
        eventually(SOON, "it counts", async || {
            let now = counted(&mut connection.clone(), "").await.0;
            (now > before || now == VOTES).then_some(())
        })
        .await;
        drop(example);
        killed_at.push(counted(&mut connection, "").await.0);
    }
    assert!(killed_at[0] < VOTES, "killed too late to show anything: {killed_at:?}");
    let printed = Example::start(&server, &["--once"]).output();
    let sum = (0..VOTES).sum::<i64>();
    assert!(printed.contains(&format!("votes {VOTES} weight {sum} leading")), "{printed}");
    assert_eq!(counted(&mut connection, "").await, (VOTES, sum));

    // All anew, killed in the middle of that, and more votes meanwhile.
    redis::cmd("HSET")
        .arg("{votes}:tally:totals")
        .arg("votes")
        .arg(1)
        .exec_async(&mut connection)
        .await
        .unwrap();
    let example = Example::start(&server, &["--rebuild"]);
    eventually(SOON, "the rebuild is under way", async || {
        (counted(&mut connection.clone(), "gen:tellers:1:").await.0 > 0).then_some(())
    })
    .await;
    drop(example);
    vote(&mut connection, VOTES..VOTES + 1_000).await;
    let printed = Example::start(&server, &["--once"]).output();
    let (votes, sum) = (VOTES + 1_000, (0..VOTES + 1_000).sum::<i64>());
    assert!(printed.contains(&format!("votes {votes} weight {sum} leading")), "{printed}");
}
