use clap::ValueEnum;

/// A step before which a rotation can pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    Mint,
    Stage,
    Probe,
    Roll,
    Quiesce,
    Disable,
    Soak,
    Decide,
    Revoke,
}

/// What happens when a consumer fails before the point of no return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailure {
    /// Pause, and wait for you
    Pause,
    /// Roll back to the old key
    Rollback,
}

/// The policy of an emergency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emergency {
    /// Move every consumer at once after one canary, then revoke the old key
    RollFirst,
    /// Revoke the old key first, and accept an outage
    RevokeNow,
}

impl From<Step> for keyroll_rotation::Phase {
    fn from(step: Step) -> Self {
        match step {
            Step::Mint => Self::Mint,
            Step::Stage => Self::Stage,
            Step::Probe => Self::Probe,
            Step::Roll => Self::Roll,
            Step::Quiesce => Self::Quiesce,
            Step::Disable => Self::Disable,
            Step::Soak => Self::Soak,
            Step::Decide | Step::Revoke => Self::Decide,
        }
    }
}

impl From<OnFailure> for keyroll_rotation::OnFailure {
    fn from(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::Pause => Self::Pause,
            OnFailure::Rollback => Self::Rollback,
        }
    }
}

impl From<Emergency> for keyroll_rotation::Emergency {
    fn from(emergency: Emergency) -> Self {
        match emergency {
            Emergency::RollFirst => Self::RollFirst,
            Emergency::RevokeNow => Self::RevokeNow,
        }
    }
}
