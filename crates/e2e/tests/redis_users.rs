//! The Redis users of `deploy/redis`: each service works with its own, and none may do anything else.

#![expect(clippy::unwrap_used, reason = "in helpers as in tests a panic is the failure report")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use e2e::{Pipeline, Role, users};
use redis::aio::MultiplexedConnection;
use testkit::RedisServer;

const USERS: [&str; 6] =
    ["producer-api", "notifications-worker", "analytics-worker", "reaper", "console", "operator"];

/// What a service asks for and is not given, and does without: reading the configuration would show passwords, and
/// newer servers are asked what they can do on keys that are thrown away.
fn is_done_without(command: &str) -> bool {
    command.starts_with("config|") || command.starts_with("client|") || NEWER.contains(&command)
}

const NEWER: [&str; 4] = ["xackdel", "xdelex", "xnack", "waitaof"];

#[tokio::test]
async fn each_service_works_with_its_own_user_and_is_refused_nothing() {
    let mut pipeline = Pipeline::new().await;
    let _services = pipeline
        .start_all([Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper, Role::Console])
        .await;
    let (status, answer) = pipeline.post(order("o-1")).await;
    assert_eq!(status, 201, "{answer}");
    for again in [false, true] {
        let keyed = pipeline.post_with(&[("idempotency-key", "k-1")], order("o-2")).await;
        let replayed = keyed.headers().contains_key("idempotency-replayed");
        assert_eq!((keyed.status().as_u16(), replayed), (201, again));
    }
    // As nobody replicates here, it is asked whether it can be waited for, and no more.
    let durable = pipeline.post_with(&[("prefer", "durability=replica")], order("o-3")).await;
    assert_eq!(durable.status().as_u16(), 422);
    pipeline.settled().await;
    pipeline.let_die("notifications", answer["id"].as_str().unwrap()).await;
    let page = reqwest::get(pipeline.url(Role::Console, "/api/state")).await.unwrap();
    assert!(page.status().is_success(), "{}", page.status());

    let mut connection = pipeline.connection().await;
    let seen = connected(&mut connection).await;
    for user in ["producer-api", "notifications-worker", "analytics-worker", "reaper", "console"] {
        assert!(seen.contains(user), "{user} is not there: {seen:?}");
    }
    assert_eq!(refused(&mut connection).await, BTreeMap::new());
}

/// Every command of the server, on a key of somebody else and, if it names none, on none.
#[tokio::test]
async fn nothing_else_is_allowed() {
    let mut server = RedisServer::start().await;
    server.set_users(&users::users());
    let mut connection = server.connection().await;
    let commands = commands(&mut connection).await;
    assert!(commands.len() > 200, "{commands:?}");
    for user in USERS {
        let mut allowed = BTreeSet::new();
        for (command, arity) in &commands {
            let mut attempt = redis::cmd("ACL");
            attempt.arg("DRYRUN").arg(user).arg(command.split('|').collect::<Vec<_>>());
            match command.as_str() {
                // They find their keys by the word STREAMS.
                "xread" => attempt.arg("STREAMS").arg("foreign").arg("0"),
                "xreadgroup" => attempt.arg(["GROUP", "group", "me", "STREAMS", "foreign", ">"].as_slice()),
                _ => {
                    let given = command.split('|').count() as i64;
                    attempt.arg(vec!["foreign"; (arity.abs() - given).max(0) as usize])
                }
            };
            if attempt.query_async::<String>(&mut connection).await.is_ok_and(|answer| answer == "OK") {
                allowed.insert(command.as_str());
            }
        }
        let more = match user {
            "operator" => OF_PEOPLE,
            "console" => OF_TRANSACTIONS,
            "producer-api" => OF_DURABILITY,
            _ => &[],
        };
        assert_eq!(allowed, OF_ALL.iter().chain(more).copied().collect(), "{user}");
    }
}

/// Commands that name no key: who one is, what the server is, and scripts, whose commands are judged one by one. QUIT and
/// RESET are everybody's.
const OF_ALL: &[&str] = &[
    "auth",
    "client|setname",
    "eval",
    "evalsha",
    "exec",
    "hello",
    "info",
    "multi",
    "ping",
    "quit",
    "reset",
    "script|load",
    "time",
];
const OF_TRANSACTIONS: &[&str] = &["discard", "unwatch"];
const OF_DURABILITY: &[&str] = &["wait"];
const OF_PEOPLE: &[&str] = &["discard", "scan", "unwatch"];

#[tokio::test]
async fn what_would_hurt_is_refused() {
    let pipeline = Pipeline::new().await;
    pipeline.xadd(&[("type", "order.paid")]).await;
    let mut connection = pipeline.connection().await;
    let keys = "{events:orders}:";
    let stream = "events:orders";
    for user in USERS {
        for command in [
            "FLUSHALL",
            "FLUSHDB",
            "KEYS *",
            "CONFIG SET maxmemory 1",
            "CONFIG GET requirepass",
            "ACL LIST",
            "ACL SETUSER x on",
            "DEBUG SLEEP 0",
            "SHUTDOWN",
            "MONITOR",
            "REPLICAOF no one",
            "CLIENT KILL TYPE normal",
            "SCRIPT FLUSH",
            "SAVE",
            "SUBSCRIBE x",
            "GET foreign",
            "SET foreign 1",
            "EVAL return 1 foreign",
            "XADD foreign * a b",
        ] {
            refuses(&mut connection, user, command).await;
        }
    }
    for user in ["notifications-worker", "analytics-worker", "reaper", "console"] {
        refuses(&mut connection, user, &format!("XADD {stream} * type order.paid")).await;
        refuses(&mut connection, user, &format!("XDEL {stream} 1-1")).await;
        refuses(&mut connection, user, &format!("DEL {stream}")).await;
        refuses(&mut connection, user, &format!("UNLINK {stream}")).await;
    }
    for user in ["producer-api", "notifications-worker", "analytics-worker"] {
        refuses(&mut connection, user, &format!("XTRIM {stream} MAXLEN 0")).await;
        refuses(&mut connection, user, &format!("XGROUP DESTROY {stream} notifications")).await;
        refuses(&mut connection, user, &format!("SET {keys}lease:reaper me")).await;
    }
    for command in ["HSET", "RENAME", "PEXPIRE", "PEXPIREAT"] {
        let key = format!("{keys}idem:header:0");
        let more = if command == "RENAME" { format!("{key}:old") } else { "1".to_owned() };
        let more = if command == "HSET" { "a b".to_owned() } else { more };
        let on = |key: &str| format!("{command} {key} {more}");
        refuses(&mut connection, "producer-api", &on(stream)).await;
        assert_eq!(dry_run(&mut connection, "producer-api", &on(&key)).await, "OK", "{command}");
    }
    for (user, other) in [("notifications-worker", "analytics"), ("analytics-worker", "notifications")] {
        refuses(&mut connection, user, &format!("XADD {keys}dlq:{other} * a b")).await;
        refuses(
            &mut connection,
            user,
            &format!("XREADGROUP GROUP {other} me STREAMS {keys}redrive:{other} >"),
        )
        .await;
        refuses(&mut connection, user, &format!("DEL {keys}pos:{other}")).await;
    }
    refuses(
        &mut connection,
        "producer-api",
        &format!("XREADGROUP GROUP notifications me STREAMS {stream} >"),
    )
    .await;
    refuses(&mut connection, "notifications-worker", &format!("HSET {keys}analytics:totals revenue 1")).await;
    // The refusals are the rules' and not the command's: the owners may.
    for (user, command) in [
        ("producer-api", format!("XADD {stream} * type order.paid")),
        ("producer-api", format!("HGET {keys}idem:event:1 field")),
        ("producer-api", format!("HLEN {keys}idem:event:1")),
        ("producer-api", format!("HVALS {keys}idem:event:1:old")),
        ("producer-api", format!("PTTL {keys}idem:event:1")),
        ("producer-api", format!("PEXPIRETIME {keys}idem:event:1")),
        ("producer-api", "WAIT 1 100".to_owned()),
        ("reaper", format!("XTRIM {stream} MAXLEN 0")),
        ("notifications-worker", format!("XADD {keys}dlq:notifications * a b")),
        ("analytics-worker", format!("HSET {keys}analytics:totals revenue 1")),
        ("reaper", format!("SET {keys}lease:reaper me")),
        ("operator", format!("DEL {stream}")),
    ] {
        assert_eq!(dry_run(&mut connection, user, &command).await, "OK", "{user}: {command}");
    }
}

/// A user without a name, or with another's password, gets nothing.
#[tokio::test]
async fn a_wrong_password_is_refused() {
    let mut server = RedisServer::start().await;
    server.set_users(&users::users());
    for user in USERS {
        let url = |password: &str| format!("redis://{user}:{password}@127.0.0.1:{}", server.port());
        let open = async |password: &str| {
            let client = redis::Client::open(url(password)).unwrap();
            client.get_multiplexed_async_connection().await.map(drop)
        };
        open(&users::password(user)).await.unwrap();
        let other = USERS.iter().find(|other| **other != user).unwrap();
        assert!(open(&users::password(other)).await.is_err(), "{user} with {other}'s password");
        assert!(open("wrong").await.is_err(), "{user} with a wrong password");
    }
}

async fn refuses(connection: &mut MultiplexedConnection, user: &str, command: &str) {
    let answer = dry_run(connection, user, command).await;
    assert_ne!(answer, "OK", "{user} may {command}");
}

/// What the server would say to a user's command (ACL DRYRUN): `OK`, or why not.
async fn dry_run(connection: &mut MultiplexedConnection, user: &str, command: &str) -> String {
    let mut words: Vec<&str> = command.split(' ').collect();
    if words[0] == "EVAL" {
        words = vec!["EVAL", "return 1", "1", words[words.len() - 1]];
    }
    let mut attempt = redis::cmd("ACL");
    attempt.arg("DRYRUN").arg(user).arg(words);
    attempt.query_async(connection).await.unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// Every command and subcommand of the server with its arity (COMMAND).
async fn commands(connection: &mut MultiplexedConnection) -> Vec<(String, i64)> {
    fn read(value: &redis::Value, into: &mut Vec<(String, i64)>) {
        let redis::Value::Array(parts) = value else { return };
        let name: String = redis::from_redis_value_ref(&parts[0]).unwrap();
        let arity: i64 = redis::from_redis_value_ref(&parts[1]).unwrap();
        match parts.get(9) {
            Some(redis::Value::Array(subcommands)) if !subcommands.is_empty() => {
                for subcommand in subcommands {
                    read(subcommand, into);
                }
            }
            _ => into.push((name, arity)),
        }
    }
    let all: Vec<redis::Value> = redis::cmd("COMMAND").query_async(connection).await.unwrap();
    let mut commands = Vec::new();
    for command in &all {
        read(command, &mut commands);
    }
    commands
}

/// The users that are connected (CLIENT LIST).
async fn connected(connection: &mut MultiplexedConnection) -> BTreeSet<String> {
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(connection).await.unwrap();
    let user = |line: &str| line.split(' ').find_map(|part| part.strip_prefix("user=")).map(str::to_owned);
    list.lines().filter_map(user).collect()
}

/// What users were refused since the server started (ACL LOG), but for what they do without.
async fn refused(connection: &mut MultiplexedConnection) -> BTreeMap<String, BTreeSet<String>> {
    let log: Vec<HashMap<String, redis::Value>> =
        redis::cmd("ACL").arg("LOG").arg(128).query_async(connection).await.unwrap();
    let mut refused: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in log {
        let text = |name: &str| -> String { redis::from_redis_value_ref(&entry[name]).unwrap() };
        if !is_done_without(&text("object")) {
            let what = format!("{} {} {}", text("context"), text("reason"), text("object"));
            refused.entry(text("username")).or_default().insert(what);
        }
    }
    refused
}

fn order(id: &str) -> String {
    format!(r#"{{"type":"order.paid","order_id":"{id}","customer":"c-1","amount":"9.50"}}"#)
}
