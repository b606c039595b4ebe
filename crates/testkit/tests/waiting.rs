//! Bounded waiting, free ports, and the message when Redis is not installed.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use testkit::{RedisServer, eventually, free_port};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(30);

async fn panic_message(waiting: impl Future<Output = ()> + 'static) -> String {
    let local = tokio::task::LocalSet::new();
    let waited = local.run_until(async { tokio::task::spawn_local(waiting).await }).await;
    let panic = waited.expect_err("it must panic").into_panic();
    *panic.downcast::<String>().expect("a formatted message")
}

#[tokio::test]
async fn a_value_is_returned_as_soon_as_it_is_there() {
    let mut looks = 0;
    let value = eventually(LONG, "the third look", async || {
        looks += 1;
        (looks == 3).then_some("there")
    })
    .await;
    assert_eq!((value, looks), ("there", 3));
    let value = eventually(LONG, "an answer", async || Ok::<_, String>(7)).await;
    assert_eq!(value, 7);
}

#[tokio::test]
async fn it_looks_once_even_without_time() {
    assert_eq!(eventually(Duration::ZERO, "now", async || Some(1)).await, 1);
}

#[tokio::test]
async fn a_failure_says_what_where_and_the_last_observation() {
    let message = panic_message(async {
        let mut looks = 0;
        eventually(SHORT, "all entries are acked", async || {
            looks += 1;
            Err::<(), _>(format!("{} pending", 10 - looks.min(3)))
        })
        .await;
    })
    .await;
    assert!(message.contains("waiting.rs:"), "{message}");
    assert!(
        message.ends_with("waited 100ms in vain until all entries are acked; last seen: 7 pending"),
        "{message}"
    );
}

#[tokio::test]
async fn a_look_that_hangs_is_bounded_too() {
    let started = Instant::now();
    let message = panic_message(async {
        eventually(SHORT, "a reply", async || std::future::pending::<Option<()>>().await).await;
    })
    .await;
    assert!(
        message.ends_with("until a reply; last seen: nothing: the first look did not finish"),
        "{message}"
    );
    assert!(started.elapsed() < LONG);
}

#[test]
fn free_ports_can_be_bound_and_are_no_source_ports() {
    let listeners: Vec<TcpListener> =
        (0..20).map(|_| TcpListener::bind(("127.0.0.1", free_port())).unwrap()).collect();
    for listener in &listeners {
        assert!((20_000..32_000).contains(&listener.local_addr().unwrap().port()));
    }
}

#[tokio::test]
async fn a_missing_program_says_how_to_install_it() {
    let options = RedisServer::builder().program("/nowhere/redis-server");
    let text = options.try_start().await.expect_err("there is no such program").to_string();
    assert!(text.contains("cannot run `/nowhere/redis-server`: No such file"), "{text}");
    assert!(text.contains("apt-get install redis-server"), "{text}");
    assert!(text.contains("REDIS_SERVER_BIN"), "{text}");
}
