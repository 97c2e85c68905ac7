use std::path::Path;

use keyroll_config::{Config, Secret};
use keyroll_host::SystemClock;
use keyroll_port::Clock as _;
use keyroll_rotation::Plan;

use crate::places::Places;
use crate::records::saved::{Family, Saved, SeenAll};
use crate::wiring::issuer::Described;
use crate::wiring::open::new_id;

/// What the look is given.
pub(crate) struct Subject<'a> {
    pub(super) config: &'a Config,
    pub(super) secret: &'a Secret,
    pub(super) config_file: &'a Path,
    pub(super) config_text: &'a str,
    pub(super) places: &'a Places,
    pub(super) id: String,
    pub(super) unix_ms: u64,
    pub(super) described: &'a Described,
    /// Whether the consumers' checks are tried.
    pub(super) rehearse: bool,
    /// What it has to do with a key that several consumers share.
    pub(super) family: Option<&'a Family>,
}

impl<'a> Subject<'a> {
    /// What is looked at for the first time, for a plan that it gives a name to.
    pub(super) fn new(
        (config, secret): (&'a Config, &'a Secret),
        (config_file, config_text): (&'a Path, &'a str),
        places: &'a Places,
        described: &'a Described,
    ) -> Self {
        Self {
            config,
            secret,
            config_file,
            config_text,
            places,
            id: new_id(),
            unix_ms: SystemClock::new().unix_ms(),
            described,
            rehearse: true,
            family: None,
        }
    }

    /// What a plan was made of, looked at once more to see whether it is still so.
    pub(crate) fn again(
        saved: &'a Saved,
        (config, secret): (&'a Config, &'a Secret),
        places: &'a Places,
        described: &'a Described,
    ) -> Self {
        Self {
            id: saved.id.clone(),
            unix_ms: saved.made_unix_ms,
            rehearse: false,
            family: saved.family.as_ref(),
            ..Self::new((config, secret), (&saved.config_file, &saved.config_text), places, described)
        }
    }

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
            id: self.id.clone(),
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
