use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::examples;

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Print a systemd unit that runs this server, and end
    #[arg(long)]
    pub(crate) unit: bool,
    /// Print alert rules for Prometheus, and end
    #[arg(long, conflicts_with = "unit")]
    pub(crate) alert_rules: bool,
    /// Print the description of the API (OpenAPI 3.1, JSON), and end
    #[arg(long, conflicts_with_all = ["unit", "alert_rules"])]
    pub(crate) openapi: bool,
    /// Go by the SecretRotation objects of a cluster: write the file of --config from this file and the objects [default: /etc/keyroll/base.toml]
    #[arg(long, value_name = "BASE", num_args = 0..=1, default_missing_value = "/etc/keyroll/base.toml")]
    pub(crate) kubernetes: Option<PathBuf>,
    /// Print the roles that the server needs in the cluster for the objects that it follows now, and end
    #[arg(long, conflicts_with_all = ["unit", "alert_rules", "openapi"])]
    pub(crate) rights: bool,
    /// With --rights: whom the roles are for
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "rights")]
    pub(crate) account: Option<String>,
    /// Print the CustomResourceDefinition of SecretRotation, and end
    #[arg(long, conflicts_with_all = ["unit", "alert_rules", "openapi", "kubernetes"])]
    pub(crate) crd: bool,
    /// Ask the running server of this configuration whether it answers, and end
    #[arg(long, conflicts_with_all = ["unit", "alert_rules", "openapi", "kubernetes", "crd"])]
    pub(crate) check: bool,
}

/// `notice`.
#[derive(Debug, Subcommand)]
pub(crate) enum NoticeCommand {
    /// Send a test to every recipient of notices, and show what each answers
    ///
    /// Needs no running server, and does not go by the kinds of notices that a recipient wants.
    #[command(after_help = examples::NOTICE_TEST)]
    Test(NoticeTestArgs),
}

/// `notice test`.
#[derive(Debug, Args)]
pub(crate) struct NoticeTestArgs {
    /// The recipient's name [default: all]
    pub(crate) name: Option<String>,
}

/// `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; at most two of a role are valid at a time
    ///
    /// Of the roles operator and approver eight may be valid. The token is written to a new file that only you can read. keyroll keeps no more than its digest.
    #[command(after_help = examples::TOKEN_NEW)]
    New(TokenNewArgs),
    /// List the valid tokens by name; never prints a token
    #[command(after_help = examples::TOKEN_LIST)]
    List(TokenListArgs),
    /// Revoke a token; it is refused from the next request on
    #[command(after_help = examples::TOKEN_REVOKE)]
    Revoke(TokenRevokeArgs),
}

/// `token new`.
#[derive(Debug, Args)]
pub(crate) struct TokenNewArgs {
    /// The name of the token, such as that of its owner
    pub(crate) name: String,
    /// Write the token to this new file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// What the owner of the token may do
    #[arg(long, value_enum, default_value_t = TokenRole::Admin, conflicts_with = "alerts")]
    pub(crate) role: TokenRole,
    /// A token of a scanner, which can send alerts and nothing else
    #[arg(long)]
    pub(crate) alerts: bool,
}

/// The roles of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// Read the metrics and the status
    Viewer,
    /// Read, make plans, and begin, resume, pause and abort rotations
    Operator,
    /// Read, and approve the end of an old key
    Approver,
    /// Read, and begin emergencies
    Responder,
    /// Everything
    Admin,
}

/// `token list`.
#[derive(Debug, Args)]
pub(crate) struct TokenListArgs {
    /// The tokens of scanners, which can send alerts and nothing else
    #[arg(long)]
    pub(crate) alerts: bool,
}

/// `token revoke`.
#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// The name of the token
    pub(crate) name: String,
    /// A token of a scanner, which can send alerts and nothing else
    #[arg(long)]
    pub(crate) alerts: bool,
}
