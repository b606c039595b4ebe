//! How the crew obeys its commands: the short ones at once, the others as operations beside its loop.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::timeout;

use super::{
    HandedOver,
    control::{Command, ConsumerState, ControlError, Removed},
    crew::{Crew, Done, Entry, Leaving, Reply},
    operations::{self, Member},
    process::Process,
};

/// The longest name of a consumer, in characters.
const NAME_MAX: usize = 200;

impl<P: Process> Crew<P> {
    pub(super) fn on_command(&mut self, command: Command) {
        if self.shutdown.is_cancelled() && !matches!(command, Command::Status { .. }) {
            // The reply is dropped, which says that the worker does not run any more.
            return;
        }
        match command {
            Command::Status { reply } => {
                let members: Vec<Member> = self.entries.values().map(|entry| entry.member.clone()).collect();
                let (group, claim_auto) = (self.plan.group.to_string(), self.claim_auto);
                let settings = Arc::clone(&self.plan.settings);
                self.answer(reply, async move {
                    Ok(operations::status(group, claim_auto, settings, members).await)
                });
            }
            Command::Pause { consumer, paused, reply } => {
                let members = match &consumer {
                    Some(name) => self.running(name).map(|entry| vec![entry.member.clone()]),
                    None => Ok(self.entries.values().map(|entry| entry.member.clone()).collect()),
                };
                self.answer(reply, async move { operations::pause(members?, paused).await });
            }
            Command::Claiming { auto, reply } => {
                self.claim_auto = auto;
                for entry in self.entries.values() {
                    entry.member.context.levers.switches.send_modify(|switches| switches.claim_auto = auto);
                }
                _ = reply.send(Ok(()));
            }
            Command::Add { consumer, reply } => self.add(&consumer, reply),
            Command::Remove { consumer, to, reply } => self.remove(consumer, to, reply),
            Command::Claim { consumer, claim, within, reply } => {
                let member = self.running(&consumer).map(|entry| entry.member.clone());
                self.answer(reply, async move { operations::claim(&member?, claim, within).await });
            }
            Command::Handover { consumer, to, reply } => self.hand_over(&consumer, to, reply),
            Command::DropNext { consumer, count, reply } => {
                let allowed = self.plan.settings.fault_injection;
                let member = self.running(&consumer).map(|entry| entry.member.clone());
                self.answer(reply, async move {
                    let member = member?;
                    if allowed {
                        operations::drop_next(&member, count).await
                    } else {
                        Err(ControlError::FaultInjectionOff)
                    }
                });
            }
        }
    }

    fn answer<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        operation: impl Future<Output = Result<T, ControlError>> + Send + 'static,
    ) {
        self.operations.spawn(async move {
            // Whoever asked for it may have gone.
            _ = reply.send(operation.await);
            Done::Answered
        });
    }

    fn add(&mut self, name: &str, reply: Reply<()>) {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        let refusal = if name.is_empty() || name.chars().count() > NAME_MAX || name.contains(odd) {
            ControlError::InvalidName(name.to_owned())
        } else if self.entries.contains_key(name) {
            ControlError::Exists(name.to_owned())
        } else {
            self.start(name, Some(reply));
            let Some(entry) = self.entries.get(name) else { return };
            let mut state = entry.member.context.levers.state.subscribe();
            let (name, within) = (name.to_owned(), self.start_timeout());
            self.operations.spawn(async move {
                let started = state.wait_for(|state| *state != ConsumerState::Starting);
                let in_time = timeout(within, started).await.is_ok();
                Done::Started { name, in_time }
            });
            return;
        };
        _ = reply.send(Err(refusal));
    }

    fn remove(&mut self, name: String, to: Option<String>, reply: Reply<Removed>) {
        let is_heir = |entry: &Entry| {
            entry.leaving.as_ref().is_some_and(|leaving| leaving.heir.as_deref() == Some(name.as_str()))
        };
        let refusal = match self.running(&name) {
            Err(refusal) => refusal,
            Ok(_) if to.as_deref() == Some(name.as_str()) => ControlError::NotAPeer(name),
            Ok(_) if self.entries.values().any(is_heir) => {
                ControlError::Busy { consumer: name, doing: "being handed another's entries" }
            }
            Ok(_) => {
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.leaving = Some(Leaving { reply, heir: None });
                }
                return self.choose_heir(name, to);
            }
        };
        _ = reply.send(Err(refusal));
    }

    fn choose_heir(&mut self, name: String, to: Option<String>) {
        let Some(entry) = self.entries.get(&name) else { return };
        let (context, crew) = (Arc::clone(&entry.member.context), self.heirs());
        self.operations.spawn(async move {
            let result = operations::choose_heir(&context, to.as_deref(), &crew).await;
            Done::HeirChosen { name, to, result }
        });
    }

    fn hand_over(&mut self, name: &str, to: String, reply: Reply<HandedOver>) {
        let is_leaving = self.entries.contains_key(&to) && self.running(&to).is_err();
        let member = match self.running(name) {
            Ok(_) if name == to || is_leaving => Err(ControlError::NotAPeer(to.clone())),
            member => member.map(|entry| entry.member.clone()),
        };
        self.operations.spawn(async move {
            let result = match member {
                Ok(member) => operations::hand_over(&member, &to).await,
                Err(error) => Err(error),
            };
            _ = reply.send(result);
            Done::HandedOver { to }
        });
    }

    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Answered => {}
            Done::HandedOver { to } => self.tell_heir(&to),
            Done::Started { name, in_time } => {
                let Some(entry) = self.entries.get_mut(&name) else { return };
                if !in_time || entry.member.state() == ConsumerState::Starting {
                    // Its end tells whoever added it.
                    entry.stop.cancel();
                } else if let Some(reply) = entry.adding.take() {
                    self.plan.ready.send_modify(|ready| ready.wanted += 1);
                    _ = reply.send(Ok(()));
                }
                self.pass_position_on_if_nobody_does();
            }
            Done::HeirChosen { name, to, result } => self.on_heir(name, to, result),
        }
    }

    fn pass_position_on_if_nobody_does(&self) {
        let records = |entry: &Entry| entry.member.context.levers.records_position.load(Ordering::Relaxed);
        if !self.entries.values().any(records) {
            self.pass_position_on();
        }
    }

    fn on_heir(&mut self, name: String, to: Option<String>, result: Result<Option<String>, ControlError>) {
        let result = match result {
            Ok(Some(heir)) if self.entries.contains_key(&heir) && self.running(&heir).is_err() => {
                if to.is_none() {
                    // It has begun to leave meanwhile, and is not chosen again.
                    return self.choose_heir(name, to);
                }
                Err(ControlError::NotAPeer(heir))
            }
            result => result,
        };
        let Some(entry) = self.entries.get_mut(&name) else { return };
        let Some(leaving) = &mut entry.leaving else { return };
        match result {
            Ok(heir) => {
                if let Some(heir) = &heir {
                    // Set once: a consumer leaves once.
                    _ = entry.member.context.levers.heir.set(heir.as_str().into());
                }
                leaving.heir = heir;
                self.plan.ready.send_modify(|ready| ready.wanted = ready.wanted.saturating_sub(1));
                entry.stop.cancel();
            }
            Err(error) => {
                if let Some(leaving) = entry.leaving.take() {
                    _ = leaving.reply.send(Err(error));
                }
                // Whoever did may have left while this one was not to be asked.
                self.pass_position_on_if_nobody_does();
            }
        }
    }
}
