use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::examples;

/// `hosts`.
#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// List the hosts of keyroll.toml; connects to none
    #[command(after_help = examples::HOSTS_LIST)]
    List,
    /// Check everything that the inspection of a host needs; changes no setting of a host
    ///
    /// Connects over ssh, and copies the program keyroll-host to the cache folder of the login. Asks the API server of a
    /// cluster who the login is and what it may read.
    #[command(after_help = examples::HOSTS_CHECK)]
    Check(HostsCheckArgs),
    /// Accept the machine that now answers under the name of a host
    ///
    /// From then on keyroll refuses to inspect another machine under this name.
    #[command(after_help = examples::HOSTS_ACCEPT)]
    Accept(HostsAcceptArgs),
    /// Go on without a host that is gone; records the reason
    ///
    /// An open rotation asks nothing of the consumers on it while it is away. Make sure that it is off: what still runs there
    /// loses access. A host that is back before the end of the rotation is moved like the others.
    #[command(after_help = examples::HOSTS_WAIVE)]
    Waive(HostsWaiveArgs),
    /// Add hosts to keyroll.toml from an ssh_config or from ansible-inventory --list
    ///
    /// Of an inventory only ansible_host, ansible_user, ansible_port and ansible_become are read.
    #[command(after_help = examples::HOSTS_IMPORT)]
    Import(HostsImportArgs),
}

/// `hosts check`.
#[derive(Debug, Args)]
pub(crate) struct HostsCheckArgs {
    /// A host, a group, or a pattern such as 'web-*' [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// `hosts accept`.
#[derive(Debug, Args)]
pub(crate) struct HostsAcceptArgs {
    /// A host, a group, or a pattern such as 'web-*'
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Accept another machine under a name that was accepted before
    #[arg(long)]
    pub(crate) again: bool,
}

/// `hosts waive`.
#[derive(Debug, Args)]
pub(crate) struct HostsWaiveArgs {
    /// One host by ssh
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Why it may lose access
    #[arg(long)]
    pub(crate) reason: String,
    /// The secret [default: all whose open rotation has a consumer there]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}

/// `hosts import`.
#[derive(Debug, Args)]
pub(crate) struct HostsImportArgs {
    /// The file, or - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print the tables to stdout and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The hosts that an inspection is about.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Search this host or cluster of keyroll.toml; repeat the flag for more
    ///
    /// A name, a group, or a pattern such as 'web-*'; `local` is this machine.
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) named: Vec<String>,
    /// Search this machine and all hosts of keyroll.toml
    #[arg(long, conflicts_with = "named")]
    pub(crate) all_hosts: bool,
}

impl HostArgs {
    /// Whether hosts are named; otherwise only this machine is searched.
    pub(crate) fn any(&self) -> bool {
        self.all_hosts || !self.named.is_empty()
    }
}
