//! [`Injector`]: makes the faults of a schedule happen, and undoes them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;
use testkit::{Network, RedisServer};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::{
    fault::{Fault, Target},
    member::Member,
    schedule::Planned,
};

/// The stream that the services have by default.
pub(super) const STREAM: &str = "events:orders";

/// What the faults have been, for the report and the checker.
#[derive(Debug, Default)]
pub(super) struct Injected {
    /// Faults by what the report calls them.
    pub(super) by_kind: BTreeMap<String, usize>,
    /// Poison entries appended.
    pub(super) poison: usize,
    /// Groups destroyed, each as often as it was.
    pub(super) groups_destroyed: Vec<&'static str>,
}

/// What the faults are done to.
#[derive(Debug)]
pub(super) struct Injector {
    pub(super) redis: RedisServer,
    pub(super) members: Vec<Member>,
    pub(super) injected: Injected,
    /// What happens when: written at once, for whoever has to find out why a run ended early.
    pub(super) log: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    End,
    Begin,
}

impl Injector {
    /// Runs the whole schedule; returns when its last fault has ended.
    pub(super) async fn inject(&mut self, planned: &[Planned]) {
        let start = Instant::now();
        let planned: Vec<Arc<Planned>> = planned.iter().cloned().map(Arc::new).collect();
        let begins = planned.iter().map(|fault| (fault.at, Step::Begin, Arc::clone(fault)));
        let ends = planned.iter().map(|fault| (fault.at + fault.lasts, Step::End, Arc::clone(fault)));
        let mut steps: Vec<_> = begins.chain(ends).collect();
        // An instantaneous fault begins before it ends; otherwise ends come first, so that targets are free.
        steps.sort_by_key(|(at, step, fault)| (*at, *step == Step::Begin && !fault.lasts.is_zero()));
        for (at, step, fault) in steps {
            sleep_until(TokioInstant::from_std(start + at)).await;
            for member in 0..self.members.len() {
                if !is_down(member, &planned, at) {
                    self.members[member].supervise();
                }
            }
            self.note(start.elapsed(), step, &fault);
            match step {
                Step::Begin => self.begin(&fault).await,
                Step::End => self.end(&fault).await,
            }
        }
    }

    fn note(&mut self, elapsed: Duration, step: Step, fault: &Planned) {
        let target = match fault.target {
            Target::Member(index) => self.members[index].name.as_str(),
            Target::Redis => "redis",
        };
        let step = if step == Step::Begin { "begins" } else { "ends" };
        let seconds = elapsed.as_secs_f64();
        writeln!(self.log, "{seconds:8.3} {step} {:?} {target}", fault.fault)
            .expect("the log can be written");
    }

    async fn begin(&mut self, planned: &Planned) {
        *self.injected.by_kind.entry(planned.card.label()).or_default() += 1;
        match planned.target {
            Target::Member(index) => {
                let member = &mut self.members[index];
                match planned.fault {
                    Fault::Kill => member.kill().await,
                    Fault::Freeze => member.freeze().await,
                    Fault::Slow(delay) => member.network(Network::Slow(delay)),
                    Fault::HalfOpen => member.network(Network::HalfOpen),
                    Fault::Cut => member.network(Network::Cut),
                    Fault::Reset => member.network(Network::Reset),
                    _ => unreachable!("{planned:?}: a fault of Redis hits no member"),
                }
            }
            Target::Redis => self.begin_redis(planned).await,
        }
    }

    async fn begin_redis(&mut self, planned: &Planned) {
        if planned.fault == Fault::RedisKill {
            self.redis.kill();
            return;
        }
        let mut command = redis::cmd(match planned.fault {
            Fault::RedisPause | Fault::ClientKill => "CLIENT",
            Fault::OutOfMemory => "CONFIG",
            Fault::DestroyGroup(_) => "XGROUP",
            _ => "XADD",
        });
        match planned.fault {
            Fault::RedisPause => command.arg("PAUSE").arg(planned.lasts.as_millis() as u64).arg("ALL"),
            Fault::ClientKill => command.arg("KILL").arg("TYPE").arg("normal"),
            Fault::OutOfMemory => command.arg("SET").arg("maxmemory").arg("1"),
            Fault::DestroyGroup(group) => {
                self.injected.groups_destroyed.push(group);
                command.arg("DESTROY").arg(STREAM).arg(group)
            }
            Fault::Poison(shape) => {
                self.injected.poison += 1;
                command.arg(STREAM).arg("*");
                for (name, value) in shape.fields(self.injected.poison) {
                    command.arg(name).arg(value);
                }
                &mut command
            }
            _ => unreachable!("{planned:?}: a fault of a member does not hit Redis"),
        };
        self.command(&command).await;
    }

    async fn end(&mut self, planned: &Planned) {
        match (planned.target, planned.fault) {
            (Target::Member(index), Fault::Kill) => self.members[index].start_again(),
            (Target::Member(index), Fault::Freeze) => self.members[index].thaw(),
            (Target::Member(index), _) => self.members[index].network(Network::Pass),
            (Target::Redis, Fault::RedisKill) => self.redis.restart().await,
            (Target::Redis, Fault::OutOfMemory) => {
                self.command(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0")).await;
            }
            (Target::Redis, _) => {}
        }
    }

    /// Sends a command straight to the server, which no other fault hits at this time.
    async fn command(&self, command: &redis::Cmd) {
        let mut connection: MultiplexedConnection = self.redis.connection().await;
        let reply: redis::RedisResult<redis::Value> = command.query_async(&mut connection).await;
        reply.expect("a healthy server obeys");
    }
}

/// Whether a member has been killed by us and not yet been started again.
fn is_down(member: usize, planned: &[Arc<Planned>], at: Duration) -> bool {
    let target = Target::Member(member);
    planned.iter().any(|fault| {
        fault.fault == Fault::Kill && fault.target == target && fault.at < at && at <= fault.at + fault.lasts
    })
}
