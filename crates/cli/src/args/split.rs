use clap::Args;

/// `split`.
#[derive(Debug, Args)]
pub(crate) struct SplitArgs {
    /// The name of the secret that several consumers share
    pub(crate) secret: String,
    /// The secret that a consumer gets [default: SECRET-CONSUMER]
    #[arg(long, value_name = "CONSUMER=NAME")]
    pub(crate) into: Vec<String>,
}
