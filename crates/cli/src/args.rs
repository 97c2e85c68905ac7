mod alerted;
mod init;
mod issuers;
mod leaks;
mod look;
mod prints;
mod revoke;
mod shielded;
mod split;
mod steps;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use init::InitArgs;
pub(crate) use issuers::IssuersCommand;
pub(crate) use leaks::{LeaksArgs, LeaksFormat};
pub(crate) use look::{Drawn, GraphArgs, LookArgs, ScanArgs, TraceArgs, WhyArgs};
pub(crate) use prints::PrintsArgs;
pub(crate) use revoke::{RevocableVersion, RevokeArgs};
pub(crate) use shielded::{RedactArgs, RunArgs};
pub(crate) use split::SplitArgs;
pub(crate) use steps::{Emergency, Step};

use crate::examples;

/// Replaces API keys, passwords and tokens while they are in use.
///
/// Makes the new one, moves every consumer, and ends the old one only when the running processes have shown that
/// they no longer need it.
#[derive(Debug, Parser)]
#[command(name = "keyroll", version, disable_help_subcommand = true, max_term_width = 80)]
#[command(after_help = "Exit codes, files and variables of the environment: docs/reference/cli.md")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Globals {
    /// The configuration file [default: keyroll.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the journal and the sealed values; its keys are in DIR.keys
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// The folder of the sealing key and the epoch witness
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// What the sealing key is wrapped with, where its file does not say it: file,
    /// file:PATH, credential:NAME, fd:NUMBER, passphrase
    #[arg(long, global = true, value_name = "SOURCE")]
    pub(crate) sealing_key: Option<String>,
    /// Write events as JSON, one per line, on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No colours, and no lines that are written over
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// Never ask; fail where a person is needed
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Accept what can be undone without asking; never the end of a key
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Write what the command cost this process, as one line of JSON on stderr
    #[arg(long, global = true, hide = true)]
    pub(crate) cost: bool,
}

/// The commands; each is one file under `commands`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole rotation on this machine, with an issuer and workers of its own
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Show what secrets live on this machine and who runs on them; read-only
    #[command(after_help = examples::SCAN)]
    Scan(ScanArgs),
    /// Say which copy of a secret wins and who runs on what; read-only
    #[command(after_help = examples::WHY)]
    Why(WhyArgs),
    /// Show every copy of a secret, and every process with what it holds; read-only
    #[command(after_help = examples::TRACE)]
    Trace(TraceArgs),
    /// Draw who takes what from where; read-only
    #[command(after_help = examples::GRAPH)]
    Graph(GraphArgs),
    /// Look for values that got out: in files, archives and what is piped in
    #[command(after_help = examples::LEAKS)]
    Leaks(LeaksArgs),
    /// Write a file by which a scanner elsewhere finds the values that are kept here
    #[command(after_help = examples::PRINTS)]
    Prints(PrintsArgs),
    /// Copy a text without the values that keyroll knows and without what looks like a credential
    #[command(after_help = examples::REDACT)]
    Redact(RedactArgs),
    /// Run a program, and show what it writes without them
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// Write a keyroll.toml from what is found on this machine, or add to it what is new
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Look at everything that a rotation needs, and change nothing
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Add, list and show secrets; never their values
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Show what issuers are known, what each can do, and what a person does by hand
    #[command(subcommand)]
    Issuers(IssuersCommand),
    /// Look at everything, and save what a rotation would do; touches nothing
    #[command(after_help = examples::PLAN)]
    Plan(PlanArgs),
    /// Look at everything, and save how each consumer of a shared key gets one of its own
    #[command(after_help = examples::SPLIT)]
    Split(SplitArgs),
    /// Carry out a plan
    #[command(after_help = examples::APPLY)]
    Apply(ApplyArgs),
    /// Continue a rotation that has no driver or is paused
    #[command(after_help = examples::RESUME)]
    Resume(ResumeArgs),
    /// Stop a rotation at the next safe point; both keys stay valid
    #[command(after_help = examples::PAUSE)]
    Pause(IdArgs),
    /// Show what is open, who holds what, and what to do next
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Go back to the old key; possible until it was decided to end it
    #[command(after_help = examples::ABORT)]
    Abort(IdArgs),
    /// Try the step again at which a rotation is stuck
    #[command(after_help = examples::RETRY)]
    Retry(RetryArgs),
    /// Undo a rotation: abort before the point of no return, refused after it
    #[command(after_help = examples::UNDO)]
    Undo(IdArgs),
    /// Name what holds a secret: adopt it into the configuration, or waive it
    #[command(subcommand)]
    Consumer(ConsumerCommand),
    /// Ask the issuer whether each version of a secret is alive
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyArgs),
    /// End an old version that is still alive
    #[command(after_help = examples::REVOKE)]
    Revoke(RevokeArgs),
    /// Show which secrets are due, or rotate those that need nobody's consent
    #[command(after_help = examples::DUE)]
    Due(DueArgs),
    /// Show past rotations: how each ended, and how long it took
    #[command(after_help = examples::HISTORY)]
    History(HistoryArgs),
    /// Print the JSON Schema of keyroll.toml
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Print what a shell completes commands and flags by
    #[command(after_help = examples::COMPLETION)]
    Completion(CompletionArgs),
    /// Print a manual page
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
    /// A part of the demo, run by the demo
    #[command(hide = true)]
    DemoPart(DemoPartArgs),
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep its folder afterwards
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `demo-part`.
#[derive(Debug, Args)]
pub(crate) struct DemoPartArgs {
    /// Which part, and its own words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// A person's word that this journal is the newest there is, after it was restored from a backup
    #[arg(long)]
    pub(crate) accept_journal: bool,
    /// A person's word that the state was moved to this machine, and that no other uses it any more
    #[arg(long, conflicts_with = "accept_journal")]
    pub(crate) moved_here: bool,
}

/// `secret`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Take a secret in: its value by a hidden prompt or stdin, never by an argument
    #[command(after_help = examples::SECRET_ADD)]
    Add(SecretAddArgs),
    /// Take in the value that the configured copies hold, where all hold the same
    #[command(after_help = examples::SECRET_IMPORT)]
    Import(SecretImportArgs),
    /// Wrap the key that seals all values with something else; it stays the same key
    #[command(after_help = examples::SECRET_REWRAP)]
    Rewrap(SecretRewrapArgs),
    /// The secrets of the configuration and their versions
    #[command(after_help = examples::SECRET_LIST)]
    List,
    /// One secret: its versions by fingerprint, its fields, its consumers; never a value
    #[command(after_help = examples::SECRET_SHOW)]
    Show(SecretArgs),
}

/// `secret add`.
#[derive(Debug, Args)]
pub(crate) struct SecretAddArgs {
    /// The secret's name
    pub(crate) name: String,
    /// The id by which the issuer knows this credential
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// A field that is not secret: a user or host name
    #[arg(long = "field", value_name = "NAME=TEXT")]
    pub(crate) fields: Vec<String>,
    /// Also write it into keyroll.toml, with this issuer
    #[arg(long, value_name = "SPEC")]
    pub(crate) issuer: Option<String>,
    /// With --issuer: the reference to the admin credential, file:./name
    #[arg(long, value_name = "REFERENCE", requires = "issuer")]
    pub(crate) admin: Option<String>,
    /// Put it in place of a value that was taken in wrongly, before any rotation of it
    #[arg(long, conflicts_with = "issuer")]
    pub(crate) replace: bool,
    /// Take it in although something speaks against it: its form, the issuer, or a copy that holds another
    #[arg(long)]
    pub(crate) anyway: bool,
}

/// `secret import`.
#[derive(Debug, Args)]
pub(crate) struct SecretImportArgs {
    /// The secret's name
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Every secret of the configuration that is not kept yet
    #[arg(long, conflicts_with_all = ["id", "fields", "from"])]
    pub(crate) all: bool,
    /// The copy to take it from, where not all hold the same
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// The id by which the issuer knows this credential [default: what the issuer says]
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// A field that is not secret: a user or host name
    #[arg(long = "field", value_name = "NAME=TEXT")]
    pub(crate) fields: Vec<String>,
    /// Take it in although something speaks against it: its form, the issuer, or a copy that holds another
    #[arg(long)]
    pub(crate) anyway: bool,
}

/// `secret rewrap`.
#[derive(Debug, Args)]
pub(crate) struct SecretRewrapArgs {
    /// What it is wrapped with from now on: file (nothing), file:PATH, credential:NAME, fd:NUMBER, passphrase
    #[arg(long, value_name = "SOURCE")]
    pub(crate) to: String,
    /// With --to fd:NUMBER: another pipe with the same key, by which it is opened once before the old wrapping goes
    #[arg(long, value_name = "fd:NUMBER")]
    pub(crate) again: Option<String>,
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
}

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The plan's id, as `plan` printed it, or its beginning
    pub(crate) plan: String,
    /// Consent to the end of the old key, by the secret's name
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Pause before this step
    #[arg(long, value_name = "STEP")]
    pub(crate) until: Option<Step>,
    /// The value is known to others: move everything at once, or end it first
    #[arg(long, value_name = "HOW", conflicts_with = "until")]
    pub(crate) emergency: Option<Emergency>,
    /// When the alert came: 03:05 (today or yesterday), 5m (ago), or RFC 3339; the report's times count from there,
    /// else from this command
    #[arg(long, value_name = "TIME", requires = "emergency", value_parser = alerted::alerted)]
    pub(crate) alerted_at: Option<jiff::Timestamp>,
    /// Accept that restarts make this live beside the new value, by the name that was shown
    #[arg(long, value_name = "NAME")]
    pub(crate) accept: Vec<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The rotation, or the beginning of its id; not needed if only one is open
    pub(crate) id: Option<String>,
    /// Consent to the end of the old key, by the secret's name
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Pause before this step
    #[arg(long, value_name = "STEP")]
    pub(crate) until: Option<Step>,
    /// The value is known to others: move everything at once, or end it first
    #[arg(long, value_name = "HOW", conflicts_with = "until")]
    pub(crate) emergency: Option<Emergency>,
    /// Accept that restarts make this live beside the new value, by the name that was shown
    #[arg(long, value_name = "NAME")]
    pub(crate) accept: Vec<String>,
    /// The old key was ended by hand at the issuer's console; it is then watched until it is seen dead
    #[arg(long)]
    pub(crate) revoked_by_hand: bool,
    /// The value of a key that was made by hand at the issuer's console, whole, on stdin
    #[arg(long, conflicts_with = "value_file")]
    pub(crate) value_stdin: bool,
    /// The same from a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
}

/// A command about one rotation.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The rotation, or the beginning of its id; not needed if only one is open
    pub(crate) id: Option<String>,
}

/// `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The rotation, or the beginning of its id; not needed if only one is open
    pub(crate) id: Option<String>,
    /// Accept that restarts make this live beside the new value, by the name that was shown
    #[arg(long, value_name = "NAME")]
    pub(crate) accept: Vec<String>,
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The rotation, or the beginning of its id; all if none is named
    pub(crate) id: Option<String>,
    /// Keep watching as long as somebody drives it
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// `due`.
#[derive(Debug, Args)]
pub(crate) struct DueArgs {
    /// Rotate what is due and stands under a standing consent, one after the other
    #[arg(long)]
    pub(crate) apply: bool,
    /// Print a service and a timer of systemd that run this with --apply every day
    #[arg(long, conflicts_with = "apply")]
    pub(crate) timer: bool,
}

/// `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// A secret, or one rotation by its id; all if none is named
    #[arg(value_name = "SECRET|ID")]
    pub(crate) about: Option<String>,
    /// Show all, not the newest 20 only
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
    /// The command; the program's own page if none is named
    pub(crate) command: Vec<String>,
}

/// `consumer`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsumerCommand {
    /// Write a process or a file that holds a secret into keyroll.toml, so that it is moved too
    #[command(after_help = examples::ADOPT)]
    Adopt(Box<AdoptArgs>),
    /// Accept by name that something keeps the old value; it is recorded with its reason
    #[command(after_help = examples::WAIVE)]
    Waive(WaiveArgs),
    /// Try an adapter of `runs.exec` by every rule of its protocol
    #[command(after_help = examples::CHECK_ADAPTER)]
    CheckAdapter(CheckAdapterArgs),
}

/// `consumer check-adapter`.
#[derive(Debug, Args)]
pub(crate) struct CheckAdapterArgs {
    /// Have it apply too: the service behind it is really told
    #[arg(long)]
    pub(crate) apply: bool,
    /// The instance that is meant, where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// The adapter and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `consumer adopt`.
#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    /// A process id, or the path of a file that holds the value
    #[arg(value_name = "PID|PATH")]
    pub(crate) holder: String,
    /// Its name as a consumer
    #[arg(long)]
    pub(crate) name: String,
    /// The secret that it holds; not needed if there is only one
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
    /// The command that restarts it
    #[arg(long, value_name = "COMMAND", conflicts_with = "signal")]
    pub(crate) restart: Option<String>,
    /// The signal on which it loads a new value
    #[arg(long)]
    pub(crate) signal: Option<String>,
    /// A file with its process id; else it is found by its executable
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<String>,
    /// The env file that it starts from
    #[arg(long, value_name = "FILE", requires = "variable", conflicts_with = "file")]
    pub(crate) env_file: Option<PathBuf>,
    /// The variable in that env file
    #[arg(long, requires = "env_file")]
    pub(crate) variable: Option<String>,
    /// The file that it starts from, which holds the value alone
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// How that file is read where it holds more: json, yaml, compose, toml, ini, npmrc, pgpass, netrc, git_credentials
    #[arg(long, requires = "at", conflicts_with = "env_file")]
    pub(crate) format: Option<String>,
    /// Where the value stands in it: /models/openai/apiKey, host:port:database, https://host
    #[arg(long, value_name = "PLACE", requires = "format")]
    pub(crate) at: Option<String>,
    /// A command that succeeds only if the value in its copy works; {copy} stands for that file
    #[arg(long, value_name = "COMMAND")]
    pub(crate) check: Option<String>,
    /// Put it in place of the consumer of this name, whose commands were wrong
    #[arg(long)]
    pub(crate) replace: bool,
}

/// `consumer waive`.
#[derive(Debug, Args)]
pub(crate) struct WaiveArgs {
    /// The consumer, process id or path
    #[arg(value_name = "NAME|PID|PATH")]
    pub(crate) holder: String,
    /// Why it may keep the old value
    #[arg(long)]
    pub(crate) reason: String,
    /// The secret; not needed if there is only one
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}

/// `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The secret's name
    pub(crate) secret: String,
}
