use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The secret
    #[arg(value_name = "SECRET")]
    pub(crate) secret: String,
    /// What git and docker append: nothing is printed unless it is get
    #[arg(value_name = "ACTION", default_value = "get", hide_default_value = true)]
    pub(crate) action: String,
    /// One field of it [default: the only secret one]
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
    /// For which program it is printed
    #[arg(long, value_enum, default_value_t = GetFormat::Value)]
    pub(crate) format: GetFormat,
    /// The program asks again after this time, and uses the value no longer [default: 3600 for aws and kube, else unknown]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=43_200))]
    pub(crate) expires: Option<u32>,
    /// Print a short-lived access token instead, which this OAuth 2.0 server gives for client_id and client_secret
    #[arg(long, value_name = "URL", conflicts_with = "field")]
    pub(crate) token_url: Option<String>,
    /// With --token-url: the client's id [default: the secret's field client_id]
    #[arg(long, value_name = "ID", requires = "token_url")]
    pub(crate) client_id: Option<String>,
    /// With --token-url: what the token is to be good for
    #[arg(long, value_name = "SCOPE", requires = "token_url")]
    pub(crate) scope: Option<String>,
    /// The socket of keyroll serve
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print the value on a terminal too
    #[arg(long)]
    pub(crate) show: bool,
}

/// The form of the output of `get`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GetFormat {
    /// The value alone, with a newline: apiKeyHelper, `$(…)`
    Value,
    /// All fields with the version, as the socket answers
    Json,
    /// `credential_process` of the AWS SDKs, with its Expiration
    Aws,
    /// A credential helper of git
    Git,
    /// A credential helper of docker
    Docker,
    /// An exec credential of kubectl, with its expirationTimestamp
    Kube,
}
