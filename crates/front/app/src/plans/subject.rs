use std::path::Path;

use keyroll_config::{Config, Secret};
use keyroll_host::SystemClock;
use keyroll_port::Clock as _;
use keyroll_rotation::Plan;

use crate::places::Places;
use crate::records::saved_plan::{Family, LeftOut, Saved, SeenAll};
use crate::wiring::issuer::Described;
use crate::wiring::open::new_id;

/// The subject of an inspection.
pub struct Subject<'a> {
    /// The whole configuration.
    pub config: &'a Config,
    /// The secret to rotate.
    pub secret: &'a Secret,
    /// The path of the configuration, absolute.
    pub config_file: &'a Path,
    pub(crate) config_text: &'a str,
    /// The folders of the installation.
    pub places: &'a Places,
    /// The id of the plan.
    pub id: String,
    /// When the plan was made, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The issuer of the secret.
    pub described: &'a Described,
    /// Whether the consumers' checks are tried.
    pub rehearse: bool,
    /// The plan's part in replacing a key that several consumers share.
    pub family: Option<&'a Family>,
    /// Somebody brings the new key, also where the issuer's API could make one.
    pub brought: bool,
    /// An emergency that revokes the old key first: it does not wait for the source of truth.
    pub revokes_first: bool,
    /// The names of the hosts by their numbers in the saved plan; empty where there is none.
    pub hosts: Vec<String>,
    /// The hosts of which the issuer does not show which process made a call, as the saved plan says. They are not tried
    /// again.
    pub unattributed: Vec<String>,
    /// The hosts are about to be changed.
    pub changes: bool,
    /// The hosts that are left out because they are away.
    pub left_out: &'a [LeftOut],
}

/// A secret in its configuration.
pub struct ConfiguredSecret<'a> {
    /// The whole configuration.
    pub config: &'a Config,
    /// The secret.
    pub secret: &'a Secret,
    /// The path of the configuration, absolute.
    pub config_file: &'a Path,
    /// The text of the configuration.
    pub config_text: &'a str,
}

impl<'a> Subject<'a> {
    /// The subject of a new plan, with a new id.
    pub fn new(configured: ConfiguredSecret<'a>, places: &'a Places, described: &'a Described) -> Self {
        let ConfiguredSecret { config, secret, config_file, config_text } = configured;
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
            brought: false,
            revokes_first: false,
            hosts: Vec::new(),
            unattributed: Vec::new(),
            changes: false,
            left_out: &[],
        }
    }

    /// The subject of a saved plan, to see whether it is stale.
    pub fn again(
        saved: &'a Saved,
        config: &'a Config,
        secret: &'a Secret,
        places: &'a Places,
        described: &'a Described,
    ) -> Self {
        let (config_file, config_text) = (saved.config_file.as_path(), saved.config_text.as_str());
        let configured = ConfiguredSecret { config, secret, config_file, config_text };
        Self {
            id: saved.id.clone(),
            unix_ms: saved.made_unix_ms,
            rehearse: false,
            family: saved.family.as_ref(),
            brought: saved.brought,
            hosts: saved.hosts.clone(),
            unattributed: saved.seen.unattributed.clone(),
            changes: true,
            left_out: &saved.left_out,
            ..Self::new(configured, places, described)
        }
    }

    /// The plan to save after the inspection.
    pub fn saved(&self, from_version: u32, plan: &Plan, seen: SeenAll, settings: Option<String>) -> Saved {
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
            brought: self.brought,
            truth: None,
            hosts: self.hosts.clone(),
            left_out: self.left_out.to_vec(),
            view: None,
        }
    }
}
