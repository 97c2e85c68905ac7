use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::examples;

/// `consumer`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsumerCommand {
    /// Add a process or file that holds a secret to keyroll.toml as a consumer
    #[command(after_help = examples::ADOPT)]
    Adopt(Box<AdoptArgs>),
    /// Correct a consumer's commands in the open rotation: change keyroll.toml first
    ///
    /// A rotation runs the commands with which it was started. This gives it those that the consumer's table in keyroll.toml
    /// has now: runs, fetch, log, check and paths. They are judged as for a plan; its checks run once it goes on. What the consumer reads, and where it runs,
    /// cannot be changed in an open rotation.
    #[command(after_help = examples::CORRECT)]
    Correct(CorrectArgs),
    /// Accept that a consumer, process or file loses access; records the reason
    ///
    /// A consumer or a process can be waived only while a rotation is open. A copy can also be waived before: the waiver
    /// then counts for the next rotation, and --withdraw removes the waiver until that rotation is open. A rotation with a
    /// waiver ignores a standing consent, and asks the operator.
    #[command(after_help = examples::WAIVE)]
    Waive(WaiveArgs),
    /// Let a consumer go that is gone: its rotation goes on without it, until it runs again
    ///
    /// For a consumer that never comes back, or whose restart can never work. Nothing is applied, proved or waited for; keyroll
    /// still writes its files. In a rollback a file that cannot be restored keeps the new key, which is deleted. Refused while an
    /// instance of it runs.
    #[command(after_help = examples::LET_GO)]
    LetGo(LetGoArgs),
    /// Accept a file of an open rotation as it stands: keyroll neither writes nor restores it any more
    ///
    /// For a file that somebody edited, or that cannot be read. What its processes use is still to be proved. keyroll does not
    /// look at what the file holds from then on: with the key that the rotation ends, whatever reads it next loses access.
    #[command(after_help = examples::ACCEPT_FILE)]
    AcceptFile(AcceptFileArgs),
    /// List the waivers of open rotations and those that the next rotation takes over
    #[command(after_help = examples::WAIVERS)]
    Waivers(WaiversArgs),
    /// Test a `runs.exec` adapter against every rule of its protocol
    #[command(after_help = examples::CHECK_ADAPTER)]
    CheckAdapter(CheckAdapterArgs),
}

/// `consumer check-adapter`.
#[derive(Debug, Args)]
pub(crate) struct CheckAdapterArgs {
    /// Also run `apply`: the real service is restarted or reloaded
    #[arg(long)]
    pub(crate) apply: bool,
    /// The instance to test, if there are several
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
    ///
    /// On another host: web-2:4711, or web-2:/srv/old.env. There, name everything: --unit, or --restart or --signal
    /// with --pid-file or --process; and --env-file or --file, with an absolute path. The host checks it before
    /// keyroll.toml is changed.
    #[arg(value_name = "PID|PATH")]
    pub(crate) holder: String,
    /// The consumer's name
    #[arg(long)]
    pub(crate) name: String,
    /// The secret that it holds [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
    /// The command that restarts the process
    #[arg(long, value_name = "COMMAND", conflicts_with = "signal")]
    pub(crate) restart: Option<String>,
    /// The signal that makes the process load a new value, such as HUP
    #[arg(long)]
    pub(crate) signal: Option<String>,
    /// The file with the process id [default: found by executable]
    ///
    /// Required for a program that an interpreter runs, because all programs of one python3 have the same executable.
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<String>,
    /// The executable of a process on another host
    #[arg(long, value_name = "FILE", conflicts_with = "pid_file")]
    pub(crate) process: Option<String>,
    /// The unit of systemd of a process on another host
    ///
    /// keyroll restarts the unit and finds its processes by it.
    #[arg(long, conflicts_with_all = ["restart", "signal", "pid_file", "process"])]
    pub(crate) unit: Option<String>,
    /// The env file that the process reads the value from
    #[arg(long, value_name = "FILE", requires = "variable", conflicts_with = "file")]
    pub(crate) env_file: Option<PathBuf>,
    /// The variable in that env file
    #[arg(long, requires = "env_file")]
    pub(crate) variable: Option<String>,
    /// The file that the process reads the value from
    ///
    /// Without --format and --at, the whole file is the value.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// The format of --file: json, yaml, compose, toml, ini, npmrc, pgpass, netrc, git_credentials
    #[arg(long, requires = "at", conflicts_with = "env_file")]
    pub(crate) format: Option<String>,
    /// The position of the value in --file
    ///
    /// Examples: /models/openai/apiKey, host:port:database, https://host.
    #[arg(long, value_name = "PLACE", requires = "format")]
    pub(crate) at: Option<String>,
    /// A command that succeeds only with a working key
    ///
    /// Write it as --check "COMMAND {copy}". keyroll replaces {copy} with the path of a file that contains the key. keyroll
    /// also runs the command with a wrong key, and the command must fail then. Required unless the issuer shows which process
    /// made a call.
    #[arg(long, value_name = "COMMAND {copy}")]
    pub(crate) check: Option<String>,
    /// Replace the consumer of this name; refused while a rotation is open
    #[arg(long)]
    pub(crate) replace: bool,
}

/// `consumer correct`.
#[derive(Debug, Args)]
pub(crate) struct CorrectArgs {
    /// The consumer's name; one of several hosts is corrected on each of them
    #[arg(value_name = "NAME")]
    pub(crate) consumer: String,
    /// The secret [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}

/// `consumer waive`.
#[derive(Debug, Args)]
pub(crate) struct WaiveArgs {
    /// The consumer, process id or path; or last-use, if the issuer does not show the last use of the key
    ///
    /// On another host: web-2:4711, or web-2:/srv/old.env. In a cluster: prod:pod/POD/CONTAINER.
    #[arg(value_name = "NAME|PID|PATH")]
    pub(crate) holder: String,
    /// Why the consumer, process or file may lose access
    #[arg(long, required_unless_present = "withdraw")]
    pub(crate) reason: Option<String>,
    /// Remove the waiver of a copy that counts for the next rotation
    #[arg(long, conflicts_with = "reason")]
    pub(crate) withdraw: bool,
    /// The secret [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}

/// `consumer let-go`.
#[derive(Debug, Args)]
pub(crate) struct LetGoArgs {
    /// The consumer's name; NAME@HOST for one of several hosts
    #[arg(value_name = "NAME")]
    pub(crate) consumer: String,
    /// Why it is gone
    #[arg(long)]
    pub(crate) reason: String,
    /// The secret [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}

/// `consumer accept-file`.
#[derive(Debug, Args)]
pub(crate) struct AcceptFileArgs {
    /// The file, as keyroll status names it
    #[arg(value_name = "PATH")]
    pub(crate) file: String,
    /// Why it stays as it stands
    #[arg(long)]
    pub(crate) reason: String,
    /// The secret [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}

/// `consumer waivers`.
#[derive(Debug, Args)]
pub(crate) struct WaiversArgs {
    /// The secret [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}
