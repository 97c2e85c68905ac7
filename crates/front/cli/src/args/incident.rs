use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use keyroll_app::incidents::Source;

use super::{LookArgs, WithoutArgs, alerted};
use crate::examples;

/// `incident`.
#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// Open an incident: for a secret, for a value, or for the alerts of a scanner
    ///
    /// An alert of a key that has an open incident is added to it.
    #[command(after_help = examples::INCIDENT_OPEN)]
    Open(IncidentOpenArgs),
    /// List the incidents that are not over
    #[command(after_help = examples::INCIDENT_LIST)]
    List(IncidentListArgs),
    /// Show whether a leaked key works, who uses it, where it is exposed, and what stops without it
    ///
    /// Changes nothing. The issuer is asked; processes, files, git histories and the journal are searched.
    #[command(after_help = examples::INCIDENT_ASSESS)]
    Assess(IncidentAssessArgs),
    /// End a leaked key: move every consumer first, or revoke it now
    #[command(after_help = examples::INCIDENT_CONTAIN)]
    Contain(IncidentContainArgs),
    /// Write the report: the clock beside the runbook, the exposure, residues and tasks
    #[command(after_help = examples::INCIDENT_REPORT)]
    Report(IncidentReportArgs),
    /// Close an incident: nobody works on it any more
    ///
    /// The value of a key that keyroll does not manage is deleted.
    #[command(after_help = examples::INCIDENT_CLOSE)]
    Close(IncidentCloseArgs),
    /// Open a closed incident again
    #[command(after_help = examples::INCIDENT_REOPEN)]
    Reopen(IncidentArgs),
}

/// `incident open`.
#[derive(Debug, Args)]
#[command(override_usage = "keyroll incident open [OPTIONS] <SECRET|--from <SOURCE>|--value-…>")]
#[command(group = clap::ArgGroup::new("what").required(true).args(["secret", "value_stdin", "value_file", "from"]))]
pub(crate) struct IncidentOpenArgs {
    /// The secret whose current version leaked
    pub(crate) secret: Option<String>,
    /// Read the leaked value from stdin
    #[arg(long)]
    pub(crate) value_stdin: bool,
    /// Read the leaked value from a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
    /// Read the alerts of this source: github, gitguardian, gitlab, trufflehog, kingfisher, gitleaks, sarif, generic
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    pub(crate) from: Option<Source>,
    /// The file with the alerts [default: stdin]
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) file: Option<PathBuf>,
    /// Where the value was found, such as an address
    #[arg(long, value_name = "TEXT", conflicts_with = "from")]
    pub(crate) place: Option<String>,
    /// When the alert came: 03:05, 5m (ago), or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = alerted::alerted)]
    pub(crate) alerted_at: Option<jiff::Timestamp>,
    /// Begin the emergency of a stored key at once, within its emergencies_per_day
    #[arg(long)]
    pub(crate) act: bool,
    /// Count an emergency that the caller begins
    #[arg(long, hide = true, conflicts_with = "act")]
    pub(crate) reserve: bool,
    /// The name of the alert at its source
    #[arg(long, hide = true, value_name = "ID")]
    pub(crate) delivery: Option<String>,
}

fn source(name: &str) -> Result<Source, String> {
    Source::named(name).ok_or_else(|| {
        let all: Vec<&str> = Source::ALL.iter().map(|(_, name)| *name).collect();
        format!("a source is one of {}", all.join(", "))
    })
}

/// `incident list`.
#[derive(Debug, Args)]
pub(crate) struct IncidentListArgs {
    /// Also list those that are contained or closed
    #[arg(long)]
    pub(crate) all: bool,
}

/// A command about one incident.
#[derive(Debug, Args)]
pub(crate) struct IncidentArgs {
    /// The incident's id, or its first characters
    pub(crate) id: String,
}

/// `incident assess`.
#[derive(Debug, Args)]
pub(crate) struct IncidentAssessArgs {
    /// The incident's id, or its first characters [default: the only open one]
    pub(crate) id: Option<String>,
    /// Search this folder; repeat the flag for more
    ///
    /// Default: the places where programs and managers keep settings, and all home folders.
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) roots: Vec<PathBuf>,
    /// Search the journal since a time, as journalctl reads it
    #[arg(long, value_name = "SINCE", default_value = "-2days")]
    pub(crate) since: String,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// `incident contain`.
#[derive(Debug, Args)]
#[command(override_usage = "keyroll incident contain [OPTIONS] <--roll-first|--revoke-now|…> [ID]")]
#[command(group = clap::ArgGroup::new("how").required(true).args(["roll_first", "revoke_now", "revoked_by_hand"]))]
pub(crate) struct IncidentContainArgs {
    /// The incident's id, or its first characters [default: the only open one]
    pub(crate) id: Option<String>,
    /// Move every consumer to a new key, then revoke the leaked one: no outage
    #[arg(long)]
    pub(crate) roll_first: bool,
    /// Revoke the leaked key at once, and then give its consumers a new one: they stop meanwhile
    #[arg(long)]
    pub(crate) revoke_now: bool,
    /// Report that you revoked a key that keyroll does not manage; keyroll then asks its issuer until it is refused
    #[arg(long)]
    pub(crate) revoked_by_hand: bool,
    /// An alert asks for it
    #[arg(long, hide = true, requires = "roll_first")]
    pub(crate) by_alert: bool,
    /// Consent to revoking the leaked key; NAME is the secret's name, or the incident's id if keyroll does not manage the key
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Read the new key, which you made at the issuer's console, from stdin
    #[arg(long, conflicts_with = "value_file")]
    pub(crate) value_stdin: bool,
    /// Read that key from a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) without: WithoutArgs,
}

/// `incident report`.
#[derive(Debug, Args)]
pub(crate) struct IncidentReportArgs {
    /// The incident's id, or its first characters [default: the only open one]
    pub(crate) id: Option<String>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    pub(crate) format: ReportFormat,
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Markdown
    Markdown,
    /// One JSON document
    Json,
}

/// `incident close`.
#[derive(Debug, Args)]
pub(crate) struct IncidentCloseArgs {
    /// The ids of the incidents, or their first characters
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Why: a false alarm, done by hand
    #[arg(long, value_name = "REASON")]
    pub(crate) because: String,
}
