//! A process of the simulated world.

use keyroll_rotation::{ConsumerId, HostId, Kinds, PATHS_MAX, SearchLimit};

use crate::issuer::Value;

/// What looks see of a process's memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// From when, until when and why it is not searched.
    pub(crate) unsearched: Option<(u64, u64, SearchLimit)>,
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
}

impl Proc {
    /// Another program runs in it, or another process took its place: nothing of the former program is left.
    pub(crate) fn begin(&mut self, program: u64, now: u64) {
        (self.program, self.began) = (program, now);
        self.memory.waived = false;
        (self.residue, self.session, self.renews_at) = (None, None, None);
        (self.pool, self.also) = (None, None);
    }
}
