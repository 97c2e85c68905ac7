//! What `--json` writes and what the terminal shows: a projection, never the journal's own form.
//!
//! Version 1 only grows: a reader ignores types and keys that it does not know; nothing changes its meaning.

use serde::Serialize;
use utoipa::ToSchema;

use crate::operator::{DowntimeShown, EmergencyShown, Holder, RollsBack, UnitShown, WaitingShown};
use crate::problem::Further;

/// The version of the stream, in its first line.
pub const STREAM_VERSION: u32 = 1;

/// One line of the stream: the event with the time at which it was shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventLine {
    /// RFC 3339, UTC.
    pub at: String,
    /// The host that the event is about, if hosts were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(flatten)]
    pub event: Event,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first line.
    Start { version: u32, keyroll: &'static str },
    /// A plan was saved; nothing was touched.
    Plan {
        id: String,
        secret: String,
        steps: Vec<String>,
        /// How the consumers are moved one after the other, as far as the configuration says so.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pace: Vec<String>,
        /// Consumers with a downtime: their only instance is restarted, or the new value ends the old one.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        downtimes: Vec<String>,
        /// The downtime of each of them, as far as it is known beforehand.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        away: Vec<DowntimeShown>,
        /// The waits that the plan requires in any case, seconds; restarts and checks come on top.
        least_s: u64,
        /// How far it can be rolled back; none = a server of a former version does not say it.
        #[serde(skip_serializing_if = "Option::is_none")]
        rolls_back: Option<RollsBack>,
        /// The pending changes to accept, by name.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        accept: Vec<String>,
        /// The command that applies it, with the pending changes to accept.
        apply_with: String,
    },
    /// A rotation was opened or resumed.
    Rotation { id: String, secret: String },
    /// A key that somebody brought is sealed for the rotation.
    Sealed { id: String },
    /// A phase was entered.
    Phase { phase: Phase },
    /// A step on a host, for one instance or for the consumer as a whole.
    HostStep {
        host: String,
        consumer: String,
        instance: Option<String>,
        step: HostStep,
        state: StepState,
        detail: Option<String>,
    },
    /// New evidence was observed.
    Evidence { consumer: String, instance: String, path: Option<String>, grade: Grade, observer: String },
    /// A gate is closed, and what closes it.
    Blocked { gate: Phase, holder: Holder },
    /// All that is known of one rotation, for `status`.
    Status(StatusShown),
    /// What the operator will be asked to consent to.
    Consent {
        /// The key that is revoked.
        ends: String,
        /// The key was shared, and each consumer that used it has a key of its own now.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        shared: bool,
        instances: Vec<String>,
        /// What was allowed to keep the old value.
        waivers: Vec<String>,
        /// The undeclared processes whose memory was not searched completely.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        unsearched: Vec<String>,
        /// How long the old key has been disabled, seconds.
        off_s: Option<u64>,
    },
    /// What keyroll waits for, and how long at most. `since` and `until`: UTC.
    Waiting {
        what: String,
        seconds_max: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        /// What an operator can do meanwhile; where a rotation waits for the operator, what continues it.
        #[serde(skip_serializing_if = "Option::is_none")]
        forward: Option<String>,
        /// The command that rolls the rotation back.
        #[serde(skip_serializing_if = "Option::is_none")]
        back: Option<String>,
    },
    /// Something is not visible, and why.
    NotVisible { what: String, why: String },
    /// A pending change: something beside the value that goes live with a restart.
    Live {
        /// The name that `--accept` takes.
        name: String,
        what: String,
        /// When its file was last changed, UTC, if that is the time of the edit.
        since: Option<String>,
        /// The change prevented the restart.
        refused: bool,
    },
    /// The rotation is paused.
    Paused { reason: String, resume_with: String },
    /// The point of no return was passed.
    Decided { by: String, instances: u64, waivers: u64 },
    /// What was written, and the command that undoes it.
    Undo { what: String, with: String },
    /// A configuration that would be written.
    Draft { path: String, text: String },
    /// One finding of `doctor` or `verify`.
    Check(super::CheckShown),
    /// One secret, for `secret list` and `show`.
    Secret(super::SecretShown),
    /// What the source of truth of one secret gives out, for `secret drift`.
    Drift(super::DriftShown),
    /// One secret, for `due`.
    Due(super::DueShown),
    /// One rotation, for `history`.
    Past(PastShown),
    /// Something that somebody asked for, for `audit`.
    Act(super::ActShown),
    /// One waiver that counts, for `consumer waivers`.
    Waiver(WaiverShown),
    /// A host that was waived: what follows from it, or how it is left at the end of the rotation.
    HostLeft(super::HostLeft),
    /// One issuer, for `issuers`.
    Issuer(super::IssuerShown),
    /// A warning about an issuer's spec, for `issuers lint`.
    SpecWarning(super::SpecWarningShown),
    /// One error code, for `explain`.
    Code(super::CodeShown),
    /// What an inspection of this machine covered.
    Scan(keyroll_inventory::ScanShown),
    /// One secret that was found on this machine.
    Found(keyroll_inventory::FoundShown),
    /// A leaked secret.
    Leak(Box<crate::leaks::LeakShown>),
    /// The counts of a scan for leaks.
    Leaks(crate::leaks::LeaksShown),
    /// One incident.
    Incident(crate::incidents::IncidentShown),
    /// What is known of a leaked key.
    Assessment(Box<crate::incidents::AssessmentShown>),
    /// The report of an incident.
    Report(Box<crate::incidents::Report>),
    /// The contents of a fingerprint file.
    Prints(super::PrintsShown),
    /// An encrypted store that was found on this machine.
    Store(keyroll_inventory::StoreShown),
    /// One process that uses a secret.
    Instance(keyroll_inventory::InstanceShown),
    /// Where a service takes a secret from.
    Chain(keyroll_inventory::ChainShown),
    /// Values, copies, services and processes, and their relations.
    Graph(keyroll_inventory::GraphShown),
    /// One configured host, for `hosts list`.
    Host(crate::hosts::HostShown),
    /// A value that was found on several hosts.
    SameValue(crate::hosts::SharedShown),
    /// A sentence.
    Note { text: String },
    /// A copy that still holds the old value.
    Residue(Residue),
    /// The rotation ended.
    Done { outcome: Outcome },
    /// The last line of `demo` and `apply`.
    Summary(Summary),
    /// The command failed; the last line.
    Error {
        attempted: String,
        code: &'static str,
        causes: Vec<String>,
        help: Option<String>,
        /// Further mistakes of the same text.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        further: Vec<Further>,
        /// How many mistakes there are beyond those that are listed.
        #[serde(skip_serializing_if = "Option::is_none")]
        left_off: Option<u32>,
        exit: u8,
    },
}

impl Event {
    /// A wait about which nobody has to do anything.
    pub(crate) fn waiting(what: String, seconds_max: Option<u64>) -> Self {
        Self::Waiting { what, seconds_max, since: None, until: None, forward: None, back: None }
    }
}

/// The phases that are shown, each with its word for people.
macro_rules! phases {
    ($($phase:ident $word:literal),+) => {
        /// The phases of a rotation, by the words of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Phase {
            $($phase,)+
            Promote,
        }

        impl Phase {
            /// The word for people.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$phase => $word,)+
                    Self::Promote => "promote",
                }
            }

            /// The shown phase; none for an end state.
            pub fn of(phase: keyroll_rotation::Phase) -> Option<Self> {
                match phase {
                    $(keyroll_rotation::Phase::$phase => Some(Self::$phase),)+
                    keyroll_rotation::Phase::Done | keyroll_rotation::Phase::RolledBack => None,
                }
            }
        }
    };
}

phases! {
    Preflight "preflight", Mint "mint", Stage "stage", Probe "probe", Roll "roll", Quiesce "quiesce",
    Disable "disable", Soak "soak", Decide "decide", Revoke "revoke", ConfirmDead "confirm dead", Sweep "sweep",
    RollingBack "roll back"
}

/// The steps on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStep {
    Delivered,
    Applied,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Waiting,
    Done,
    Failed,
    Skipped,
}

/// The kinds of evidence, by the words of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    Delivered,
    Read,
    Loaded,
    Reported,
    Told,
    Checked,
    Exercised,
}

/// Whether the old key is enabled, as far as the journal tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OldKeyShown {
    /// `on`, `off`, `ended`, `perhaps on`, `perhaps off`, `unknown`.
    pub state: &'static str,
    /// Since when, if that is known.
    pub since: Option<String>,
}

/// The present state of one rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusShown {
    pub id: String,
    pub secret: String,
    pub began: String,
    pub phase: Option<Phase>,
    pub ended: bool,
    pub owes: bool,
    /// What is owed is a complete list of the issuer's keys: the old key is dead.
    #[serde(skip)]
    pub unlisted: bool,
    /// When its last entry was written, Unix seconds.
    #[serde(skip)]
    pub last_s: u64,
    /// The point of no return was passed.
    pub decided: bool,
    /// The order of an emergency's steps: `roll-first` or `revoke-now`. None if it is no emergency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<&'static str>,
    /// Consumers on the new version.
    pub moved: usize,
    pub units: Vec<UnitShown>,
    pub old_key: OldKeyShown,
    /// The process that drives it; 0 = its process id is not known.
    pub driver: Option<u32>,
    pub outcome: Option<Outcome>,
    /// Why it is paused or stuck.
    pub why: Option<String>,
    /// The cause: why it rolls or rolled back, or which evidence of a consumer is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// It needs the operator: `resume` alone does not continue it.
    pub person: bool,
    /// What it waits for, while it is open or owes something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingShown>,
    pub blocked_by: Vec<Holder>,
    pub waived: Vec<String>,
    /// Hosts that were waived and answered since: their waivers have ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts_back: Vec<String>,
    /// Hosts of its configuration that it does not look at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts_not_searched: Vec<String>,
    /// What was not visible to a driver of this emergency: it is not held up by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_visible: Vec<String>,
    /// The command that continues it.
    pub next: Option<String>,
    /// A process drives another rotation: until it was asked to pause by this command, the commands of this one are refused
    /// (K0828).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

impl StatusShown {
    /// Whether it continues only when an operator acts.
    pub fn waits_for_person(&self) -> bool {
        self.person || self.waiting.as_ref().is_some_and(|waiting| waiting.person)
    }
}

/// One rotation as its journal records it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PastShown {
    pub id: String,
    pub secret: String,
    pub began: String,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
    pub phase: Option<Phase>,
    pub took_s: Option<f64>,
    pub mint_to_last_moved_s: Option<f64>,
    pub mint_to_dead_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<EmergencyShown>,
    pub old_key: String,
    /// Why it rolls or rolled back, or which evidence of a consumer is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Each consumer with a single instance that is restarted: the announced and the measured downtime.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub downtimes: Vec<DowntimeShown>,
    /// The waivers, with their reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
    /// Who asked for what, if one rotation is asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<super::ActShown>,
}

/// One waiver: something that may keep the old value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaiverShown {
    pub secret: String,
    pub holder: String,
    /// The open rotation that recorded it; none = it applies to the next rotation.
    pub rotation: Option<String>,
    pub reason: Option<String>,
}

/// How a rotation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    RolledBack,
    Stuck,
    Paused,
    Debt,
}

/// A copy of the old value that remains after Sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Residue {
    pub place: String,
    pub reason: String,
}

/// The closing line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub outcome: Outcome,
    /// How many requests were sent during the rotation; only the demo counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// How many of them failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// From the new key to the last consumer that was seen to use it, seconds; none if this driver saw only a part of
    /// that time.
    pub mint_to_last_moved_s: Option<f64>,
    /// The longest downtime of a consumer with a single instance, seconds, as this driver measured it. If the new value
    /// ends the old one, it is at least the time from the new value to the last consumer that was seen to use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_s: Option<f64>,
    /// Each consumer with a single instance that is restarted: the announced and the measured downtime.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub downtimes: Vec<DowntimeShown>,
    pub dead_confirmed: bool,
    /// Other consumers share the old key, so it was not revoked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub old_kept: bool,
    pub blocked_by: Option<String>,
    pub(crate) residues: Vec<Residue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<EmergencyShown>,
}

impl OldKeyShown {
    /// For people: `off since 2026-11-20 16:02:11Z`.
    pub fn text(&self) -> String {
        match &self.since {
            Some(since) => format!("{} since {since}", self.state),
            None => self.state.to_owned(),
        }
    }
}

impl HostStep {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Applied => "applied",
        }
    }
}

impl Grade {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Loaded => "loaded",
            Self::Reported => "reported",
            Self::Told => "told",
            Self::Checked => "checked",
            Self::Exercised => "exercised",
        }
    }
}

impl Outcome {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RolledBack => "rolled back",
            Self::Stuck => "stuck",
            Self::Paused => "paused",
            Self::Debt => "done with a debt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(event: Event) -> String {
        serde_json::to_string(&EventLine { at: "T".to_owned(), host: None, event }).unwrap()
    }

    #[test]
    fn the_stream_has_its_form() {
        assert_eq!(
            json(Event::Start { version: STREAM_VERSION, keyroll: "0.1.0" }),
            r#"{"at":"T","type":"start","version":1,"keyroll":"0.1.0"}"#
        );
        assert_eq!(
            json(Event::Phase { phase: Phase::ConfirmDead }),
            r#"{"at":"T","type":"phase","phase":"confirm_dead"}"#
        );
        let holder = Holder {
            host: None,
            pid: Some(7),
            name: "worker".to_owned(),
            found_by: "socket".to_owned(),
            how_to_move: "keyroll consumer adopt 7".to_owned(),
            or_else: None,
            steps: Vec::new(),
            kind: "",
            executable: None,
            folder: None,
            started: None,
        };
        assert_eq!(
            json(Event::Blocked { gate: Phase::Disable, holder }),
            r#"{"at":"T","type":"blocked","gate":"disable","holder":{"pid":7,"name":"worker","found_by":"socket","how_to_move":"keyroll consumer adopt 7"}}"#
        );
    }

    #[test]
    fn the_summary_stands_flat_in_its_line() {
        let summary = Summary {
            outcome: Outcome::RolledBack,
            requests: Some(10),
            failed: Some(0),
            mint_to_last_moved_s: Some(1.5),
            downtime_s: None,
            downtimes: Vec::new(),
            dead_confirmed: false,
            old_kept: false,
            blocked_by: None,
            residues: vec![Residue { place: "/x".to_owned(), reason: "git".to_owned() }],
            emergency: None,
        };
        assert_eq!(
            json(Event::Summary(summary)),
            r#"{"at":"T","type":"summary","outcome":"rolled_back","requests":10,"failed":0,"mint_to_last_moved_s":1.5,"dead_confirmed":false,"blocked_by":null,"residues":[{"place":"/x","reason":"git"}]}"#
        );
    }
}
