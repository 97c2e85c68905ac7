//! A machine in memory: files, and processes that hold what they loaded.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_port::{
    AllowedChanges, Applied, Asked, Class, Evidence, Failure, Holder, Host, Looked, Named, Prepared, Probe,
    Probing, Proved, Proving, RefusedCalls, Sessions, Swept, Touched, Values,
};
use keyroll_rotation::{
    Consumer, ConsumerId, Delivery, Enumeration, FileId, FoundBy, Holds, HostId, Incarnation,
    InstanceIdentity, Kinds, ObservedInstance, PATHS_MAX, Plan, Proof, Reconciled, ReloadMode, Seq,
    Visibility, Which,
};
use keyroll_secret::Fields;

use super::{Safe, locked};

/// What befalls one effect of a run, counted over all ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It has its effect, and its answer is lost: it is found out, and perhaps carried out once more.
    Lost,
    /// It has no effect, and may be tried again.
    Failed,
    /// It has no effect, for good.
    FailedForGood,
}

/// The effects of one run, counted, and what befalls one of them.
#[derive(Default)]
pub(crate) struct Fate {
    done: AtomicUsize,
    pub(crate) at: Mutex<Option<(usize, Mishap)>>,
}

impl Fate {
    pub(crate) fn count(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Lets an effect happen, or not, and says what its caller sees.
    pub(crate) fn befall<T>(&self, effect: impl FnOnce() -> T) -> Result<T, Failure> {
        let number = self.done.fetch_add(1, Ordering::SeqCst);
        let mishap = locked(&self.at).filter(|(at, _)| *at == number).map(|(_, mishap)| mishap);
        match mishap {
            None => Ok(effect()),
            Some(Mishap::Lost) => {
                drop(effect());
                Err(Failure::new(Class::Unknown, Code::RequestFailed, "hear of it"))
            }
            Some(Mishap::Failed) => Err(Failure::new(Class::Retryable, Code::RequestFailed, "do it now")),
            Some(Mishap::FailedForGood) => {
                Err(Failure::new(Class::Permanent, Code::RequestFailed, "do it at all"))
            }
        }
    }
}

/// The undeclared process has this id, and those beside it have the next ones.
const STRANGE_PID: u32 = 9_999;

/// Restarted processes have the ids behind this one.
const FIRST_PIDS: u32 = 1_000;

struct Proc {
    consumer: usize,
    slot: u8,
    pid: u32,
    loaded: String,
}

struct Inside {
    files: Vec<String>,
    procs: Vec<Proc>,
    pids: u32,
}

/// A machine with the consumers of a plan.
pub(crate) struct Machine {
    /// A delivery blocks until the other end is gone.
    pub(crate) held: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
    consumers: Vec<Consumer>,
    safe: Arc<Safe>,
    fate: Arc<Fate>,
    inside: Mutex<Inside>,
    /// What the logs show at one look after the other, the last of it for good.
    refusals: Mutex<Vec<u32>>,
    mark: Mutex<Option<String>>,
    /// How often it was told to count refusals from now on, and what is refused after the first time.
    watched: AtomicUsize,
    pub(crate) refused_at_first: Mutex<u32>,
    /// Looks at which an undeclared process holds the old value, counted from the first one after the roll.
    pub(crate) strange_looks: Mutex<u32>,
    /// The host of that process.
    pub(crate) strange_host: Mutex<u16>,
    /// How many more undeclared processes there are beside it.
    pub(crate) strange_beside: Mutex<u32>,
    /// The undeclared copies of every look.
    pub(crate) copies: Mutex<Vec<u64>>,
    /// The names that every look comes with.
    pub(crate) names: Mutex<Vec<Named>>,
    /// A record shows that the awaited command was carried out.
    pub(crate) is_recorded: Mutex<bool>,
    /// What was taken out beside the old value, of what the issuer was seen to have ended.
    pub(crate) struck: Mutex<Vec<String>>,
    /// The hosts from which the issuer was asked, call by call.
    pub(crate) asked_from: Mutex<Vec<HostId>>,
    /// What the issuer answers this host, whatever it is asked.
    pub(crate) answers: Mutex<Option<(HostId, Probe)>>,
    /// The versions that were about to be given out, each with what was given out then.
    pub(crate) about_to_give: Mutex<Vec<(Which, String)>>,
}

fn text(fields: &Fields) -> String {
    let field = fields.get("key").expect("a key");
    String::from_utf8(field.value.expose().to_vec()).expect("text")
}

fn value(values: Values<'_>, which: Which) -> Option<String> {
    match which {
        Which::Old => Some(text(values.old)),
        Which::New => values.new.map(text),
    }
}

impl Machine {
    pub(crate) fn new(plan: &Plan, safe: Arc<Safe>, fate: Arc<Fate>, refusals: &[u32]) -> Self {
        let mut procs = Vec::new();
        for (at, consumer) in plan.consumers.iter().enumerate() {
            for slot in 0..consumer.slots {
                let pid = 100 + u32::try_from(procs.len()).unwrap();
                procs.push(Proc { consumer: at, slot, pid, loaded: "value-one".to_owned() });
            }
        }
        let files = vec!["value-one".to_owned(); plan.files.len()];
        let refusals = Mutex::new(refusals.to_vec());
        let inside = Mutex::new(Inside { files, procs, pids: FIRST_PIDS });
        let (watched, refused_at_first) = (AtomicUsize::new(0), Mutex::new(0));
        let (consumers, mark, struck) = (plan.consumers.clone(), Mutex::default(), Mutex::default());
        let strange_looks = Mutex::default();
        Self {
            consumers,
            safe,
            fate,
            inside,
            refusals,
            mark,
            watched,
            refused_at_first,
            strange_looks,
            strange_host: Mutex::default(),
            strange_beside: Mutex::default(),
            copies: Mutex::default(),
            names: Mutex::default(),
            is_recorded: Mutex::default(),
            struck,
            asked_from: Mutex::default(),
            answers: Mutex::default(),
            about_to_give: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// The undeclared process.
    pub(crate) fn stranger(&self) -> Incarnation {
        self.undeclared(STRANGE_PID)
    }

    fn undeclared(&self, pid: u32) -> Incarnation {
        let life = InstanceIdentity::Process { boot: 1, pid, start_ticks: u64::from(pid), program: 0 };
        Incarnation { host: HostId(*locked(&self.strange_host)), life }
    }

    /// The process ids of all undeclared processes.
    fn strange_pids(&self) -> RangeInclusive<u32> {
        STRANGE_PID..=STRANGE_PID + *locked(&self.strange_beside)
    }

    /// How often a process was restarted.
    pub(crate) fn restarts(&self) -> u32 {
        locked(&self.inside).pids - FIRST_PIDS
    }

    /// What every process has loaded by now.
    pub(crate) fn loaded(&self) -> Vec<String> {
        let inside = locked(&self.inside);
        inside.procs.iter().map(|proc| self.holds(&inside, proc)).collect()
    }

    /// What a process holds: those that re-read or follow hold what is there.
    fn holds(&self, inside: &Inside, proc: &Proc) -> String {
        let consumer = &self.consumers[proc.consumer];
        match (consumer.uptake, consumer.delivery) {
            (ReloadMode::Verb, _) => proc.loaded.clone(),
            (ReloadMode::Rereads | ReloadMode::AtRest, Delivery::Follow) => self.safe.given_out(),
            (ReloadMode::Rereads | ReloadMode::AtRest, _) => inside.files[consumer.files[0].index()].clone(),
        }
    }

    fn who(&self, proc: &Proc) -> Incarnation {
        let id = ConsumerId(u16::try_from(proc.consumer).unwrap());
        let life = match self.consumers[proc.consumer].uptake {
            ReloadMode::AtRest => InstanceIdentity::AtRest(id),
            ReloadMode::Verb | ReloadMode::Rereads => InstanceIdentity::Process {
                boot: 1,
                pid: proc.pid,
                start_ticks: u64::from(proc.pid),
                program: 0,
            },
        };
        Incarnation { host: HostId(0), life }
    }
}

#[async_trait]
impl Host for Machine {
    async fn trial(&self, _: Values<'_>) -> Result<Vec<Failure>, Failure> {
        Ok(Vec::new())
    }
    async fn call_from(&self, host: HostId, call: Probing<'_>) -> Probe {
        locked(&self.asked_from).push(host);
        // An answer takes a moment: whoever is asked at the same time is asked before it comes.
        tokio::task::yield_now().await;
        let instead = locked(&self.answers).clone().filter(|(of, _)| *of == host);
        match instead {
            Some((_, probe)) => probe,
            None => call.await,
        }
    }
    async fn carries(&self, _: &Fields) -> Result<(), Failure> {
        Ok(())
    }
    async fn deliver(&self, file: FileId, which: Which, values: Values<'_>, _: Asked) -> Result<(), Failure> {
        let value = value(values, which).expect("a value to write");
        if let Some(held) = locked(&self.held).take() {
            tokio::task::block_in_place(|| held.recv().ok());
        }
        self.fate.befall(|| locked(&self.inside).files[file.index()] = value)
    }
    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        _: Seq,
    ) -> Result<Reconciled, Failure> {
        let there = locked(&self.inside).files[file.index()].clone();
        let goal = value(values, which);
        Ok(if Some(there) == goal { Reconciled::Executed(None) } else { Reconciled::Absent })
    }
    async fn remove_superseded(&self, values: Values<'_>, _: Asked) -> Result<(), Failure> {
        self.fate.befall(|| locked(&self.struck).extend(value(values, Which::New)))
    }
    async fn before_given_out(&self, which: Which, values: Values<'_>, _: &Sessions) -> Result<(), Failure> {
        assert!(value(values, which).is_some(), "{which:?}: there is nothing to look for");
        locked(&self.about_to_give).push((which, self.safe.given_out()));
        Ok(())
    }
    async fn fetch(&self, consumer: ConsumerId, _: Which, _: Values<'_>, _: Asked) -> Result<(), Failure> {
        self.fate.befall(|| {
            let current = self.safe.given_out();
            for file in &self.consumers[consumer.index()].files {
                locked(&self.inside).files[file.index()].clone_from(&current);
            }
        })
    }
    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        _: Asked,
        _: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        let applied = self.fate.befall(|| {
            let mut inside = locked(&self.inside);
            let first = self.consumers[consumer.index()].files.first();
            let value =
                first.map_or_else(|| self.safe.given_out(), |file| inside.files[file.index()].clone());
            inside.pids += 1;
            let pid = inside.pids;
            let mine = |proc: &&mut Proc| proc.consumer == consumer.index() && proc.slot == slot;
            let proc = inside.procs.iter_mut().find(mine).expect("a process");
            (proc.pid, proc.loaded) = (pid, value);
        });
        applied.map(|()| Applied::Done(Vec::new()))
    }
    async fn await_end(&self, _: Touched, _: Seq) -> Result<bool, Failure> {
        Ok(*locked(&self.is_recorded))
    }
    async fn enumerate(&self, values: Values<'_>, _: &Sessions, _: Which) -> Result<Looked, Failure> {
        let (old, new) = (value(values, Which::Old), value(values, Which::New));
        let inside = locked(&self.inside);
        let sight = |there| if there { Visibility::Yes } else { Visibility::No };
        let instances = inside.procs.iter().map(|proc| {
            let held = Some(self.holds(&inside, proc));
            ObservedInstance {
                who: self.who(proc),
                consumer: Some(ConsumerId(u16::try_from(proc.consumer).unwrap())),
                slot: proc.slot,
                old: sight(held == old),
                new: sight(held == new),
                by: FoundBy::Configured,
            }
        });
        let files = (0..).map(FileId).zip(&inside.files).map(|(file, held)| {
            let held = Some(held.clone());
            let holds = match () {
                () if held == old => Holds::Old,
                () if held == new => Holds::New,
                () => Holds::Other,
            };
            (file, holds)
        });
        let mut instances: Vec<ObservedInstance> = instances.collect();
        let moved = instances.iter().all(|it| it.old != Visibility::Yes);
        let mut strange = locked(&self.strange_looks);
        if moved && *strange > 0 {
            *strange -= 1;
            let (old, new, by) = (Visibility::Yes, Visibility::No, FoundBy::Memory);
            let all = self.strange_pids().map(|pid| self.undeclared(pid));
            instances.extend(all.map(|who| ObservedInstance { who, consumer: None, slot: 0, old, new, by }));
        }
        let enumeration = Enumeration {
            complete: true,
            took_ms: 0,
            instances,
            files: files.collect(),
            sessions: None,
            absent: Vec::new(),
            strangers: locked(&self.copies).clone(),
            unsearched: Vec::new(),
            bystanders: Vec::new(),
        };
        let names = locked(&self.names).clone();
        Ok(Looked { enumeration, names, not_visible: Vec::new(), downtimes: Vec::new() })
    }
    async fn prepare(&self, _: Proving<'_>, _: &Sessions) -> Result<Prepared, Failure> {
        Ok(Prepared { number: 0, reads_again: false })
    }
    async fn go(&self, _: Prepared, of: Proving<'_>, _: &Sessions) -> Proved {
        let Proving { consumer, slot, which, values, .. } = of;
        let goal = value(values, which);
        let inside = locked(&self.inside);
        let mine =
            |proc: &&Proc| proc.consumer == consumer.index() && slot.is_none_or(|slot| proc.slot == slot);
        let proofs = inside.procs.iter().filter(mine).map(|proc| {
            let shown = Some(self.holds(&inside, proc)) == goal;
            let kinds = Kinds::DELIVERED.and(Kinds::LOADED).and(Kinds::CHECKED);
            let mut paths = [Kinds::NONE; PATHS_MAX];
            paths[0] = if shown { kinds } else { Kinds::NONE };
            let who = self.who(proc);
            Proof { who, slot: proc.slot, version: which, paths, other_session: Visibility::No }
        });
        let evidence = Ok(Evidence { proofs: proofs.collect(), against: false });
        Proved { evidence, remarks: Vec::new(), failing_checks: Vec::new(), downtimes: Vec::new() }
    }
    async fn describe(&self, who: Incarnation) -> Option<Holder> {
        let pid = self.strange_pids().find(|pid| self.undeclared(*pid) == who)?;
        Some(Holder {
            host: who.host,
            pid: Some(pid),
            name: "forgotten".to_owned(),
            found_by: "found in its memory".to_owned(),
            how_to_move: String::new(),
        })
    }
    async fn watch_refusals(&self, issuer: Option<&str>) -> Result<(), Failure> {
        *locked(&self.mark) = issuer.map(str::to_owned);
        self.watched.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        Ok(locked(&self.mark).clone())
    }
    async fn caller(&self, _: SocketAddr) -> Option<Holder> {
        None
    }
    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        let counted = |count| RefusedCalls { count, ..RefusedCalls::default() };
        // Told to count from another time on, it has forgotten what it counted from the first.
        if self.watched.load(Ordering::SeqCst) == 1 && *locked(&self.refused_at_first) > 0 {
            return Ok(counted(*locked(&self.refused_at_first)));
        }
        let mut told = locked(&self.refusals);
        let next = if told.len() > 1 { Some(told.remove(0)) } else { told.first().copied() };
        Ok(counted(next.unwrap_or_default()))
    }
    async fn sweep(&self, _: Values<'_>) -> Result<Swept, Failure> {
        Ok(Swept { residues: Vec::new(), not_visible: Vec::new(), downtimes: Vec::new() })
    }
}
