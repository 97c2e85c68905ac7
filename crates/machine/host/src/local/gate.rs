//! The error rate. keyroll queries it before it counts a consumer as moved, and while the old key is disabled.

use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use super::Local;
use super::memo::Gate;

/// How long one answer may take, milliseconds.
const ASK_MS_MAX: u64 = 5_000;
/// After this time an unknown rate counts as too high, milliseconds.
const UNKNOWN_MS_MAX: u64 = 60_000;

impl Local {
    /// Whether the error rate is above its limit. Without a configured gate it never is.
    ///
    /// Errors: the rate cannot be read now; the caller asks again. After a minute an unknown rate counts as too high,
    /// because a rotation that continued would not notice the errors that it causes.
    pub(super) fn too_many_errors(&self) -> Result<bool, Failure> {
        let Some(gate) = &self.setup.gate else { return Ok(false) };
        let answer = gate.rate.ask(Instant::now() + Duration::from_millis(ASK_MS_MAX));
        let mut memo = self.memo();
        let attempted = format!("ask {} for the error rate", gate.rate.url);
        let why = match answer {
            Ok(rate) if rate <= gate.max => {
                memo.gate = Gate::default();
                return Ok(false);
            }
            Ok(rate) => {
                memo.gate.unknown_since = None;
                format!("the error rate is {rate}, and {} is the most that it may be", gate.max)
            }
            Err(why) => {
                let since = *memo.gate.unknown_since.get_or_insert_with(Instant::now);
                if since.elapsed() < Duration::from_millis(UNKNOWN_MS_MAX) {
                    return Err(Failure::new(Class::Retryable, Code::ErrorRateHigh, attempted).because(why));
                }
                format!("the error rate has been unknown for a minute: {why}")
            }
        };
        if !std::mem::replace(&mut memo.gate.told, true) {
            let help = "look at the service: the rotation may go on when it is well again";
            let attempted = "go on: a gate is shut";
            memo.remarks
                .push(Failure::new(Class::Retryable, Code::ErrorRateHigh, attempted).because(why).help(help));
        }
        Ok(true)
    }
}
