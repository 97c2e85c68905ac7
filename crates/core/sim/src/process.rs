//! A process of the simulated world.

use keyroll_rotation::{ConsumerId, HostId, Incarnation, InstanceIdentity, Kinds, PATHS_MAX, SearchLimit};

use crate::issuer::Value;
use crate::quirks::{Quirk, Quirks};

/// What looks see of a process's memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// From when, until when and why it is not searched.
    pub(crate) unsearched: Option<(u64, u64, SearchLimit)>,
    /// When it was not searched before that.
    pub(crate) before: Vec<std::ops::Range<u64>>,
    /// Nothing but its memory holds its value.
    pub(crate) only: bool,
    /// A look showed it as an undeclared holder of the old value.
    pub(crate) held: bool,
    /// The operator waived what its memory may hold.
    pub(crate) waived: bool,
}

impl Memory {
    pub(crate) fn is_unsearched(&self, at: u64) -> bool {
        self.unsearched.is_some_and(|(from, until, _)| (from..until).contains(&at))
            || self.before.iter().any(|times| times.contains(&at))
    }

    /// Whether a look at this moment could not see the value.
    pub(crate) fn hides(&self, at: u64) -> bool {
        self.only && self.is_unsearched(at)
    }
}

/// A process, or a job at rest.
#[derive(Debug, Clone)]
pub(crate) struct Proc {
    pub(crate) consumer: Option<ConsumerId>,
    pub(crate) slot: u8,
    pub(crate) host: HostId,
    pub(crate) pid: u32,
    pub(crate) born: u64,
    /// How many programs it has executed, and when the present one began.
    pub(crate) program: u64,
    pub(crate) began: u64,
    pub(crate) at_rest: bool,
    /// The value that it loaded. At rest: the value that it would load, which follows its file.
    pub(crate) loaded: Value,
    /// When it loaded the value, and whether we caused that.
    pub(crate) since: u64,
    pub(crate) by_us: bool,
    /// An earlier value that is still in its memory.
    pub(crate) residue: Option<Value>,
    /// Its workers are forked from a master that loaded this value earlier.
    pub(crate) master: Option<Value>,
    /// The value of its open session, and until when the session is busy.
    pub(crate) session: Option<(Value, u64)>,
    /// The true evidence for its present value, per path.
    pub(crate) shown: [Kinds; PATHS_MAX],
    /// The value that the evidence is for.
    pub(crate) shown_for: Value,
    /// When a slow restart ends: until then it keeps its old value.
    pub(crate) renews_at: Option<u64>,
    /// When it reads what is given out, where it does that by itself and has not yet.
    pub(crate) reads_at: Option<u64>,
    /// The value on which its pool of connections opens sessions again.
    pub(crate) pool: Option<Value>,
    /// A path on which it uses another value than the one that it loaded.
    pub(crate) also: Option<(u8, Value)>,
    /// When it calls next, where it calls rarely.
    pub(crate) calls_at: u64,
    /// Uses the key all the time; a sleeper only now and then.
    pub(crate) active: bool,
    /// Until when no enumeration can see it.
    pub(crate) hidden_until: u64,
    /// Until when its memory does not show which values it holds.
    pub(crate) masked_until: u64,
    /// The operator waived it.
    pub(crate) waived: bool,
    /// What looks see of its memory.
    pub(crate) memory: Memory,
    /// What it was given over keyroll's socket, where its consumer is served.
    pub(crate) served: Option<Served>,
}

impl Proc {
    /// Its identity, as a host shows it.
    pub(crate) fn who(&self, boot: u64, quirks: Quirks) -> Incarnation {
        let in_pod = quirks.has(Quirk::Pods) && self.host.0 % 2 == 1;
        let life = match (self.at_rest, self.consumer) {
            (true, Some(consumer)) => InstanceIdentity::AtRest(consumer),
            // Another program in a container is another run of it here.
            _ if in_pod => InstanceIdentity::Container {
                pod: u64::from(self.pid),
                run: (self.born / 10) << 16 | self.program,
            },
            _ => {
                let (pid, start_ticks, program) = (self.pid, self.born / 10, self.program);
                InstanceIdentity::Process { boot, pid, start_ticks, program }
            }
        };
        Incarnation { host: self.host, life }
    }

    /// Another program runs in it, or another process took its place: nothing of the former program is left.
    pub(crate) fn begin(&mut self, program: u64, now: u64) {
        (self.program, self.began) = (program, now);
        self.memory.waived = false;
        (self.residue, self.session, self.renews_at) = (None, None, None);
        (self.pool, self.also, self.reads_at) = (None, None, None);
    }
}

/// What a process of a served consumer was given, and what it does with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    /// It says that it uses whatever it was given.
    pub(crate) lies: bool,
    /// The value that it was given last. None: it was forked, and has not asked for itself.
    pub(crate) given: Option<Value>,
    /// It was given no other value in its life, and none to the process that it was forked from.
    pub(crate) only: bool,
    /// The paths for which it said that it uses what it was given.
    pub(crate) said: [bool; PATHS_MAX],
    /// A look showed, before it used the value, that it was given it.
    pub(crate) shown_given: bool,
    /// When it asks next, where it does not wait for an answer.
    pub(crate) asks_at: Option<u64>,
    /// When it uses what it was given.
    pub(crate) loads_at: Option<u64>,
    /// Until when it is stopped: it neither asks, nor says anything, nor calls.
    pub(crate) stopped_until: u64,
    /// Until when its last path goes on with the former value.
    pub(crate) lags_until: Option<u64>,
    /// When it is started again, where it ended.
    pub(crate) starts_at: Option<u64>,
    /// What it is given next was delivered by us.
    pub(crate) by_us: bool,
}

impl Served {
    /// A process that begins with a value that it asked for.
    pub(crate) fn started(value: Value, lies: bool) -> Self {
        Self { lies, given: Some(value), only: true, ..Self::default() }
    }

    /// A process that was forked from another one, and goes on with its value until it asks.
    pub(crate) fn forked(asks_at: u64) -> Self {
        Self { asks_at: Some(asks_at), ..Self::default() }
    }

    pub(crate) fn give(&mut self, value: Value) {
        if self.given != Some(value) {
            self.only = false;
            (self.said, self.shown_given) = ([false; PATHS_MAX], false);
        }
        (self.given, self.asks_at, self.loads_at) = (Some(value), None, None);
    }
}
