use serde::Serialize;
use utoipa::ToSchema;

/// What a rotation waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingShown {
    pub what: String,
    /// When this wait began, UTC.
    pub since: String,
    /// When it ends at the latest, UTC: then the rotation continues, pauses or rolls back, and says why. None if it waits
    /// for the operator, or for an operation, each of which has its own limit.
    pub until: Option<String>,
    /// It ends only when the operator acts.
    pub person: bool,
    /// The command that continues it; none while its driver does.
    pub forward: Option<String>,
    /// The command that rolls it back; none where that is impossible.
    pub back: Option<String>,
}
