mod alerted;
mod consumer;
mod emergency;
mod fingerprints;
mod get;
mod hosts;
mod incident;
mod init;
mod issuers;
mod leaks;
mod look;
mod revoke;
mod secret;
mod server;
mod shielded;
mod split;
mod steps;
mod without;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use consumer::{
    AcceptFileArgs, AdoptArgs, CheckAdapterArgs, ConsumerCommand, CorrectArgs, LetGoArgs, WaiveArgs,
    WaiversArgs,
};
pub(crate) use emergency::{EmergencyArgs, RunbookArgs};
pub(crate) use fingerprints::FingerprintsArgs;
pub(crate) use get::{GetArgs, GetFormat};
pub(crate) use hosts::{
    HostArgs, HostsAcceptArgs, HostsCheckArgs, HostsCommand, HostsImportArgs, HostsWaiveArgs,
};
pub(crate) use incident::{
    IncidentAssessArgs, IncidentCommand, IncidentContainArgs, IncidentOpenArgs, IncidentReportArgs,
    ReportFormat,
};
pub(crate) use init::InitArgs;
pub(crate) use issuers::{IssuersCommand, IssuersLintArgs, IssuersShowArgs};
pub(crate) use leaks::{LeaksArgs, LeaksFormat};
pub(crate) use look::{Drawn, GraphArgs, LookArgs, ScanArgs, TraceArgs, WhyArgs};
pub(crate) use revoke::{RevocableVersion, RevokeArgs};
pub(crate) use secret::{
    SecretAcceptKeyArgs, SecretAddArgs, SecretCheckStoreArgs, SecretCommand, SecretDriftArgs,
    SecretImportArgs,
};
pub(crate) use server::{NoticeCommand, ServeArgs, TokenCommand, TokenRole};
pub(crate) use shielded::{BelowArgs, RedactArgs, RunArgs};
pub(crate) use split::SplitArgs;
pub(crate) use steps::{Emergency, OnFailure, Step};
pub(crate) use without::WithoutArgs;

use crate::examples;

/// Replace API keys, passwords and tokens while they are in use.
///
/// keyroll makes the new key, moves every consumer to it, and revokes the old key only when every running process has
/// shown that it no longer needs the old one.
#[derive(Debug, Parser)]
#[command(name = "keyroll", version, disable_help_subcommand = true, max_term_width = 80)]
#[command(after_help = examples::KEYROLL)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags that every command takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Read this configuration file [default: keyroll.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Keep the journal and the sealed values in DIR, and the keys in DIR.keys
    ///
    /// Default: /var/lib/keyroll for root, otherwise $XDG_STATE_HOME/keyroll (~/.local/state/keyroll).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Keep the key that encrypts the stored values in DIR, apart from them
    ///
    /// The same folder contains the witness of the journal, by which keyroll detects that the state was restored from a backup. Default: /etc/keyroll for root, otherwise $XDG_CONFIG_HOME/keyroll (~/.config/keyroll).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// Unlock the key that encrypts the stored values with SOURCE
    ///
    /// SOURCE is file, file:PATH, credential:NAME, fd:NUMBER or passphrase. Only fd:NUMBER needs this flag: the file of the
    /// key names any other source.
    #[arg(long, global = true, value_name = "SOURCE")]
    pub(crate) sealing_key: Option<String>,
    /// Ask the server at URL, instead of working on this machine
    ///
    /// For commands that read, and for plan, apply, resume, retry, pause, abort, undo and emergency. The server listens on loopback; from another machine, open a tunnel first: ssh -L 9090:127.0.0.1:9090 HOST. Then URL is http://127.0.0.1:9090.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Read the token for --server from a file that only you can read
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Write JSON events to stdout, one per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print without colours and without redrawing lines
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// Never prompt; fail if an answer is needed
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Answer yes to every question about something that can be undone
    ///
    /// Revoking a key cannot be undone, and needs --confirm NAME instead.
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Write what the command cost this process, as one line of JSON on stderr
    #[arg(long, global = true, hide = true)]
    pub(crate) cost: bool,
    /// On whose behalf a server runs this command, which it has recorded
    #[arg(long, global = true, hide = true)]
    pub(crate) asked_by: Option<String>,
    /// What tells them from another one of the same name
    #[arg(long, global = true, hide = true, requires = "asked_by")]
    pub(crate) asked_id: Option<String>,
}

/// The commands; each is one file under `commands`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a complete rotation with a local issuer and local workers
    ///
    /// Takes less than a minute. Everything is on loopback and is removed afterwards, also after Ctrl-C.
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// List the secrets on this machine and the processes that use them; read-only
    #[command(after_help = examples::SCAN)]
    Scan(ScanArgs),
    /// Explain which copy of a secret wins and which version each process uses; read-only
    #[command(after_help = examples::WHY)]
    Why(WhyArgs),
    /// List every copy of a secret and every process that uses it; read-only
    #[command(after_help = examples::TRACE)]
    Trace(TraceArgs),
    /// Draw which process takes which secret from which copy; read-only
    #[command(after_help = examples::GRAPH)]
    Graph(GraphArgs),
    /// Scan files, archives, git history and stdin for leaked secrets
    ///
    /// With --host it scans other machines over ssh. It leaves clusters out: `keyroll scan --host NAME` shows their secrets.
    #[command(after_help = examples::LEAKS)]
    Leaks(LeaksArgs),
    /// Export keyed fingerprints so that another machine can scan for these secrets
    ///
    /// The file contains no secret. Whoever has it can test whether a text contains one of the secrets.
    #[command(after_help = examples::FINGERPRINTS)]
    Fingerprints(FingerprintsArgs),
    /// Copy text and redact secrets and credentials from it
    #[command(after_help = examples::REDACT)]
    Redact(RedactArgs),
    /// Run a program and redact secrets from its output
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// List and check the hosts and clusters of keyroll.toml; accept and waive hosts
    #[command(subcommand, alias = "host")]
    Hosts(HostsCommand),
    /// Write keyroll.toml from the secrets found on this machine
    ///
    /// If keyroll.toml exists, init adds new consumers and copies, and changes nothing else. It never writes a value. With
    /// --host it searches other machines, whose values stay there, and clusters.
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Check everything that a rotation needs; changes nothing
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Add, import, list and show secrets; never prints a value
    #[command(subcommand)]
    Secret(SecretCommand),
    /// List the supported issuers and what each can do
    #[command(subcommand)]
    Issuers(IssuersCommand),
    /// Inspect everything and save a rotation plan; changes nothing
    #[command(after_help = examples::PLAN)]
    Plan(PlanArgs),
    /// Plan to give each consumer of a shared key its own key; changes nothing
    #[command(after_help = examples::SPLIT)]
    Split(SplitArgs),
    /// Apply a plan: rotate the secret
    #[command(after_help = examples::APPLY)]
    Apply(ApplyArgs),
    /// Resume a rotation that is paused or has no driver
    #[command(after_help = examples::RESUME)]
    Resume(ResumeArgs),
    /// Pause a rotation at the next safe point; both keys stay valid
    #[command(after_help = examples::PAUSE)]
    Pause(IdArgs),
    /// Show open rotations, what blocks them, and the next command
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Roll back to the old key; possible until the point of no return
    #[command(after_help = examples::ABORT)]
    Abort(IdArgs),
    /// Retry the step at which a rotation is stuck
    #[command(after_help = examples::RETRY)]
    Retry(RetryArgs),
    /// Undo a rotation: the same as abort; refused after the point of no return
    #[command(after_help = examples::UNDO)]
    Undo(IdArgs),
    /// Declare or waive a process or file that still holds a secret
    #[command(subcommand)]
    Consumer(ConsumerCommand),
    /// Ask the issuer whether each version of a secret is alive
    ///
    /// Sends the stored values and one deliberately wrong value to the issuer, but no key that is disabled for a soak.
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArgs),
    /// Revoke an old version that is still alive
    #[command(after_help = examples::REVOKE)]
    Revoke(RevokeArgs),
    /// Replace a leaked key at once, with a key that you bring or one that the issuer makes
    ///
    /// One command for plan, apply and resume: after one canary every consumer is moved and proven. The same as POST /rotate-secret of the server.
    #[command(after_help = examples::EMERGENCY)]
    Emergency(EmergencyArgs),
    /// Work on a leaked key: open, assess, contain, report
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Print the procedure for a leaked key of a secret, for paper
    #[command(after_help = examples::RUNBOOK)]
    Runbook(RunbookArgs),
    /// Run the server: an endpoint that rotates a leaked key without a redeploy
    ///
    /// It listens on loopback, as [server] in keyroll.toml says. SIGTERM pauses every rotation after the step in hand; the next start goes on with it.
    #[command(after_help = examples::SERVE)]
    Serve(ServeArgs),
    /// Print a value that keyroll serve gives out to the program that runs this
    ///
    /// The kernel tells the server which user and which program ask. `serves` of a consumer in keyroll.toml names both.
    #[command(after_help = examples::GET)]
    Get(GetArgs),
    /// Make, list and revoke the tokens of the server
    #[command(subcommand)]
    Token(TokenCommand),
    /// Test the recipients of the server's notices
    #[command(subcommand)]
    Notice(NoticeCommand),
    /// Show which secrets are due for rotation, or rotate them unattended
    #[command(after_help = examples::DUE)]
    Due(DueArgs),
    /// Show past rotations: how each ended and how long it took
    #[command(after_help = examples::HISTORY)]
    History(HistoryArgs),
    /// Show who asked for what, from the journal
    ///
    /// Each command and each request that changes something is recorded before it is done.
    #[command(after_help = examples::AUDIT)]
    Audit(AuditArgs),
    /// Explain an error code: what happened, why, and what to do
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// Print the JSON Schema of keyroll.toml
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Print a shell completion script
    ///
    /// For each word the script runs keyroll, which offers the secrets of keyroll.toml, the plans and the open rotations too. It
    /// reads them without a lock, and asks nobody. Nothing is offered where a server is asked.
    #[command(after_help = examples::COMPLETION)]
    Completion(CompletionArgs),
    /// Print a manual page
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
    /// Run one part of the demo; started by the demo itself
    #[command(hide = true)]
    DemoPart(DemoPartArgs),
    /// Execute a program that ends with its parent; started by keyroll run itself
    #[command(hide = true)]
    Below(BelowArgs),
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the demo's folder
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `demo-part`.
#[derive(Debug, Args)]
pub(crate) struct DemoPartArgs {
    /// The part, and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code of an error message, such as K0404 [default: list all codes]
    pub(crate) code: Option<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Confirm that this journal is the newest one, after a restore from a backup
    ///
    /// Asks at the terminal. keyroll revokes nothing before this confirmation.
    #[arg(long)]
    pub(crate) accept_journal: bool,
    /// Confirm that the state was moved to this machine and no other machine uses it
    #[arg(long, conflicts_with = "accept_journal")]
    pub(crate) moved_here: bool,
}

/// A command about one secret.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// The secret's name
    pub(crate) name: String,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The secret's name
    pub(crate) secret: String,
    #[command(flatten)]
    pub(crate) without: WithoutArgs,
}

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The plan's id, or its first characters
    pub(crate) plan: String,
    /// Consent to revoking the old key; NAME is the secret's name
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Pause before this step
    #[arg(long, value_name = "STEP")]
    pub(crate) until: Option<Step>,
    /// Pause or roll back if a consumer fails [default: `on_failure` of keyroll.toml]
    #[arg(long, value_name = "HOW", conflicts_with = "emergency")]
    pub(crate) on_failure: Option<OnFailure>,
    /// Rotate a leaked key fast: move all consumers at once, or revoke the key first
    #[arg(long, value_name = "HOW", conflicts_with = "until")]
    pub(crate) emergency: Option<Emergency>,
    /// When the alert came: 03:05, 5m (ago), or RFC 3339
    ///
    /// A time of day is in this machine's time zone, today or yesterday. The report counts the time from the alert; without
    /// this flag, from this command.
    #[arg(long, value_name = "TIME", requires = "emergency", value_parser = alerted::alerted)]
    pub(crate) alerted_at: Option<jiff::Timestamp>,
    /// Accept a pending change that a restart makes live, by the name that plan shows
    #[arg(long, value_name = "NAME")]
    pub(crate) accept: Vec<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The rotation's id, or its first characters [default: the only open one]
    pub(crate) id: Option<String>,
    /// Consent to revoking the old key; NAME is the secret's name
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Pause before this step
    #[arg(long, value_name = "STEP")]
    pub(crate) until: Option<Step>,
    /// Rotate a leaked key fast: move all consumers at once, or revoke the key first
    #[arg(long, value_name = "HOW", conflicts_with = "until")]
    pub(crate) emergency: Option<Emergency>,
    /// Accept a pending change that a restart makes live, by the name that plan shows
    #[arg(long, value_name = "NAME")]
    pub(crate) accept: Vec<String>,
    /// Report that an operator revoked the old key at the issuer's console
    ///
    /// keyroll then probes the key until the issuer refuses it.
    #[arg(long)]
    pub(crate) revoked_by_hand: bool,
    /// Read the value of a key that an operator made at the console from stdin
    #[arg(long, conflicts_with = "value_file")]
    pub(crate) value_stdin: bool,
    /// Read that value from a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
}

/// A command about one rotation.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The rotation's id, or its first characters [default: the only open one]
    pub(crate) id: Option<String>,
}

/// `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The rotation's id, or its first characters [default: the only open one]
    pub(crate) id: Option<String>,
    /// Accept a pending change that a restart makes live, by the name that plan shows
    #[arg(long, value_name = "NAME")]
    pub(crate) accept: Vec<String>,
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The rotation's id, or its first characters [default: all]
    pub(crate) id: Option<String>,
    /// Print changes until the rotation has no driver
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// `due`.
#[derive(Debug, Args)]
pub(crate) struct DueArgs {
    /// A secret [default: all]
    #[arg(value_name = "SECRET", conflicts_with = "timer")]
    pub(crate) secret: Option<String>,
    /// Rotate every due secret with a standing consent, one after the other
    #[arg(long)]
    pub(crate) apply: bool,
    /// Print a systemd service and timer that run `due --apply` every day
    #[arg(long, conflicts_with = "apply")]
    pub(crate) timer: bool,
}

/// `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// A secret, or one rotation's id [default: all]
    #[arg(value_name = "SECRET|ID")]
    pub(crate) about: Option<String>,
    /// Show all rotations, not only the newest 20
    #[arg(long)]
    pub(crate) all: bool,
}

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// A secret, or the id of a rotation, plan or incident [default: everything]
    #[arg(value_name = "SECRET|ID")]
    pub(crate) about: Option<String>,
    /// Show everything, not only the newest 50
    #[arg(long)]
    pub(crate) all: bool,
}

/// `completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command [default: keyroll itself]
    pub(crate) command: Vec<String>,
}

/// `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The secret's name
    pub(crate) secret: String,
}
