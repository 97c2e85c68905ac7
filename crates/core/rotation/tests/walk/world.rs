//! What is wrong outside of a rotation on paper, until somebody mends it.

use keyroll_rotation::{
    Adoptee, ConsumerId, CredId, Difference, EndpointId, Enumeration, Fact, FileId, FoundBy, Holds, HostId,
    Incarnation, InstanceIdentity, Labelled, LastUse, ListedState, Next, ObservedInstance, OldKey, Op,
    Outcome, Outside, Phase, ProbeResult, Query, Reconciled, SearchLimit, SessionSeen, State, Unsearched,
    Visibility, Waived, Which,
};

use super::{Walk, proof};

/// A process on another host that belongs to no consumer.
pub(crate) const STRAY: Incarnation = Incarnation {
    host: HostId(1),
    life: InstanceIdentity::Process { boot: 1, pid: 177, start_ticks: 7, program: 0 },
};

/// A container that belongs to no consumer.
pub(crate) const POD: Incarnation =
    Incarnation { host: HostId(3), life: InstanceIdentity::Container { pod: 7, run: 1 } };

/// A copy outside the plan.
pub(crate) const COPY: u64 = 5;

/// A label that no journal of a walk gave.
pub(crate) const NOT_OURS: u64 = 9_999;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A process that belongs to no consumer uses a version.
    Holder(Incarnation, Which),
    /// A copy outside the plan holds a version.
    Stranger(u64, Which),
    /// The memory of a process is not searched: an instance of a consumer, or one that belongs to none.
    Unsearched(Incarnation, Option<ConsumerId>, SearchLimit),
    /// A session uses a version. One of a process is at work, one of nobody that was found is not.
    Session(Option<Incarnation>, Which),
    /// A file holds something else than what keyroll wrote, or cannot be read.
    File(FileId, Holds),
    /// Another party writes the old value into a file again and again.
    Writers(FileId),
    /// A consumer cannot be made to load a version.
    Restart(ConsumerId, Which),
    /// Nothing shows which version a consumer uses.
    Unseen(ConsumerId),
    /// Nothing runs of a consumer.
    Absent(ConsumerId),
    /// A restart of a consumer would activate an edit.
    Pending(ConsumerId),
    /// A host does not answer.
    Away(HostId),
    /// The source of truth gives out another party's value.
    OtherTruth,
    /// The issuer or the store refuses this operation.
    Refused(Op),
    /// Nothing shows whether an operation was carried out.
    Silent,
    /// The issuer refuses the new key.
    NewKeyRefused,
    /// The issuer has a key with a label that is not of this journal.
    Label,
    /// The issuer gives no complete list.
    Unlisted,
    /// The issuer does not show when the old key was used.
    UseNotShown,
    /// It shows another use each time.
    StillUsed,
    /// Somebody uses the old key while it is disabled.
    Users,
}

/// Everything that is wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    troubles: Vec<Trouble>,
    /// No consumer, file or host that is in trouble ever works again.
    for_good: bool,
}

/// The edit that a restart would activate.
fn edit() -> Difference {
    Difference { name: "api/mode".into(), digest: 7 }
}

impl World {
    pub(crate) fn strike(&mut self, trouble: Trouble) {
        self.troubles.push(trouble);
    }

    /// All of it passes by itself.
    pub(crate) fn pass(&mut self) {
        self.troubles.clear();
    }

    /// From now on nothing that a consumer, a file or a host needs can be done.
    pub(crate) fn last_for_good(&mut self) {
        self.for_good = true;
    }

    fn has(&self, trouble: &Trouble) -> bool {
        self.troubles.contains(trouble)
    }

    fn end(&mut self, is: impl Fn(&Trouble) -> bool) {
        self.troubles.retain(|trouble| !is(trouble));
    }

    /// A file in trouble holds this from now on.
    fn write(&mut self, file: FileId, holds: Holds) {
        for trouble in &mut self.troubles {
            if let Trouble::File(of, now) = trouble
                && *of == file
            {
                *now = holds;
            }
        }
    }

    /// The operator has done this.
    pub(crate) fn mend(&mut self, done: Outside, state: &State) {
        let hopeless = matches!(
            done,
            Outside::MendConsumer(_)
                | Outside::Start(_)
                | Outside::ShowProof(..)
                | Outside::MendFile(_)
                | Outside::LetRead(_)
                | Outside::BringUp(_)
        );
        if self.for_good && hopeless {
            return;
        }
        match done {
            Outside::EndProcess(who) => {
                self.end(|it| matches!(it, Trouble::Holder(one, _) if *one == who));
            }
            Outside::Restart(who) => {
                self.end(|it| matches!(it, Trouble::Session(Some(one), _) if *one == who));
            }
            Outside::DeleteCopy(place) => {
                self.end(|it| matches!(it, Trouble::Stranger(one, _) if *one == place))
            }
            // The old line stands there again.
            Outside::MendFile(file) => self.write(file, Holds::Old),
            // What keyroll wrote is still there.
            Outside::LetRead(file) => self.write(file, Holds::New),
            Outside::GiveOut => self.end(|it| *it == Trouble::OtherTruth),
            Outside::SearchMore(limit) => {
                self.end(|it| matches!(it, Trouble::Unsearched(_, _, one) if *one == limit))
            }
            Outside::BringUp(host) => self.end(|it| *it == Trouble::Away(host)),
            Outside::Start(consumer) => self.end(|it| *it == Trouble::Absent(consumer)),
            Outside::ShowProof(consumer, ..) => self.end(|it| *it == Trouble::Unseen(consumer)),
            Outside::MendConsumer(consumer) => self.mend_consumer(consumer, state),
            Outside::LookAtConsole => self.end(|it| *it == Trouble::Label),
            Outside::EndUsers => {
                self.end(|it| matches!(it, Trouble::Users | Trouble::StillUsed | Trouble::Session(None, _)))
            }
            Outside::EndWriters => self.end(|it| matches!(it, Trouble::Writers(_))),
            // What follows from each of these comes with the command.
            Outside::MakeKey | Outside::EndOldKey | Outside::FixCommands(_) | Outside::FindOut(_) => {}
            Outside::AcceptNewKey => self.end(|it| *it == Trouble::NewKeyRefused),
            Outside::MendIssuer => self.end(|it| {
                matches!(it, Trouble::Refused(_) | Trouble::Silent | Trouble::Unlisted | Trouble::UseNotShown)
            }),
        }
    }

    /// A consumer runs, and works with what it was given.
    fn mend_consumer(&mut self, consumer: ConsumerId, state: &State) {
        self.end(|it| {
            matches!(
                it,
                Trouble::Restart(one, _) | Trouble::Unseen(one) | Trouble::Absent(one) if *one == consumer
            )
        });
        for file in &state.plan().consumers[consumer.index()].files {
            self.write(*file, Holds::New);
        }
    }

    /// What the operator says with a command is true.
    pub(crate) fn told(&mut self, next: Next) {
        match next {
            Next::Adopt(Adoptee::Holder(who)) => {
                self.end(|it| matches!(it, Trouble::Holder(one, _) if *one == who))
            }
            Next::Adopt(Adoptee::Copy(place)) => {
                self.end(|it| matches!(it, Trouble::Stranger(one, _) if *one == place))
            }
            Next::Correct(consumer) if !self.for_good => self
                .end(|it| matches!(it, Trouble::Restart(one, _) | Trouble::Unseen(one) if *one == consumer)),
            // Who says so is right: nothing of it runs.
            Next::Waive(Waived::Gone(consumer)) => {
                self.end(
                    |it| matches!(it, Trouble::Restart(one, _) | Trouble::Unseen(one) if *one == consumer),
                );
                self.strike(Trouble::Absent(consumer));
            }
            Next::Waive(what) if !self.for_good => self.works_unseen(what),
            Next::AnotherKey => self.end(|it| *it == Trouble::NewKeyRefused),
            Next::Resume
            | Next::Retry
            | Next::Confirm
            | Next::Abort
            | Next::Accept
            | Next::Waive(_)
            | Next::Declare(_)
            | Next::Correct(_)
            | Next::HandMint
            | Next::HandRevoked
            | Next::PayDebt => {}
        }
    }

    /// Who waives what is not visible of a consumer says that it works.
    fn works_unseen(&mut self, what: Waived) {
        let Waived::NotVisible(consumer) = what else { return };
        for trouble in &mut self.troubles {
            if matches!(trouble, Trouble::Restart(one, _) if *one == consumer) {
                *trouble = Trouble::Unseen(consumer);
            }
        }
    }

    /// How an operation ends.
    pub(super) fn outcome(&self, state: &State, op: &Op) -> Outcome {
        for trouble in &self.troubles {
            if let Some(outcome) = outcome(trouble, state, op) {
                return outcome;
            }
        }
        Outcome::Done((*op == Op::Mint).then(|| CredId::new("new")))
    }

    /// An operation was carried out.
    pub(super) fn carried_out(&mut self, op: &Op) {
        if let Op::Deliver(file, _) = op {
            self.end(|it| matches!(it, Trouble::File(one, Holds::Old | Holds::New) if one == file));
        }
    }

    /// What a look sees besides.
    pub(super) fn change(&self, state: &State, seen: &mut Enumeration) {
        let goes = goes(state);
        for trouble in &self.troubles {
            match trouble {
                Trouble::Holder(who, holds) => seen.instances.push(instance(*who, None, *holds)),
                Trouble::Stranger(place, holds) if *holds == goes => seen.strangers.push(*place),
                Trouble::Unsearched(who, of, limit) => {
                    if of.is_some() {
                        seen.instances.push(instance(*who, *of, goes.other()));
                    }
                    seen.unsearched.push(Unsearched { who: *who, limit: *limit });
                }
                Trouble::Session(who, holds) if *holds == goes => {
                    let session = SessionSeen { who: *who, busy: who.is_some() };
                    seen.sessions.get_or_insert_with(Vec::new).push(session);
                }
                Trouble::File(file, holds) => set(seen, *file, *holds),
                Trouble::Writers(file) => set(seen, *file, Holds::Old),
                Trouble::Absent(consumer) => seen.instances.retain(|it| it.consumer != Some(*consumer)),
                Trouble::Away(host) => leave_out(state, seen, *host),
                Trouble::Stranger(..)
                | Trouble::Session(..)
                | Trouble::Restart(..)
                | Trouble::Unseen(_)
                | Trouble::Pending(_)
                | Trouble::OtherTruth
                | Trouble::Refused(_)
                | Trouble::Silent
                | Trouble::NewKeyRefused
                | Trouble::Label
                | Trouble::Unlisted
                | Trouble::UseNotShown
                | Trouble::StillUsed
                | Trouble::Users => {}
            }
        }
    }
}

/// How an operation ends in this trouble, if it is about it.
fn outcome(trouble: &Trouble, state: &State, op: &Op) -> Option<Outcome> {
    let failed = Outcome::Failed { retry: false };
    match (trouble, op) {
        (Trouble::Refused(refused), op) if refused == op => Some(failed),
        (Trouble::Restart(of, to), Op::Apply(consumer, _, which)) if (of, to) == (consumer, which) => {
            Some(failed)
        }
        // The edit is found, and not overwritten.
        (Trouble::File(of, Holds::Other), Op::Deliver(file, _)) if of == file => Some(Outcome::Unknown),
        (Trouble::File(of, Holds::Unreadable), Op::Deliver(file, _)) if of == file => Some(failed),
        (Trouble::Away(host), Op::Deliver(file, _)) if state.plan().files[file.index()] == *host => {
            Some(failed)
        }
        (Trouble::Away(host), Op::Apply(consumer, ..) | Op::Fetch(consumer))
            if state.plan().consumers[consumer.index()].host == *host =>
        {
            Some(failed)
        }
        (Trouble::OtherTruth, Op::Stage | Op::Promote | Op::Demote | Op::Fetch(_)) => {
            Some(Outcome::ChangedElsewhere)
        }
        (Trouble::Pending(of), Op::Apply(consumer, _, which))
            if of == consumer && state.asks_acceptance(*which) && !state.accepted().contains(&edit()) =>
        {
            Some(Outcome::Refused(vec![edit()]))
        }
        _ => None,
    }
}

/// The version that the rotation is about to end.
fn goes(state: &State) -> Which {
    if state.phase() == Phase::RollingBack { Which::New } else { Which::Old }
}

fn instance(who: Incarnation, consumer: Option<ConsumerId>, holds: Which) -> ObservedInstance {
    let sight = |which| if which == holds { Visibility::Yes } else { Visibility::No };
    ObservedInstance {
        who,
        consumer,
        slot: 0,
        old: sight(Which::Old),
        new: sight(Which::New),
        by: FoundBy::Memory,
    }
}

fn set(seen: &mut Enumeration, file: FileId, holds: Holds) {
    seen.files.iter_mut().filter(|(of, _)| *of == file).for_each(|(_, now)| *now = holds);
}

/// Nothing is seen of what is on this host.
fn leave_out(state: &State, seen: &mut Enumeration, host: HostId) {
    let plan = state.plan();
    seen.instances.retain(|it| it.consumer.is_none_or(|of| plan.consumers[of.index()].host != host));
    seen.files.retain(|(file, _)| plan.files[file.index()] != host);
    seen.absent.push(host);
}

impl Walk {
    /// What the world answers; `None` if nothing does.
    pub(crate) fn answer(&self, query: &Query) -> Option<Fact> {
        let has = |trouble: Trouble| self.world.has(&trouble);
        Some(match query {
            Query::Probe(endpoint, version) => self.probed(*endpoint, *version),
            Query::List => self.listed(),
            // It still uses what it used before.
            Query::Prove(consumer, _, which) if has(Trouble::Restart(*consumer, *which)) => {
                let proofs = vec![proof(*consumer, which.other())];
                Fact::Proved { consumer: *consumer, proofs, trouble: false }
            }
            Query::Prove(consumer, ..) if !self.is_visible(*consumer) => {
                Fact::Proved { consumer: *consumer, proofs: Vec::new(), trouble: false }
            }
            Query::LastUsed if has(Trouble::UseNotShown) => return None,
            Query::LastUsed if has(Trouble::StillUsed) => {
                Fact::LastUsed(LastUse { used: Some(self.at.ms), took_ms: 0 })
            }
            Query::Refusals => {
                let used = has(Trouble::Users) && matches!(self.state.old_key(), OldKey::Off(_));
                Fact::Refusals { count: u32::from(used), took_ms: 0 }
            }
            Query::Reconcile(intent) => {
                Fact::Reconciled { intent: *intent, found: self.outcome_found(*intent) }
            }
            Query::Preflight
            | Query::StageCheck
            | Query::Enumerate
            | Query::Prove(..)
            | Query::LastUsed
            | Query::Sweep => self.see(query),
        })
    }

    fn probed(&self, endpoint: EndpointId, version: Which) -> Fact {
        let from = self.state.plan().endpoints[endpoint.index()];
        let answered = |answer| {
            let control = (version == Which::Old).then_some(answer);
            Fact::Probed { endpoint, version, answer, control }
        };
        if self.world.has(&Trouble::Away(from)) {
            answered(ProbeResult::Unknown)
        } else if version == Which::New && self.world.has(&Trouble::NewKeyRefused) {
            answered(ProbeResult::Dead)
        } else {
            self.see(&Query::Probe(endpoint, version))
        }
    }

    fn listed(&self) -> Fact {
        let mut list = self.see(&Query::List);
        if let Fact::Listed { complete, labelled, old } = &mut list {
            if self.world.has(&Trouble::Label) {
                labelled.push(Labelled { intent: NOT_OURS, credential: CredId::new("strange") });
            }
            if self.world.has(&Trouble::Unlisted) {
                (*complete, *old) = (false, ListedState::NotVisible);
            }
        }
        list
    }

    fn is_visible(&self, consumer: ConsumerId) -> bool {
        let host = self.state.plan().consumers[consumer.index()].host;
        let hidden = [Trouble::Unseen(consumer), Trouble::Absent(consumer), Trouble::Away(host)];
        !hidden.iter().any(|trouble| self.world.has(trouble))
    }

    /// What is found of an operation whose outcome is unknown.
    fn outcome_found(&self, intent: u64) -> Reconciled {
        let op = self.state.intents().iter().find(|open| open.seq == intent).map(|open| &open.op);
        let foreign = match op {
            Some(Op::Deliver(file, _)) => self.world.has(&Trouble::File(*file, Holds::Other)),
            Some(Op::Promote | Op::Demote) => self.world.has(&Trouble::OtherTruth),
            _ => false,
        };
        if self.world.has(&Trouble::Silent) {
            Reconciled::Unclear
        } else if foreign {
            Reconciled::Foreign
        } else {
            Reconciled::Absent
        }
    }

    /// A consumer shows the version again that is about to end, and nothing after that.
    pub(crate) fn lose(&mut self, consumer: ConsumerId) {
        let proofs = vec![proof(consumer, goes(&self.state))];
        self.say(Fact::Proved { consumer, proofs, trouble: false });
        self.world.strike(Trouble::Unseen(consumer));
    }
}
