//! The state of the model: the world as it is, what the journal says about it, and the drivers.

/// One of the two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Version {
    Old,
    New,
}

impl Version {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// A write to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Op {
    Mint,
    /// The files of one instance are written, and it restarts.
    Move(u8, Version),
    Disable,
    Enable,
    Revoke,
    DeleteNew,
    Retire,
}

impl Op {
    pub(crate) const ALL: [Self; 10] = [
        Self::Mint,
        Self::Move(0, Version::New),
        Self::Move(1, Version::New),
        Self::Move(0, Version::Old),
        Self::Move(1, Version::Old),
        Self::Disable,
        Self::Enable,
        Self::Revoke,
        Self::DeleteNew,
        Self::Retire,
    ];

    pub(crate) fn moves(self) -> bool {
        matches!(self, Self::Move(..))
    }
}

/// A key at the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Absent,
    /// Made, but not accepted everywhere yet.
    Unborn,
    On,
    Off,
    /// Revoked, but still accepted somewhere.
    Dying,
    /// The same, for longer than the issuer declares.
    Lingering,
    Dead,
}

/// When something happened: since the last time that a look stays young, or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum When {
    Never,
    Recently,
    LongAgo,
}

/// An instance of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Instance {
    pub(crate) up: bool,
    pub(crate) uses: Version,
    /// It came to this version by itself, and no look could be expected to know it yet.
    pub(crate) recent: bool,
    /// keyroll saw it on the old version, later than on the new one.
    pub(crate) seen_old: bool,
    /// It used the old version when Sweep began, and was not moved since.
    pub(crate) owed: bool,
}

/// The world as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) old: Key,
    /// Another party ended the old key since the last time that a look stays young.
    pub(crate) ended_recently: bool,
    pub(crate) new: Key,
    /// A new key whose deletion was begun, and that was then abandoned.
    pub(crate) abandoned: bool,
    /// The deliberately wrong credential is accepted at one endpoint.
    pub(crate) trusting: bool,
    pub(crate) instances: [Instance; 2],
    /// Requests under way, and the epochs of the drivers that sent them.
    pub(crate) net: [Option<(Op, u8)>; 2],
    /// A call with the old key was refused since it was disabled.
    pub(crate) refused: When,
    /// The old key was off for a whole soak.
    pub(crate) soaked: bool,
    /// Nothing is accepted at the moment.
    pub(crate) outage: bool,
    /// A copy outside the plan.
    pub(crate) stranger: bool,
    pub(crate) host_epoch: u8,
    /// The old key was on at some time since the rollback began.
    pub(crate) on_in_rollback: bool,
    /// A probe found the old key accepted since `ConfirmDead` began.
    pub(crate) acceptance_seen: bool,
    /// Since the consent, everything was enumerated.
    pub(crate) looked_since_consent: bool,
}

/// Where the rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Preflight,
    Mint,
    Probe,
    Roll,
    Quiesce,
    Disable,
    Soak,
    Decide,
    Revoke,
    ConfirmDead,
    Sweep,
    Done,
    RollingBack,
    RolledBack,
}

/// Why the rotation is held, from weak to strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Hold {
    Asked,
    Consent,
    Failed,
    Stranger,
    RefusedCall,
    Stuck,
    Unclear,
}

impl Hold {
    pub(crate) fn is_stuck(self) -> bool {
        matches!(self, Self::Stuck | Self::Unclear)
    }
}

/// What is believed about the old key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Old {
    On,
    Off {
        soaked: bool,
    },
    /// `ours`: by a Revoke of this rotation.
    Ended {
        ours: bool,
    },
}

/// How far the death of the old key was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Death {
    Unseen,
    /// Refused often enough.
    Refused,
    /// The propagation time has passed since.
    Waited,
    /// Refused then too.
    Confirmed,
}

/// Which process an observation was about, seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Process {
    Present,
    Previous,
    Earlier,
}

impl Process {
    fn restarted(self) -> Self {
        match self {
            Self::Present => Self::Previous,
            Self::Previous | Self::Earlier => Self::Earlier,
        }
    }
}

/// An observation of an instance: the version and the process.
pub(crate) type Seen = (Version, Process);

/// One enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Look {
    pub(crate) instances: [Option<Seen>; 2],
    pub(crate) stranger: bool,
    pub(crate) young: bool,
    /// It is another driver's: its age cannot be measured.
    pub(crate) foreign: bool,
}

/// How a unit is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Waiting,
    Proving,
    Settled,
}

/// A consumer: where it is moved to, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Unit {
    pub(crate) toward: Version,
    pub(crate) stage: Stage,
}

/// An intent without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    Running,
    /// `waited`: for as long as a request may take.
    Unknown {
        waited: bool,
    },
}

/// An emergency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emergency {
    RollFirst,
    RevokeNow,
}

/// What the journal says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Belief {
    pub(crate) phase: Phase,
    pub(crate) hold: Option<Hold>,
    pub(crate) epoch: u8,
    pub(crate) decided: bool,
    /// Decide was passed by this driver, and no Revoke failed since.
    pub(crate) straight: bool,
    pub(crate) emergency: Option<Emergency>,
    /// The instances for which the consent was given.
    pub(crate) consent: Option<[bool; 2]>,
    pub(crate) old: Old,
    pub(crate) perhaps_off: bool,
    pub(crate) minted: bool,
    pub(crate) deleting: bool,
    pub(crate) accepted: bool,
    pub(crate) alive: bool,
    pub(crate) alive_again: bool,
    pub(crate) death: Death,
    pub(crate) units: [Unit; 2],
    /// The new version may have reached the consumer.
    pub(crate) moved: [bool; 2],
    pub(crate) proofs: [Option<Seen>; 2],
    pub(crate) look: Option<Look>,
    pub(crate) intents: [Option<(Op, Status)>; 2],
    pub(crate) heard: bool,
    pub(crate) listed: bool,
    pub(crate) retired: bool,
    pub(crate) debt: bool,
    /// Only without its guard: a debt is paid without a look.
    pub(crate) unlooked: bool,
}

/// What a driver is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hand {
    Idle,
    /// It was replaced before it wrote the intent.
    Wants(Op),
    /// The intent is written; the look behind it may have become old.
    Holds(Op, bool),
}

/// A process that drives the rotation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Driver {
    pub(crate) alive: bool,
    pub(crate) epoch: u8,
    pub(crate) hand: Hand,
}

/// A broken invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Broken {
    /// A key that an enumerated instance uses was ended.
    I1,
    /// A credential at the issuer is no version, and no open intent covers it.
    I2,
    /// Disable, Decide or a deletion without the gate, the consent, the soak or the refusals.
    I4,
    /// A rollback that is impossible before Decide, or possible after it.
    I5,
    /// A host took an older epoch.
    I8,
    /// The journal took an older epoch.
    I9,
    /// A wrong order of effects.
    Order,
    /// A wrong end.
    End,
    /// *Revoke now* waits.
    P23,
}

/// A disturbance that happens at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Once {
    CrashFirst,
    CrashSecond,
    Stopped,
    Lost,
    Restart,
    Late,
    RareCall,
    Outage,
    Stranger,
    Ends,
    Partial,
    Refusal,
    Lie,
    EndedByOthers,
    EnabledByOthers,
    Unclear,
    SlowDeath,
    Unmoved,
    Pause,
    Abort,
    RollFirst,
    RevokeNow,
    Statement,
}

/// The disturbances that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left(pub(crate) u32);

impl Once {
    /// Every disturbance except the crashes.
    pub(crate) const ALL: [Self; 21] = [
        Self::Stopped,
        Self::Lost,
        Self::Restart,
        Self::Late,
        Self::RareCall,
        Self::Outage,
        Self::Stranger,
        Self::Ends,
        Self::Partial,
        Self::Refusal,
        Self::Lie,
        Self::EndedByOthers,
        Self::EnabledByOthers,
        Self::Unclear,
        Self::SlowDeath,
        Self::Unmoved,
        Self::Pause,
        Self::Abort,
        Self::RollFirst,
        Self::RevokeNow,
        Self::Statement,
    ];
}

impl Left {
    pub(crate) fn of(all: &[Once]) -> Self {
        Self(all.iter().fold(0, |bits, once| bits | 1 << *once as u8))
    }

    pub(crate) fn has(self, once: Once) -> bool {
        self.0 & (1 << once as u8) != 0
    }

    pub(crate) fn take(&mut self, once: Once) -> bool {
        let had = self.has(once);
        self.0 &= !(1 << once as u8);
        had
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) belief: Belief,
    pub(crate) drivers: [Driver; 2],
    pub(crate) left: Left,
    pub(crate) broken: Option<Broken>,
}

impl State {
    /// A rotation that the first driver has just opened.
    pub(crate) fn open(left: Left, trusting: bool) -> Self {
        let late = left.has(Once::Late);
        let instance = |up| Instance { up, uses: Version::Old, recent: false, seen_old: false, owed: false };
        let unit = Unit { toward: Version::New, stage: Stage::Waiting };
        Self {
            world: World {
                old: Key::On,
                ended_recently: false,
                new: Key::Absent,
                abandoned: false,
                trusting,
                instances: [instance(true), instance(!late)],
                net: [None; 2],
                refused: When::Never,
                soaked: false,
                outage: false,
                stranger: false,
                host_epoch: 0,
                on_in_rollback: false,
                acceptance_seen: false,
                looked_since_consent: false,
            },
            belief: Belief {
                phase: Phase::Preflight,
                hold: None,
                epoch: 1,
                decided: false,
                straight: false,
                emergency: None,
                consent: None,
                old: Old::On,
                perhaps_off: false,
                minted: false,
                deleting: false,
                accepted: false,
                alive: false,
                alive_again: false,
                death: Death::Unseen,
                units: [unit; 2],
                moved: [false; 2],
                proofs: [None; 2],
                look: None,
                intents: [None; 2],
                heard: false,
                listed: false,
                retired: false,
                debt: false,
                unlooked: false,
            },
            drivers: [
                Driver { alive: true, epoch: 1, hand: Hand::Idle },
                Driver { alive: false, epoch: 0, hand: Hand::Idle },
            ],
            left,
            broken: None,
        }
    }

    /// The driver that the journal accepts, if it runs.
    pub(crate) fn driver(&self) -> Option<usize> {
        self.drivers.iter().position(|it| it.alive && it.epoch == self.belief.epoch)
    }

    pub(crate) fn breaks(&mut self, broken: Broken) {
        self.broken = self.broken.or(Some(broken));
    }

    /// The process of an instance is replaced by another.
    pub(crate) fn restart(&mut self, at: usize, uses: Version, recent: bool) {
        let instance = &mut self.world.instances[at];
        instance.owed &= uses == Version::Old;
        (instance.up, instance.uses, instance.recent) = (true, uses, recent);
        if let Some(proof) = &mut self.belief.proofs[at] {
            proof.1 = proof.1.restarted();
        }
        if let Some((_, process)) = self.belief.look.as_mut().and_then(|look| look.instances[at].as_mut()) {
            *process = process.restarted();
        }
    }
}
