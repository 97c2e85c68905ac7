use std::path::Path;

use keyroll_config::{Config, Secret};
use keyroll_rotation::Plan;

use crate::places::Places;
use crate::records::saved::{Family, Saved, SeenAll};
use crate::wiring::issuer::Described;

/// What the look is given.
pub(crate) struct Subject<'a> {
    pub(crate) config: &'a Config,
    pub(crate) secret: &'a Secret,
    pub(crate) config_file: &'a Path,
    pub(crate) config_text: &'a str,
    pub(crate) places: &'a Places,
    pub(crate) id: &'a str,
    pub(crate) unix_ms: u64,
    pub(crate) described: &'a Described,
    /// Whether the consumers' checks are tried.
    pub(crate) rehearse: bool,
    /// What it has to do with a key that several consumers share.
    pub(crate) family: Option<&'a Family>,
}

impl Subject<'_> {
    /// What is kept of a look.
    pub(super) fn saved(
        &self,
        from_version: u32,
        plan: &Plan,
        seen: SeenAll,
        settings: Option<String>,
    ) -> Saved {
        Saved {
            version: Saved::form(),
            id: self.id.to_owned(),
            secret: self.secret.name.to_string(),
            from_version,
            made_unix_ms: self.unix_ms,
            config_file: self.config_file.to_owned(),
            config_text: self.config_text.to_owned(),
            bound: plan.bound,
            denied_is_alive: plan.denied_is_alive,
            recovery: plan.recovery,
            seen,
            settings,
            alerted_unix_ms: None,
            accepted: Vec::new(),
            shares: Vec::new(),
            family: self.family.cloned(),
        }
    }
}
