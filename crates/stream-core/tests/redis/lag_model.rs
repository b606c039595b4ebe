//! Lag and pending against a count of the test's own, through everything that can happen to a stream and its groups:
//! they must agree, also where the server's number is wrong.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use stream_core::{EventStream, Lag, StreamId};
use testkit::RedisServer;

use crate::support::Bench;

/// What the test knows, without ever asking the server for a count.
#[derive(Debug, Default)]
struct Model {
    present: BTreeSet<StreamId>,
    /// IDs ever given, for commands about entries that are not there any more.
    ever: Vec<StreamId>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    position: StreamId,
    pending: BTreeSet<StreamId>,
}

impl Model {
    fn lag(&self, group: &Group) -> u64 {
        self.present.iter().filter(|id| **id > group.position).count() as u64
    }

    fn any_group(&self, rng: &mut Rng) -> Option<String> {
        rng.choice(self.groups.keys()).cloned()
    }

    fn any_id(&self, rng: &mut Rng) -> StreamId {
        rng.choice(self.ever.iter()).copied().unwrap_or(StreamId::MIN)
    }
}

/// The reply of XREADGROUP: streams, each with its entries.
type Read = Option<Vec<(String, Vec<(String, Vec<String>)>)>>;

const STEPS: usize = 300;

async fn append(bench: &Bench, model: &mut Model, count: usize) {
    let ids = bench.append(count).await;
    model.present.extend(&ids);
    model.ever.extend(&ids);
}

async fn deliver(bench: &Bench, model: &mut Model, group: &str, count: usize) {
    let line = format!("XREADGROUP GROUP {group} c COUNT {count} STREAMS $stream >");
    let read: Read = bench.cmd(&line).await;
    let ids = read.into_iter().flatten().flat_map(|(_, entries)| entries);
    let ids: Vec<StreamId> = ids.map(|(id, _)| id.parse().expect("an entry ID")).collect();
    let known = model.groups.get_mut(group).expect("a known group");
    let next = model.present.iter().filter(|id| **id > known.position).take(count);
    assert_eq!(ids, next.copied().collect::<Vec<_>>(), "the server hands out what is next");
    if let Some(last) = ids.last() {
        known.position = *last;
    }
    known.pending.extend(ids);
}

async fn ack(bench: &Bench, model: &mut Model, group: &str, rng: &mut Rng) {
    let known = model.groups.get_mut(group).expect("a known group");
    for id in known.pending.clone() {
        if rng.bool() {
            bench.cmd::<i64>(&format!("XACK $stream {group} {id}")).await;
            known.pending.remove(&id);
        }
    }
}

async fn remove(bench: &Bench, model: &mut Model, rng: &mut Rng) {
    let id = model.any_id(rng);
    match rng.u8(0..5) {
        0 | 1 => {
            bench.cmd::<i64>(&format!("XDEL $stream {id}")).await;
            model.present.remove(&id);
        }
        2 => {
            bench.cmd::<i64>(&format!("XTRIM $stream MINID = {id}")).await;
            model.present.retain(|there| *there >= id);
        }
        3 => {
            let keep = rng.usize(0..=model.present.len());
            bench.cmd::<i64>(&format!("XTRIM $stream MAXLEN = {keep}")).await;
            while model.present.len() > keep {
                model.present.pop_first();
            }
        }
        // Whole nodes only: which those are, the server alone knows.
        _ => {
            let removed: usize = bench.cmd(&format!("XTRIM $stream MINID ~ {id}")).await;
            for _ in 0..removed {
                model.present.pop_first();
            }
        }
    }
}

async fn change_groups(bench: &Bench, model: &mut Model, rng: &mut Rng, step: usize) {
    let id = model.any_id(rng);
    match (rng.u8(0..4), model.any_group(rng)) {
        (0, Some(group)) if model.groups.len() > 2 => {
            bench.cmd::<i64>(&format!("XGROUP DESTROY $stream {group}")).await;
            model.groups.remove(&group);
        }
        (1 | 2, Some(group)) => {
            bench.cmd::<()>(&format!("XGROUP SETID $stream {group} {id}")).await;
            model.groups.get_mut(&group).expect("a known group").position = id;
        }
        _ if model.groups.len() < 5 => {
            let name = format!("g{step}");
            let (start, position) = match rng.u8(0..3) {
                0 => ("0".to_owned(), StreamId::MIN),
                1 => ("$".to_owned(), model.ever.last().copied().unwrap_or(StreamId::MIN)),
                _ => (id.to_string(), id),
            };
            bench.cmd::<()>(&format!("XGROUP CREATE $stream {name} {start} MKSTREAM")).await;
            model.groups.insert(name, Group { position, pending: BTreeSet::new() });
        }
        _ => {}
    }
}

/// Of how many groups the server's own number is not the lag.
async fn compare(stream: &EventStream, model: &Model, context: &str) -> usize {
    let mut wrong = 0;
    let info = stream.info().await.expect("XINFO STREAM");
    assert_eq!(info.length, model.present.len() as u64, "{context}");
    assert_eq!(info.entries_added, model.ever.len() as u64, "{context}");
    let groups = stream.groups().await.expect("XINFO GROUPS");
    assert_eq!(groups.len(), model.groups.len(), "{context}");
    for group in groups {
        let known = &model.groups[&group.name];
        let lag = stream.lag(&info, &group).await.expect("the lag");
        // So few can always be counted, so that unknown would be no excuse.
        assert_eq!(lag, Lag::Known(model.lag(known)), "{context}: {group:?}");
        wrong += usize::from(group.server_lag != lag);
        assert_eq!(group.pending, known.pending.len() as u64, "{context}: {group:?}");
        let oldest =
            stream.pending_summary(&group.name).await.expect("XPENDING").range.map(|(oldest, _)| oldest);
        assert_eq!(oldest, known.pending.first().copied(), "{context}: {group:?}");
        let undelivered = stream.oldest_undelivered(&group).await.expect("XRANGE");
        let expected = model.present.iter().find(|id| **id > known.position).copied();
        assert_eq!(undelivered, expected, "{context}: {group:?}");
    }
    wrong
}

/// How often the server's own number was wrong or missing.
async fn run(seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let server = RedisServer::builder().append_only(true).start().await;
    let mut bench = Bench::on(server).await;
    let (mut model, mut wrong) = (Model::default(), 0);
    for group in ["g", "h"] {
        bench.cmd::<()>(&format!("XGROUP CREATE $stream {group} 0 MKSTREAM")).await;
        model.groups.insert(group.to_owned(), Group::default());
    }
    for step in 0..STEPS {
        let what = rng.u8(0..100);
        let group = model.any_group(&mut rng).expect("there is always one");
        match what {
            0..35 => append(&bench, &mut model, rng.usize(1..40)).await,
            35..65 => deliver(&bench, &mut model, &group, rng.usize(1..60)).await,
            65..80 => ack(&bench, &mut model, &group, &mut rng).await,
            80..90 => remove(&bench, &mut model, &mut rng).await,
            90..98 => change_groups(&bench, &mut model, &mut rng, step).await,
            // A crash: what comes back is what the append-only file holds.
            98 => {
                bench.server.restart().await;
                bench.reconnect().await;
            }
            // The same from a file that was rewritten, which holds groups as they are and not as they came about.
            _ => {
                bench.cmd::<String>("BGREWRITEAOF").await;
                rewritten(&bench).await;
                bench.server.restart().await;
                bench.reconnect().await;
            }
        }
        settled_connection(&bench).await;
        wrong += compare(&bench.stream, &model, &format!("seed {seed}, step {step} ({what})")).await;
    }
    wrong
}

/// Waits until the rewrite of the append-only file is over.
async fn rewritten(bench: &Bench) {
    testkit::eventually(crate::support::SOON, "the append-only file is rewritten", async || {
        let info: String = bench.cmd("INFO persistence").await;
        let busy = info.contains("aof_rewrite_in_progress:1") || info.contains("aof_rewrite_scheduled:1");
        if busy { Err(info) } else { Ok(()) }
    })
    .await;
}

/// After a restart the stream's connection is made anew.
async fn settled_connection(bench: &Bench) {
    testkit::eventually(crate::support::SOON, "the stream's connection works", async || {
        bench.stream.info().await.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn lag_and_pending_agree_with_an_independent_count() {
    let mut wrong = 0;
    for seed in 1..=2 {
        wrong += run(seed).await;
    }
    assert!(wrong > 0, "the server's number alone would have done, so that nothing was tried");
}
