//! Settling is one step: cut off before it, within its request, or before its answer, an entry is pending or settled,
//! never both, never neither.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use stream_core::{
    ConnectSettings, Connector, Delivery, EventStream, Fields, Handler, Outcome, StreamId, Worker,
    WorkerSettings,
};
use testkit::{RedisServer, eventually};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Bench, GROUP, On, Running, SOON, Seen, quick, retry};

/// Where a request is cut off. The connection goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The server gets nothing of it.
    Before,
    /// The server gets a part of it.
    Within,
    /// The server has applied it, and its answer is lost.
    After,
}

const POINTS: [Point; 3] = [Point::Before, Point::Within, Point::After];

/// A way to the server that cuts off the request which contains a text.
#[derive(Clone, Default)]
struct Cutter {
    armed: Arc<Mutex<Option<(String, usize, Point)>>>,
    cuts: Arc<AtomicUsize>,
}

impl Cutter {
    /// Listens in front of the server; returns where.
    async fn listen(&self, server: &RedisServer) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let target = server.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
        let cutter = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (cutter, target) = (cutter.clone(), target.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(target).await {
                        cutter.forward(client, server).await;
                    }
                });
            }
        });
        format!("redis://{address}/")
    }

    /// Cuts off the first request with this text, after letting so many of them pass.
    fn arm(&self, text: &str, passing: usize, point: Point) {
        *self.armed.lock().expect("no panic while locked") = Some((text.to_owned(), passing, point));
    }

    async fn has_cut(&self) {
        eventually(SOON, "the request is cut off", async || {
            (self.cuts.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
    }

    /// Where to cut this request off, and behind how many bytes.
    fn cut(&self, request: &[u8]) -> Option<(Point, usize)> {
        let mut armed = self.armed.lock().expect("no panic while locked");
        let (text, passing, point) = armed.as_mut()?;
        let at = request.windows(text.len()).position(|window| window == text.as_bytes())?;
        if *passing > 0 {
            *passing -= 1;
            return None;
        }
        let point = *point;
        *armed = None;
        Some((point, at))
    }

    /// Both ways, until one side closes or the request is cut off.
    async fn forward(&self, client: TcpStream, server: TcpStream) {
        let (mut request, mut answer) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        loop {
            tokio::select! {
                length = read(&client, &mut request) => {
                    let Ok(length @ 1..) = length else { return };
                    let request = &request[..length];
                    let Some((point, at)) = self.cut(request) else {
                        if write_all(&server, request).await.is_err() {
                            return;
                        }
                        continue;
                    };
                    match point {
                        Point::Before => {}
                        Point::Within => write_all(&server, &request[..at]).await.expect("the server reads"),
                        Point::After => {
                            write_all(&server, request).await.expect("the server reads");
                            // Redis answers once it has run everything that it was sent.
                            let _ = read(&server, &mut answer).await;
                        }
                    }
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                length = read(&server, &mut answer) => {
                    let Ok(length @ 1..) = length else { return };
                    if write_all(&client, &answer[..length]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A worker that reaches the server through a cutter, and has settled one entry of each kind: the scripts are loaded.
async fn cuttable(bench: &Bench, settings: WorkerSettings, handler: impl Handler) -> (Cutter, Running) {
    let cutter = Cutter::default();
    let url = cutter.listen(&bench.server).await;
    let connector = Connector::new(ConnectSettings { url, ..ConnectSettings::default() }).expect("a URL");
    let stream = EventStream::new(connector.commands().expect("a connection"), bench.stream.key().clone());
    let registry = prometheus::Registry::new();
    let worker = Worker::new(connector, stream, GROUP, settings, &registry).expect("a worker");
    let running = Running::start(worker, registry, handler);
    for verb in ["ack", "dead", "later"] {
        bench.stream.append([("do", verb)]).await.expect("appended");
        bench.send_back(StreamId::new(1, 1), 1, &[("do", verb)].into_iter().collect()).await;
    }
    bench.settled().await;
    bench.redriven().await;
    let dead_letters = bench.stream.key().dead_letters(GROUP);
    bench.cmd::<i64>(&format!("DEL {dead_letters}")).await;
    (cutter, running)
}

/// Does what the entry says.
fn obedient(seen: &Seen) -> impl Handler + use<> {
    let seen = seen.clone();
    On(move |delivery: Delivery| {
        let verb = delivery.fields.get("do").expect("a verb").to_vec();
        if delivery.fields.get("cut").is_some() {
            seen.note(&delivery);
        }
        async move {
            match &verb[..] {
                b"ack" => Outcome::Ack,
                b"dead" => Outcome::DeadLetter { reason: "refused for good".into() },
                _ if delivery.deliveries < 2 => retry("not now"),
                _ => Outcome::Ack,
            }
        }
    })
}

fn entry(verb: &'static str) -> Fields {
    [("do", verb), ("cut", "here")].into_iter().collect()
}

/// Too wide for a script.
fn wide() -> Fields {
    let padding = (0..4_000).map(|n| (format!("f{n}"), "v".to_owned()));
    [("do".to_owned(), "dead".to_owned()), ("cut".to_owned(), "here".to_owned())]
        .into_iter()
        .chain(padding)
        .collect()
}

#[tokio::test]
async fn an_ack_that_is_cut_off_is_repeated() {
    for point in POINTS {
        let (bench, seen) = (Bench::with_group().await, Seen::default());
        let (cutter, worker) = cuttable(&bench, quick("c"), obedient(&seen)).await;
        cutter.arm("XACK", 0, point);
        bench.stream.append(entry("ack").iter()).await.unwrap();
        cutter.has_cut().await;
        bench.settled().await;
        assert_eq!(seen.all().len(), 1, "{point:?}: it is repeated by who handled the entry");
        assert!(bench.dead_letters().await.is_empty());
        worker.drain().await;
    }
}

#[tokio::test]
async fn an_ack_in_the_redrive_stream_that_is_cut_off_is_repeated() {
    for point in POINTS {
        let (bench, seen) = (Bench::with_group().await, Seen::default());
        let (cutter, worker) = cuttable(&bench, quick("c"), obedient(&seen)).await;
        // The first time that the worker names an entry's ID is when it settles it.
        let row = StreamId::new(u64::MAX - 1, 7);
        cutter.arm(&row.to_string(), 0, point);
        let redrive = bench.redrive_stream();
        bench
            .cmd::<String>(&format!(
                "XADD {} {row} _redrive_of 1-2 _redrive_count 1 do ack cut here",
                redrive.key()
            ))
            .await;
        cutter.has_cut().await;
        bench.redriven().await;
        assert_eq!(seen.ids(), [StreamId::new(1, 2)], "{point:?}");
        assert!(bench.dead_letters().await.is_empty());
        worker.drain().await;
    }
}

#[tokio::test]
async fn a_dead_letter_that_is_cut_off_is_written_once() {
    // The wide one is moved by the transaction that comes after the script.
    for (fields, passing) in [(entry("dead"), 0), (wide(), 1)] {
        for point in POINTS {
            let (bench, seen) = (Bench::with_group().await, Seen::default());
            let (cutter, worker) = cuttable(&bench, quick("c"), obedient(&seen)).await;
            cutter.arm("refused for good", passing, point);
            let id = bench.stream.append(fields.iter()).await.unwrap();
            cutter.has_cut().await;
            bench.settled().await;
            assert_eq!(bench.dead().await, [(id.to_string(), "rejected".into())], "{point:?}");
            assert!(bench.dead_letters().await[0].fields.iter().skip(7).eq(fields.iter()));
            assert_eq!(seen.all().len(), 1);
            worker.drain().await;
        }
    }
}

#[tokio::test]
async fn a_redriven_dead_letter_that_is_cut_off_is_written_once() {
    for (fields, passing) in [(entry("dead"), 0), (wide(), 1)] {
        for point in POINTS {
            let (bench, seen) = (Bench::with_group().await, Seen::default());
            let (cutter, worker) = cuttable(&bench, quick("c"), obedient(&seen)).await;
            cutter.arm("refused for good", passing, point);
            bench.send_back(StreamId::new(1, 2), 1, &fields).await;
            cutter.has_cut().await;
            bench.redriven().await;
            assert_eq!(bench.dead().await, [("1-2".into(), "rejected".into())], "{point:?}");
            assert!(bench.dead_letters().await[0].fields.iter().skip(8).eq(fields.iter()));
            assert_eq!(seen.all().len(), 1);
            worker.drain().await;
        }
    }
}

#[tokio::test]
async fn a_retry_whose_claim_is_cut_off_costs_no_attempt() {
    for point in POINTS {
        let (bench, seen) = (Bench::with_group().await, Seen::default());
        let (cutter, worker) = cuttable(&bench, quick("c"), obedient(&seen)).await;
        let id = StreamId::new(u64::MAX - 1, 7);
        // Its ID is named first by the claim for its second attempt.
        cutter.arm(&id.to_string(), 0, point);
        bench.cmd::<String>(&format!("XADD $stream {id} do later cut here")).await;
        cutter.has_cut().await;
        bench.settled().await;
        assert_eq!(seen.counts(), [(id, 1), (id, 2)], "{point:?}");
        assert!(bench.dead_letters().await.is_empty());
        worker.crash().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_at_its_dead_letter_leaves_it_pending_or_settled() {
    for point in POINTS {
        let (bench, seen) = (Bench::with_group().await, Seen::default());
        let (cutter, worker) = cuttable(&bench, quick("c"), obedient(&seen)).await;
        cutter.arm("refused for good", 0, point);
        let id = bench.stream.append(entry("dead").iter()).await.unwrap();
        cutter.has_cut().await;
        worker.crash().await;
        let (pending, dead) = (bench.rows().await.len(), bench.dead_letters().await.len());
        assert_eq!(pending + dead, 1, "{point:?}: {pending} pending, {dead} dead letters");
        let peer = bench.run(quick("peer"), obedient(&seen));
        bench.settled().await;
        assert_eq!(bench.dead().await, [(id.to_string(), "rejected".into())], "{point:?}");
        assert_eq!(seen.all().len(), 1 + pending);
        peer.drain().await;
    }
}

#[tokio::test]
async fn a_server_that_dies_while_entries_are_settled_keeps_each_pending_or_settled() {
    let server = RedisServer::builder().append_only(true).start().await;
    let mut bench = Bench::on(server).await;
    let seen = Seen::default();
    let worker = bench.run(quick("c"), obedient(&seen));
    let (mut dead, mut sent) = (Vec::new(), 0);
    for round in 1..=4 {
        for _ in 0..60 {
            for verb in ["dead", "ack", "later"] {
                let id = bench.stream.append(entry(verb).iter()).await.unwrap();
                sent += 1;
                if verb == "dead" {
                    dead.push((id.to_string(), "rejected".to_owned()));
                }
            }
        }
        // In the midst of it.
        seen.reaches(sent - 60 + 10 * round).await;
        bench.server.kill();
        bench.server.restart().await;
        bench.reconnect().await;
        eventually(SOON, "the connection is there again", async || bench.stream.info().await.map(drop)).await;
    }
    bench.settled().await;
    let mut found = bench.dead().await;
    found.sort();
    dead.sort();
    assert_eq!(found, dead, "each once, and nothing else");
    worker.drain().await;
}
