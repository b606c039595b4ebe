//! What somebody at a terminal sees: lines that fit, colours unless they are not wanted, and questions.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::pty::{Winsize, openpty};
use stream_core::{DeadReason, Fields, Holder, NameLease, StartAt, StreamId};
use tempfile::TempDir;
use testkit::RedisServer;

use crate::common::{BINARY, TestStream, command, temp_dir};

/// Runs a command at a terminal on which `typed` is typed; what the terminal has shown, and how it ended.
fn at_terminal(mut command: Command, columns: u16, typed: &str) -> (String, ExitStatus) {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    // Without another holder of this end the terminal hangs up when the child is done.
    drop((command, pty.slave));
    let mut terminal = File::from(pty.master);
    terminal.write_all(typed.as_bytes()).unwrap();
    let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
    // Linux tells the hangup as an error.
    while let Ok(read @ 1..) = terminal.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..read]);
    }
    (String::from_utf8(shown).unwrap().replace("\r\n", "\n"), child.wait().unwrap())
}

fn orderflow(dir: &TempDir, args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = command(BINARY, dir.path());
    // Some runners of CI show colours, whatever their terminal says of itself: clap takes CI for one of them.
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "CI"] {
        command.env_remove(name);
    }
    command.args(args).env("TERM", "xterm").envs(env.iter().copied());
    command
}

/// Names as long as an orchestrator makes them, and an error that tells a story.
async fn long_names(server: &RedisServer) -> TestStream {
    let stream = TestStream::at(server.url(), "events:orders".to_owned());
    let consumer = "notifications-worker-7f6d9c5b4-x2x4z-1";
    for group in ["notifications", "analytics"] {
        stream.stream.ensure_group(group, StartAt::Beginning).await.unwrap();
    }
    let fields =
        [("type", "order.cancelled"), ("order_id", "o-1234567890123456789012345"), ("customer", "alice")];
    let fields: Fields = fields.into_iter().collect();
    let first = stream.stream.append(fields.iter()).await.unwrap();
    stream.stream.append(fields.iter()).await.unwrap();
    let holder = Holder::current("ip-10-120-33-17.eu-central-1", "10.120.33.17:9102");
    let ttl = Duration::from_mins(10);
    let name = NameLease::reserve(&stream.stream, "notifications", consumer, &holder, ttl).await.unwrap();
    name.renew(stream_core::ConsumerCounters::default()).await.unwrap();
    stream.deliver("notifications", consumer, 2).await;
    let why = "no route to host: ".repeat(20);
    let dead = DeadReason::MaxDeliveries;
    stream.stream.dead_letter("notifications", consumer, first, dead, &why, &fields).await.unwrap();
    stream
}

#[tokio::test]
async fn tables_and_advice_fit_the_terminal() {
    let server = RedisServer::start().await;
    let stream = long_names(&server).await;
    let dir = temp_dir();
    let newest = StreamId::MAX.to_string();
    let commands: [&[&str]; 8] = [
        &["groups"],
        &["consumers"],
        &["pending", "notifications"],
        &["doctor"],
        &["dlq", "ls"],
        &["dlq", "ls", "notifications"],
        &["trim", "--min-id", &newest, "--dry-run"],
        &["pending", "typo"],
    ];
    for columns in [80, 120, 200] {
        for args in commands {
            let (shown, _) = at_terminal(orderflow(&dir, &stream.args(args), &[]), columns, "");
            for line in shown.lines() {
                let line = line.replace("\u{1b}[0m", "").replace("\u{1b}[31m", "");
                let line = line.replace("\u{1b}[32m", "").replace("\u{1b}[33m", "");
                assert!(line.chars().count() <= usize::from(columns), "{args:?} at {columns}:\n{shown}");
            }
        }
    }
    let consumers = orderflow(&dir, &stream.args(&["consumers"]), &[]);
    let (shown, _) = at_terminal(consumers, 80, "");
    assert!(shown.contains("notifications-worker-7f6d9c5b4-x2x4z-1  live"), "a name is whole:\n{shown}");
    let wide = at_terminal(orderflow(&dir, &stream.args(&["consumers"]), &[]), 200, "").0;
    assert!(wide.contains("ip-10-120-33-17.eu-central-1 (") && wide.contains("10.120.33.17:9102"), "{wide}");
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    let server = RedisServer::start().await;
    let stream = long_names(&server).await;
    let commands: [&[&str]; 4] =
        [&["doctor"], &["help"], &["nonsense"], &["replay", "--output", "out", "--force"]];
    for args in commands {
        let dir = temp_dir();
        let full = if args.len() == 1 && args[0] != "doctor" { args.to_vec() } else { stream.args(args) };
        // Moving the cursor is no colour.
        let coloured = |shown: &str| {
            shown.split("\u{1b}[").skip(1).any(|rest| {
                rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
            })
        };
        let (shown, _) = at_terminal(orderflow(&dir, &full, &[]), 100, "");
        assert_eq!(coloured(&shown), args[0] != "replay", "{args:?}: {shown:?}");
        for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let (shown, _) = at_terminal(orderflow(&dir, &full, &[env]), 100, "");
            assert!(!coloured(&shown), "{args:?} with {env:?}: {shown:?}");
        }
        let piped = orderflow(&dir, &full, &[]).output().unwrap();
        assert!(!piped.stdout.contains(&0x1b) && !piped.stderr.contains(&0x1b), "{args:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_undone_is_asked_for() {
    let server = RedisServer::start().await;
    let stream = long_names(&server).await;
    let dir = temp_dir();
    std::fs::write(dir.path().join("in"), "{\"fields\":{\"a\":\"b\"}}\n").unwrap();
    let commands: [(&[&str], &str, &str); 3] = [
        (&["import", "in"], "Append 1 entry to events:orders", "appended 1 entry"),
        (
            &["dlq", "purge", "notifications", "--all"],
            "Purge all dead letters (1) of group notifications for good?",
            "1 purged",
        ),
        (
            &["trim", "--maxlen", "0", "--exact", "--accept-loss"],
            "Remove 3 entries for good?",
            "removed 3 entries",
        ),
    ];
    for (args, question, done) in commands {
        for (typed, code) in [("\n", 1), ("nay\n", 1), ("y\n", 0)] {
            let (shown, status) = at_terminal(orderflow(&dir, &stream.args(args), &[]), 120, typed);
            assert_eq!(status.code(), Some(code), "{shown}");
            assert!(shown.contains(question), "{shown}");
            assert_eq!(shown.contains(done), code == 0, "{shown}");
            assert_eq!(shown.contains("not confirmed; nothing was done"), code == 1, "{shown}");
        }
    }
}
