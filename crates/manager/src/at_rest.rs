use keyroll_port::Failure;

use crate::{Applied, InstanceProcess, Unit};

/// A consumer of which nothing runs now; the value is applied when it starts the next time, from its copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtRest {
    /// The timer that starts it, where it is systemd's.
    pub timer: Option<Unit>,
}

impl AtRest {
    pub(crate) fn apply(&self) -> Applied {
        Applied::without_output("nothing to do: it is at rest and starts from its copies")
    }

    /// A job that its timer has just started runs until it ends: it started from what its copies held then.
    pub(crate) fn instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        match &self.timer {
            Some(timer) => timer.started_by_timer()?.instances(),
            None => Ok(Vec::new()),
        }
    }
}
