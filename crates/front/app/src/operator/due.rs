#![allow(missing_docs, reason = "a field is named as its key in the JSON")]

use serde::Serialize;
use utoipa::ToSchema;

/// When a secret is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DueShown {
    pub secret: String,
    /// The age of its current version; none if it has no stored value.
    pub age_s: Option<u64>,
    pub rotate_every_s: u64,
    /// Who is responsible for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// It has been due for longer than `schedule.overdue_after`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// A standing consent is configured, so no operator is asked.
    pub unattended: bool,
    /// Why a rotation may not begin now without an operator: its window is closed, or the last one was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shut: Option<String>,
    /// When its current version was added, Unix seconds.
    #[serde(skip)]
    pub since_s: Option<u64>,
    /// What the server met when it last tried to begin its rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<DueFailed>,
    /// The open rotation of the secret.
    pub open: Option<String>,
    /// Why that rotation does not continue by itself.
    pub stands_still: Option<String>,
}

/// An attempt to begin a due rotation that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DueFailed {
    pub why: String,
    /// UTC.
    pub at: String,
    /// When the server tries again, UTC.
    pub again: String,
    /// The same in Unix seconds.
    #[serde(skip)]
    pub again_s: u64,
    /// The next command for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl DueShown {
    /// Whether the secret is due now.
    pub fn due(&self) -> bool {
        self.age_s.is_some_and(|age| age >= self.rotate_every_s)
    }

    /// When it is due, Unix seconds.
    pub fn due_s(&self) -> Option<u64> {
        Some(self.since_s?.saturating_add(self.rotate_every_s))
    }
}
