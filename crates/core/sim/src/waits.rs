//! Whatever a rotation waits for ends by the time that it says, or waits for the operator.

use keyroll_rotation::{Until, waiting};

use crate::schedule::Run;

/// The longest time until the answer comes that ends a wait: a look, and the pause before it.
const ANSWER_MS_MAX: u64 = 6_000;

impl Run {
    /// After every step: the time until which it waits has not passed.
    pub(crate) fn check_waits(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let state = slot.driver.state();
        if slot.epoch != self.ledger.epoch || state.now().epoch != slot.epoch {
            return;
        }
        let now = state.now().ms;
        match waiting(state) {
            None if !state.ended() => self.violate("L1", "it waits for nothing, and has not ended".into()),
            Some(waits) => {
                if let Until::Ms(until) = waits.until
                    && now > until.saturating_add(ANSWER_MS_MAX)
                {
                    let what =
                        format!("it waits for {:?}, {} ms longer than it said", waits.what, now - until);
                    self.violate("L1", what);
                }
            }
            None => {}
        }
    }
}
