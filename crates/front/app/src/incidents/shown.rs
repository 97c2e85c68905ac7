#![allow(missing_docs, reason = "a field is named as its key in the JSON")]

use serde::Serialize;
use utoipa::ToSchema;

use crate::operator::CommandShown;

/// An incident as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IncidentShown {
    pub id: String,
    /// UTC.
    pub opened: String,
    /// `open`: nobody acts. `moving`: consumers are moved to a new key. `waiting`: a person is needed. `contained`: the
    /// issuer was seen to refuse the leaked key. `closed`: somebody ended it, or the key was dead before.
    pub state: &'static str,
    /// What leaked, in words.
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// `pending`, `current`, `previous`, `retired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'static str>,
    /// The issuer of a key that keyroll does not manage, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// How many alerts came for it.
    pub alerts: u64,
    /// Who sent them.
    pub sources: Vec<String>,
    /// Where it was seen.
    pub places: Vec<String>,
    /// An emergency of its secret begins by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub acts: bool,
    /// This alert was known already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
    /// When the issuer was seen to refuse it, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<String>,
    /// Why it waits, or was closed, or did not begin an emergency by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The next command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl IncidentShown {
    /// Nobody needs to act any more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, "contained" | "closed")
    }
}

/// What an assessment found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssessmentShown {
    pub incident: IncidentShown,
    /// `alive …`, `dead …`, or `not visible: …`.
    pub alive: String,
    /// The processes that use it.
    pub users: Vec<String>,
    /// The files of this machine that hold it.
    pub copies: Vec<String>,
    /// Where it is exposed: the places of the alerts, git histories, logs.
    pub exposed: Vec<String>,
    /// The oldest of them.
    pub first_exposed: Option<String>,
    /// What stops if it is revoked now.
    pub stops: Vec<String>,
    pub not_visible: Vec<String>,
    pub took_s: f64,
    /// The commands of the two ways on.
    pub next: Vec<String>,
    /// The same, by what each does.
    pub ways: Vec<CommandShown>,
}

/// One step of the report's clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepShown {
    pub step: &'static str,
    /// From the alert to its end, seconds. None if it has not ended, or is not visible.
    pub after_s: Option<f64>,
    /// From the step before to its end, seconds.
    pub took_s: Option<f64>,
    /// The runbook's minutes for it.
    pub runbook_min: u32,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The version of this form.
    pub(super) version: u32,
    pub(super) incident: IncidentShown,
    /// When the first alert came, UTC.
    pub(super) alerted: String,
    pub(super) clock: Vec<StepShown>,
    /// From the alert to the dead key, seconds; to now while it is not dead.
    pub(super) open_s: f64,
    pub(super) exposure: Exposed,
    /// What the last assessment found; none if there was none.
    pub(super) found: Option<Found>,
    /// Copies that hold the leaked value and that no consumer reads.
    pub(super) residues: Vec<String>,
    pub(super) not_visible: Vec<String>,
    pub(super) tasks: Vec<String>,
}

/// How long the key could be used by others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Exposed {
    /// The oldest place that is known.
    pub(super) first: Option<String>,
    /// When the issuer was seen to refuse it, UTC.
    pub(super) dead: Option<String>,
    pub(super) places: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Found {
    /// UTC.
    pub(super) at: String,
    pub(super) alive: String,
    pub(super) users: Vec<String>,
    pub(super) copies: Vec<String>,
}
