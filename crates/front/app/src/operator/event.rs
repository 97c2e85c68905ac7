//! What `--json` writes and what the terminal shows: a projection, never the journal's own form.
//!
//! Version 1 only grows: a reader ignores types and keys that it does not know; nothing changes its meaning.

use serde::Serialize;

use crate::operator::GapShown;

/// The version of the stream, in its first line.
pub const STREAM_VERSION: u32 = 1;

/// One line of the stream: the event with the time at which it was shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventLine {
    /// RFC 3339, UTC.
    pub at: String,
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
        /// The consumers that will not be there for a moment: one instance that is restarted, or all where the new value ends the
        /// old one.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gaps: Vec<String>,
        /// For how long each of them may be away, as far as it can be told beforehand.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        away: Vec<GapShown>,
        /// What has to be waited for in any case, seconds; restarts and checks come on top.
        least_s: u64,
        /// The command that carries it out, with what has to be accepted for that.
        apply_with: String,
    },
    /// A rotation was opened or taken up.
    Rotation { id: String, secret: String },
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
    /// Evidence came in.
    Evidence { consumer: String, instance: String, path: Option<String>, grade: Grade, observer: String },
    /// A gate is closed, and by whom.
    Blocked { gate: Phase, holder: Holder },
    /// All that is known of one rotation, for `status`.
    Status(StatusShown),
    /// What a person is asked to consent to, before they are asked.
    Consent {
        /// What is ended for good.
        ends: String,
        /// It was shared, and whoever used it has a key of its own.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        shared: bool,
        instances: Vec<String>,
        /// What keeps the old value all the same.
        waivers: Vec<String>,
        /// For how long the old key has been switched off.
        off_s: Option<u64>,
    },
    /// Something is waited for, and for how long at most.
    Waiting { what: String, seconds_max: Option<u64> },
    /// Something could not be looked at.
    NotVisible { what: String, why: String },
    /// Something beside the value that a restart would make live, or made live.
    Live {
        /// What it is accepted by.
        name: String,
        what: String,
        /// When its file was last changed, UTC, where that says when the edit was made.
        since: Option<String>,
        /// The restart was not made for its sake.
        refused: bool,
    },
    /// The rotation stands still.
    Paused { reason: String, resume_with: String },
    /// The point of no return was passed.
    Decided { by: String, instances: u64, waivers: u64 },
    /// What was written, and how it is undone.
    Undo { what: String, with: String },
    /// A configuration that would be written.
    Draft { path: String, text: String },
    /// One finding of `doctor` or `verify`.
    Check(super::CheckShown),
    /// One secret, for `secret list` and `show`.
    Secret(super::SecretShown),
    /// One secret, for `due`.
    Due(DueShown),
    /// One rotation, for `history`.
    Past(PastShown),
    /// One waiver that counts, for `consumer waivers`.
    Waiver(WaiverShown),
    /// One issuer, for `issuers`.
    Issuer(super::IssuerShown),
    /// One error code, for `explain`.
    Code(super::CodeShown),
    /// What a look at this machine took.
    Scan(super::ScanShown),
    /// One secret that was found on this machine.
    Found(super::FoundShown),
    /// A value that got out.
    Leak(Box<crate::leaks::LeakShown>),
    /// What a search for leaks came to.
    Leaks(crate::leaks::LeaksShown),
    /// What a file of prints has.
    Prints(super::PrintsShown),
    /// An encrypted store that was found on this machine.
    Store(super::StoreShown),
    /// One process that uses a secret.
    Instance(super::InstanceShown),
    /// Where a service takes a secret from.
    Chain(super::ChainShown),
    /// Who takes what from where.
    Graph(super::GraphShown),
    /// A sentence.
    Note { text: String },
    /// A place that is left with the old value.
    Residue(Residue),
    /// The rotation ended.
    Done { outcome: Outcome },
    /// The last line of `demo` and `apply`.
    Summary(Summary),
    /// The command failed; the last line.
    Error { attempted: String, code: &'static str, causes: Vec<String>, help: Option<String>, exit: u8 },
}

/// The phases that are shown, each with its word for people.
macro_rules! phases {
    ($($phase:ident $word:literal),+) => {
        /// The phases of a rotation, by the words of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    Checked,
    Exercised,
}

/// A process or place that holds the old value and that nobody has named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub pid: Option<u32>,
    pub name: String,
    /// How it was seen: by its memory, by its socket at the issuer, in a file.
    pub found_by: String,
    /// The command that names it.
    pub how_to_move: String,
    /// The other choice, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub or_else: Option<String>,
    /// What kind of blocker it is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// When it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
}

/// The old key's switch, as far as the journal tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OldKeyShown {
    /// `on`, `off`, `ended`, `perhaps on`, `perhaps off`, `unknown`.
    pub state: &'static str,
    /// Since when, where it is known.
    pub since: Option<String>,
}

/// One consumer of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitShown {
    pub name: String,
    pub stage: String,
}

/// One rotation as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusShown {
    pub id: String,
    pub secret: String,
    pub began: String,
    pub phase: Option<Phase>,
    pub ended: bool,
    pub owes: bool,
    /// The point of no return lies behind.
    pub decided: bool,
    /// How the emergency is met, where it is one: `roll-first` or `revoke-now`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<&'static str>,
    /// Consumers on the new version.
    pub moved: usize,
    pub units: Vec<UnitShown>,
    pub old_key: OldKeyShown,
    /// The process that drives it; 0 = one that did not say.
    pub driver: Option<u32>,
    pub outcome: Option<Outcome>,
    /// Why it stands still.
    pub why: Option<String>,
    /// What led to it: why it goes or went back, or what a consumer did not show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// It does not go on by resuming alone.
    pub person: bool,
    pub blocked_by: Vec<Holder>,
    pub waived: Vec<String>,
    /// The command that continues it.
    pub next: Option<String>,
}

/// When a secret is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DueShown {
    pub secret: String,
    /// The age of its current version; none where it was never taken in.
    pub age_s: Option<u64>,
    pub rotate_every_s: u64,
    /// Nobody is asked: a standing consent is configured.
    pub unattended: bool,
    /// The rotation of it that is open.
    pub open: Option<String>,
    /// Why that one does not go on by itself.
    pub stands_still: Option<String>,
}

impl DueShown {
    /// Whether its time has come.
    pub fn due(&self) -> bool {
        self.age_s.is_some_and(|age| age >= self.rotate_every_s)
    }
}

/// One rotation as its journal tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// Why it goes or went back, or what a consumer did not show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Each consumer with one instance that is restarted: what was announced and what was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapShown>,
    /// What was allowed to keep the old value, with the reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
}

/// What may keep the old value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaiverShown {
    pub secret: String,
    pub holder: String,
    /// The open rotation that has recorded it; none = it counts for the next one.
    pub rotation: Option<String>,
    pub reason: Option<String>,
}

/// How a rotation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    RolledBack,
    Stuck,
    Paused,
    Debt,
}

/// What is left of the old value after Sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Residue {
    pub place: String,
    pub reason: String,
}

/// The closing line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub outcome: Outcome,
    /// Requests that were sent through it; only the demo knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Those of them that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// From the new key to the last consumer that was seen on it; none if this driver saw only a part of it.
    pub mint_to_last_moved_s: Option<f64>,
    /// The longest time that a consumer with one instance was not there, as this driver measured it; where the new value
    /// ends the old one, at least the time from the new one to the last consumer that was seen on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_s: Option<f64>,
    /// Each consumer with one instance that is restarted: what was announced and what was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapShown>,
    pub dead_confirmed: bool,
    /// The old key is shared with others, and was kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub old_kept: bool,
    pub blocked_by: Option<String>,
    pub(crate) residues: Vec<Residue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<EmergencyShown>,
}

/// The clock of an emergency: when the alert came, and what was done how long after it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmergencyShown {
    /// When it came: as the command was told, or the command itself.
    pub alerted: String,
    /// The new key was made.
    pub alert_to_minted_s: Option<f64>,
    /// It stands in the last copy.
    pub alert_to_stored_s: Option<f64>,
    /// The last consumer has shown it.
    pub alert_to_moved_s: Option<f64>,
    /// The old key was seen dead.
    pub alert_to_dead_s: Option<f64>,
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

impl Holder {
    /// A blocker in lines: what it is, how it was found, and the one command for each choice.
    pub fn lines(&self, before: &str) -> Vec<String> {
        let kind = if self.kind.is_empty() { String::new() } else { format!("{}: ", self.kind) };
        let pid = self.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let mut lines =
            vec![format!("{before}{kind}{}{pid}", self.name), format!("  found by: {}", self.found_by)];
        let runs = self.executable.as_ref().map(|exe| format!("runs {exe}"));
        let folder = self.folder.as_ref().map(|folder| format!("in {folder}"));
        let started = self.started.as_ref().map(|at| format!("since {at}"));
        let all: Vec<String> = [runs, folder, started].into_iter().flatten().collect();
        if !all.is_empty() {
            lines.push(format!("  {}", all.join(" ")));
        }
        lines.push(format!("  to move it: {}", self.how_to_move));
        lines.extend(self.or_else.as_ref().map(|other| format!("  or: {other}")));
        lines
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
        serde_json::to_string(&EventLine { at: "T".to_owned(), event }).unwrap()
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
            pid: Some(7),
            name: "worker".to_owned(),
            found_by: "socket".to_owned(),
            how_to_move: "keyroll consumer adopt 7".to_owned(),
            or_else: None,
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
            gap_s: None,
            gaps: Vec::new(),
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
