use clap::Args;
use keyroll_app::plans::left_out::Without;

/// The hosts that a plan leaves out.
#[derive(Debug, Args)]
pub(crate) struct WithoutArgs {
    /// Leave out a host that is gone: its consumers keep the old key
    ///
    /// If it answers before the old key is revoked, it is searched, and what holds the old key there holds up the revocation.
    #[arg(long, value_name = "HOST", requires = "reason")]
    pub(crate) without: Vec<String>,
    /// Why its consumers may lose access
    #[arg(long, value_name = "WHY", requires = "without")]
    pub(crate) reason: Option<String>,
}

impl WithoutArgs {
    /// What is to be left out.
    pub(crate) fn meant(&self) -> Without {
        Without { hosts: self.without.clone(), reason: self.reason.clone().unwrap_or_default() }
    }
}
