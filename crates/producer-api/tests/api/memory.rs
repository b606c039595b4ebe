//! Imports of many lines, and what memory the process took for them.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Instant,
};

use serde_json::json;

use crate::{client::Api, import::Import};

/// The process stays below this, however many lines there are.
const PEAK_KIB_MAX: u64 = 64 * 1024;

/// Lines that are sent at a time.
const LINES_A_CHUNK: usize = 500;

/// Sends so many lines, checks every result, and prints what it took.
pub(crate) async fn import(api: &Api, count: usize) {
    let mut import = Import::open(api).await;
    let (sender, answer) = (&mut import.sender, &mut import.answer);
    let begun = Instant::now();
    let send = async {
        let mut sent = 0;
        while sent < count {
            let mut chunk = String::new();
            for n in (sent..count).take(LINES_A_CHUNK) {
                let order = json!({
                    "type": "order.paid", "order_id": format!("o-{n}"), "customer": format!("c-{}", n % 1_000),
                    "amount": "49.50",
                });
                writeln!(chunk, "{order}").expect("a string takes all");
            }
            sent += LINES_A_CHUNK;
            sender.send(chunk.as_bytes()).await.expect("a chunk is taken");
        }
        sender.end().await;
    };
    let read = async {
        let mut read = 0;
        while let Some(result) = answer.result().await {
            read += 1;
            assert!(result["line"] == read && result["id"].is_string(), "{result}");
        }
        read
    };
    let ((), read) = tokio::join!(send, read);
    let (took, peak) = (begun.elapsed(), api.process.peak_memory_kib());
    let rate = count as f64 / took.as_secs_f64();
    let figures = format!("{count} lines in {took:.1?} ({rate:.0}/s); peak memory {peak} KiB");
    writeln!(io::stderr(), "{figures}").expect("standard error");
    assert_eq!(read, count);
    assert_eq!(api.redis::<usize>(&format!("XLEN {}", api.stream)).await, count);
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB at the peak");
}
