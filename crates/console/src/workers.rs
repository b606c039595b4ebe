//! [`Workers`]: the processes that run consumers, as the registry tells of them, and what each says when it is asked.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use service_kit::{
    Problem,
    admin_client::{AdminClient, WorkerAnswer},
};
use stream_core::{EventStream, Holder, RegisteredConsumer};

use crate::{clock, problems};

/// Most processes that are asked; those beyond are left out, which the state says.
pub(crate) const PROCESSES_MAX: usize = 100;
/// How long a process may take to say how it is.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);

/// A worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// `<host>/<pid>`.
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// When it was started, Unix ms, where that can be told.
    pub(crate) started_ms: Option<u64>,
    /// The group that it consumes.
    pub(crate) group: String,
    /// Where its levers are.
    pub(crate) address: String,
    /// The names that it holds.
    pub(crate) consumers: Vec<String>,
}

/// A process and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) process: Process,
    /// Its answer, or why there is none.
    pub(crate) answer: Result<WorkerAnswer, String>,
}

/// Tells two processes apart: host names and process numbers need not be unique.
type Key = (String, String, String);

/// The processes that are known. One that holds no name any more, its last consumer removed, is not in the registry
/// either: it is remembered from before for as long as it answers, so that a consumer can be added to it.
#[derive(Debug)]
pub(crate) struct Workers {
    stream: EventStream,
    client: AdminClient,
    nameless: Mutex<BTreeMap<Key, Process>>,
}

impl Process {
    fn of(holder: &Holder, group: &str) -> Self {
        Self {
            id: format!("{}/{}", holder.host, holder.pid),
            host: holder.host.clone(),
            pid: holder.pid,
            started_ms: clock::started_ms(holder),
            group: group.to_owned(),
            address: holder.address.clone(),
            consumers: Vec::new(),
        }
    }

    fn key(&self) -> Key {
        (self.group.clone(), self.id.clone(), self.address.clone())
    }
}

impl Workers {
    pub(crate) fn new(stream: EventStream, client: AdminClient) -> Self {
        Self { stream, client, nameless: Mutex::default() }
    }

    /// Pulls the levers.
    pub(crate) const fn client(&self) -> &AdminClient {
        &self.client
    }

    /// Every process that holds a name, and those remembered that hold none.
    pub(crate) fn processes(&self, registered: &[(RegisteredConsumer, bool)]) -> Vec<Process> {
        let mut processes: BTreeMap<Key, Process> = BTreeMap::new();
        for (consumer, alive) in registered {
            if let Some(holder) = consumer.holder.as_ref().filter(|_| *alive) {
                let process = Process::of(holder, &consumer.group);
                let known = processes.entry(process.key()).or_insert(process);
                known.consumers.push(consumer.consumer.clone());
            }
        }
        for (key, process) in self.remembered().iter() {
            // Whoever is at its address now is another one: it was restarted.
            if !processes.values().any(|it| it.group == process.group && it.address == process.address) {
                processes.insert(key.clone(), process.clone());
            }
        }
        processes.into_values().collect()
    }

    /// Asks each of the processes how it is, all at once.
    pub(crate) async fn ask(&self, processes: Vec<Process>) -> Vec<Asked> {
        let asked = processes.into_iter().take(PROCESSES_MAX).map(|process| self.ask_one(process));
        let asked = join_all(asked).await;
        let mut remembered = self.remembered();
        remembered.retain(|key, process| {
            let same = asked.iter().find(|asked| asked.process.address == process.address);
            same.is_none_or(|asked| asked.process.key() == *key)
        });
        for Asked { process, answer } in &asked {
            if answer.is_ok() {
                let nameless = Process { consumers: Vec::new(), ..process.clone() };
                remembered.insert(process.key(), nameless);
            } else {
                remembered.remove(&process.key());
            }
        }
        while remembered.len() > PROCESSES_MAX {
            remembered.pop_first();
        }
        asked
    }

    async fn ask_one(&self, process: Process) -> Asked {
        let answer = self.client.worker(&process.address, ANSWER_WITHIN).await;
        Asked { answer: answer.map_err(|error| error.to_string()), process }
    }

    /// The registered consumers, each with whether its name is leased: two round trips.
    pub(crate) async fn registered(&self) -> Result<Vec<(RegisteredConsumer, bool)>, Problem> {
        let registered = self.stream.registered_consumers().await.map_err(|error| problems::redis(&error))?;
        let names: Vec<_> = registered.iter().map(|it| (it.group.as_str(), it.consumer.as_str())).collect();
        let alive = self.stream.names_leased(&names).await.map_err(|error| problems::redis(&error))?;
        Ok(registered.into_iter().zip(alive).collect())
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Process>> {
        self.nameless.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use service_kit::{Settings, config::Secret};
    use stream_core::{ConnectSettings, Connector, ConsumerCounters, StreamKey};

    use super::*;

    fn registered(pid: u32, consumer: &str) -> RegisteredConsumer {
        let holder = Holder { pid, ..Holder::current("host", "127.0.0.1:1") };
        RegisteredConsumer {
            group: "g".to_owned(),
            consumer: consumer.to_owned(),
            holder: Some(holder),
            counters: ConsumerCounters::default(),
        }
    }

    #[tokio::test]
    async fn a_process_without_names_is_remembered_until_another_is_at_its_address() {
        let connector = Connector::new(ConnectSettings::default()).unwrap();
        let stream = EventStream::new(connector.commands().unwrap(), StreamKey::new("orders").unwrap());
        let workers =
            Workers::new(stream, AdminClient::new(&Secret::new(""), &Settings::default().tls).unwrap());
        let ids = |registered: &[(RegisteredConsumer, bool)]| -> Vec<(String, Vec<String>)> {
            workers.processes(registered).into_iter().map(|process| (process.id, process.consumers)).collect()
        };
        let one = [(registered(1, "a"), true), (registered(1, "b"), true), (registered(2, "dead"), false)];
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(&one), [("host/1".to_owned(), names(&["a", "b"]))]);
        let process = workers.processes(&one).remove(0);
        workers.remembered().insert(process.key(), Process { consumers: Vec::new(), ..process });
        assert_eq!(ids(&[]), [("host/1".to_owned(), names(&[]))]);
        assert_eq!(ids(&[(registered(3, "a"), true)]), [("host/3".to_owned(), names(&["a"]))]);
        // It does not answer, so it is forgotten.
        workers.ask(workers.processes(&[])).await;
        assert_eq!(ids(&[]), []);
    }
}
