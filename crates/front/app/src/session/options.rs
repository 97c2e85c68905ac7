//! The options of `apply` and `resume`.

use keyroll_rotation::{Emergency, Fact, OnFailure, Phase};
use keyroll_secret::Credential;

use super::manual_mint::Given;
use super::manual_steps::Steps;
use crate::records::downtimes::Downtimes;
use crate::records::waivers::Waivers;

/// The options of `apply` and `resume`.
#[derive(Default)]
pub struct ApplyOptions {
    /// The secret's name: the consent to revoke the old key.
    pub confirm: Option<String>,
    /// Pause when this phase is reached.
    pub until: Option<Phase>,
    /// What happens when a consumer fails, instead of what the configuration says.
    pub on_failure: Option<OnFailure>,
    /// The old value is compromised.
    pub emergency: Option<Emergency>,
    /// The time of the alert, milliseconds since the Unix epoch; none = now.
    pub alerted_unix_ms: Option<u64>,
    /// The pending changes that restarts may make live, by name.
    pub accept: Vec<String>,
    /// The source of a key that the operator made.
    pub given: Option<Given>,
    /// The operator revoked the old key.
    pub revoked_by_hand: bool,
    /// The operator is asked for a manual key as soon as the rotation needs it.
    pub prompts: bool,
    /// The rotation rolls back, so the operator is not asked for a new key.
    pub back: bool,
    /// Only the old key is enabled again, and nothing is revoked.
    pub enables: bool,
    /// A key that somebody brought is sealed for it, so it does not wait for one.
    pub sealed: bool,
    /// A new rotation begins with this key, which somebody brought.
    pub brought: Option<Credential>,
    /// The command that asked for it, if it is another than the one that drives the rotation: it is named until the rotation has
    /// recorded what was asked for.
    pub again: Option<String>,
}

/// The flag that gives the time of an alert again, after a space.
pub(crate) fn alerted_flag(alerted_unix_ms: Option<u64>) -> String {
    let at = alerted_unix_ms.and_then(|ms| i64::try_from(ms).ok());
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| format!(" --alerted-at={at}")).unwrap_or_default()
}

/// The same for this command, `apply 0192`. The clock of an open rotation is not set again: `resume` has no such flag.
pub(crate) fn alerted_again(command: &str, alerted_unix_ms: Option<u64>) -> String {
    match command.split(' ').next() {
        Some("apply") => alerted_flag(alerted_unix_ms),
        Some(_) | None => String::new(),
    }
}

/// The options of one drive.
pub(crate) struct DriveOptions {
    /// The operator consented to revoking the old key.
    pub confirmed: bool,
    /// Pause before this phase.
    pub until: Option<Phase>,
    /// The first events: waivers, a resume, an abort.
    pub first: Vec<Fact>,
    /// The waivers from before the rotation opened.
    pub waivers: Waivers,
    /// The operator's steps at the issuer's console.
    pub steps: Steps,
    /// The downtimes of consumers with one instance.
    pub downtimes: Downtimes,
}
