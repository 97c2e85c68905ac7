use clap::Args;

/// `split`.
#[derive(Debug, Args)]
pub(crate) struct SplitArgs {
    /// The secret that several consumers share
    pub(crate) secret: String,
    /// Name the consumer's own secret [default: SECRET-CONSUMER]
    #[arg(long, value_name = "CONSUMER=NAME")]
    pub(crate) into: Vec<String>,
}
