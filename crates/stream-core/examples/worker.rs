//! A worker that prints what it reads, until Ctrl-C: `cargo run -p stream-core --example worker -- redis://127.0.0.1:6379/`.
//!
//! Feed it with `redis-cli XADD visitors '*' name Ada`; an entry without a name becomes a dead letter.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use prometheus::Registry;
use stream_core::{
    ConnectSettings, Connector, Delivery, EventStream, Handler, Outcome, StreamKey, Worker, WorkerSettings,
};
use tokio_util::sync::CancellationToken;

struct Greet;

impl Handler for Greet {
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        let Some(name) = delivery.fields.get("name") else {
            return Outcome::Poison { reason: "no name".to_owned() };
        };
        println!("{}: hello, {}", delivery.id, String::from_utf8_lossy(name));
        Outcome::Ack
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = ConnectSettings::default();
    if let Some(url) = std::env::args().nth(1) {
        settings.url = url;
    }
    let connector = Connector::new(settings)?;
    let stream = EventStream::new(connector.commands()?, StreamKey::new("visitors")?);
    let settings = WorkerSettings { consumers: vec!["example-0".to_owned()], ..WorkerSettings::default() };
    let worker = Worker::new(connector, stream, "greeters", settings, &Registry::new())?;

    let shutdown = CancellationToken::new();
    let on_signal = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_signal.cancel();
        }
    });
    let report = worker.run_handler(Greet, shutdown).await?;
    println!("drained: {report:?}");
    Ok(())
}
