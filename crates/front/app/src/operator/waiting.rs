use serde::Serialize;
use utoipa::ToSchema;

use super::StepShown;

/// What a rotation waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingShown {
    pub what: String,
    /// What kind of wait it is.
    pub kind: WaitKind,
    /// When this wait began, UTC.
    pub since: String,
    /// When it ends at the latest, UTC: then the rotation continues, pauses or rolls back, and says why. None if it waits
    /// for the operator, or for an operation, each of which has its own limit.
    pub until: Option<String>,
    /// It ends only when the operator acts.
    pub person: bool,
    /// What continues it, as a sentence; while its driver does, the command that shows that.
    pub forward: Option<String>,
    /// What rolls it back, as a sentence; none where that is impossible.
    pub back: Option<String>,
    /// Each way to continue it, the best first. While its driver does: what can be done meanwhile.
    pub forward_steps: Vec<StepShown>,
    /// Each way to roll it back; none where that is impossible.
    pub back_steps: Vec<StepShown>,
}

/// What kind of wait it is, in a word that stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// The operator removes a cause, or decides, and the rotation continues.
    Paused,
    /// The same, and only another attempt continues it.
    Stuck,
    /// The consent to the end of the old key.
    Consent,
    /// The operator makes the new key.
    MintByHand,
    /// The operator revokes the old key.
    RevokeByHand,
    /// The rotation has ended, and something is left to do.
    Debt,
    /// An operation ends, or begins.
    Operation,
    /// It becomes known what an operation did that was cut off.
    Outcome,
    /// A consumer loads a key, and proves it.
    Consumer,
    /// A consumer that works with the new key is watched.
    Watch,
    /// The pause before the next instance or consumer ends.
    Pace,
    /// A phase ends.
    Phase,
    /// An answer comes.
    Answer,
}

impl WaitKind {
    /// The same word as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Stuck => "stuck",
            Self::Consent => "consent",
            Self::MintByHand => "mint_by_hand",
            Self::RevokeByHand => "revoke_by_hand",
            Self::Debt => "debt",
            Self::Operation => "operation",
            Self::Outcome => "outcome",
            Self::Consumer => "consumer",
            Self::Watch => "watch",
            Self::Pace => "pace",
            Self::Phase => "phase",
            Self::Answer => "answer",
        }
    }
}
