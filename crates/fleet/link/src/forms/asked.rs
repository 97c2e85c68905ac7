use keyroll_port::Asked;
use serde::{Deserialize, Serialize};

/// Which intent an effect belongs to, and until when it may begin. The time is that of the driver's clock: the host learns
/// from the times at which orders were sent what that is by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedForm {
    /// The intent's number in the journal.
    pub intent: u64,
    /// Until when it may begin, milliseconds of the driver's monotonic clock.
    pub until_ms: u64,
}

impl From<Asked> for AskedForm {
    fn from(asked: Asked) -> Self {
        let Asked { intent, until_ms } = asked;
        Self { intent, until_ms }
    }
}
