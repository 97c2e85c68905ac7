//! What a person does where the evidence of a consumer is missing.

use keyroll_rotation::{ConsumerId, Delivery, Hold, Incarnation, Kinds, State, Which};

/// What gets the missing evidence of a process on a path.
pub(super) fn proof_got(
    state: &State,
    (consumer, who, path): (ConsumerId, Incarnation, u8),
    version: Which,
) -> &'static str {
    let of = state.plan().consumers.get(consumer.index());
    let proof = state.proof(who).filter(|proof| proof.version == version);
    let shown = proof.and_then(|proof| proof.paths.get(usize::from(path))).copied().unwrap_or_default();
    step(of.is_some_and(|of| of.delivery == Delivery::Follow), shown)
}

/// A program that reads the store has no file that it would read again: once its check has passed, only a restart shows that
/// it loads what the store gives out.
fn step(follows: bool, shown: Kinds) -> &'static str {
    if follows && shown.has(Kinds::CHECKED) { "restart it" } else { "read the output of its check" }
}

/// The command that goes on with a rotation.
pub(super) fn again(state: &State) -> &'static str {
    command(state.hold())
}

fn command(hold: Option<Hold>) -> &'static str {
    match hold {
        Some(Hold::Stuck(_)) => "keyroll retry",
        Some(Hold::Paused(_)) | None => "keyroll resume",
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Phase, Reason};

    use super::*;

    #[test]
    fn a_program_that_reads_the_store_is_restarted_once_its_check_has_passed() {
        assert_eq!(step(true, Kinds::CHECKED), "restart it");
        assert_eq!(step(true, Kinds::CHECKED.and(Kinds::REPORTED)), "restart it");
        for (follows, shown) in [(true, Kinds::NONE), (false, Kinds::CHECKED)] {
            assert_eq!(step(follows, shown), "read the output of its check");
        }
    }

    /// `resume` refuses a rotation that is stuck.
    #[test]
    fn a_rotation_that_is_stuck_is_retried() {
        let late = Some(Hold::Stuck(Reason::Overdue(Phase::RollingBack)));
        assert_eq!(command(late), "keyroll retry");
        assert_eq!(
            (command(Some(Hold::Paused(Reason::Asked))), command(None)),
            ("keyroll resume", "keyroll resume")
        );
    }
}
