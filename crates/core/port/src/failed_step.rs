//! Why a step of a rotation failed last, as the journal remembers it for display.

use std::error::Error;

use keyroll_rotation::Phase;

use crate::{Failure, Named};

/// The longest text that is remembered, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// By what the journal remembers why an operation of this phase failed last, in the rotation with this id.
pub fn digest_of_failure(rotation: &str, phase: Phase) -> u64 {
    digest_of(&format!("failed\0{rotation}\0{phase:?}"))
}

/// FNV-1a, as for the descriptions of processes.
pub(crate) fn digest_of(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Named {
    /// Why an operation of this phase failed: what was attempted, the code and the causes, on one line of a limited length.
    pub fn of_failure(rotation: &str, phase: Phase, failure: &Failure) -> Self {
        let mut text = format!("could not {} ({})", failure.attempted, failure.code);
        let mut cause = failure.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        let one_line = text.chars().map(|char| if char.is_control() { ' ' } else { char });
        Self { digest: digest_of_failure(rotation, phase), name: one_line.take(TEXT_CHARS_MAX).collect() }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_codes::Code;

    use super::*;
    use crate::Class;

    #[test]
    fn a_failure_is_remembered_by_its_rotation_and_phase_with_every_cause() {
        let inner = Failure::new(Class::Retryable, Code::RequestFailed, "reach it").because("status\n503");
        let failure = Failure::new(Class::Permanent, Code::RequestFailed, "revoke id-1").because(inner);
        let named = Named::of_failure("0192", Phase::Revoke, &failure);
        assert_eq!(named.name, "could not revoke id-1 (K0105): could not reach it: status 503");
        assert_eq!(named.digest, digest_of_failure("0192", Phase::Revoke));
        let others = [digest_of_failure("0192", Phase::Disable), digest_of_failure("0193", Phase::Revoke)];
        assert!(!others.contains(&named.digest));
    }
}
