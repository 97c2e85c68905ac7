//! What the hosts of a secret are composed from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_config::{Config, Search, Secret};
use keyroll_port::Issuer;

use super::family::Own;
use crate::places::Places;
use crate::records::saved_plan::LeftOut;

/// Where the files led when the plan was made. A file that leads elsewhere is refused.
#[derive(Clone, Copy)]
pub(crate) enum Planned<'a> {
    /// There is no plan.
    Unknown,
    /// As the plan says.
    Known(&'a BTreeMap<PathBuf, PathBuf>),
    /// The plan is being made: where they lead now.
    Now,
}

/// What hosts are composed from.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The secret.
    pub(crate) secret: &'a Secret,
    /// The configuration that it is from, and its text: hosts by ssh get their part of it.
    pub(crate) config: Option<(&'a Config, &'a str)>,
    /// Its issuer.
    pub(crate) issuer: &'a dyn Issuer,
    /// The folders of the installation.
    pub(crate) places: &'a Places,
    /// The folder of the configuration.
    pub(crate) folder: &'a Path,
    /// The id of the rotation or plan; empty without one.
    pub(crate) rotation: &'a str,
    /// Where and how much is searched; none = the defaults.
    pub(crate) search: Option<&'a Search>,
    /// Where the files led when the plan was made.
    pub(crate) planned: Planned<'a>,
    /// The keys of consumers that have one of their own.
    pub(crate) own: Option<&'a Own>,
    /// The hosts by their numbers in the plan; empty without one. Those without a consumer are only searched.
    pub(crate) names: &'a [String],
    /// Without a plan: the hosts without a consumer that are searched.
    pub(crate) searched: &'a [String],
    /// They are about to be changed: they refuse older drivers from now on.
    pub(crate) changes: bool,
    /// An emergency revokes the old key first: it waits for no host that is away.
    pub(crate) waits_for_none: bool,
    /// The hosts that the plan leaves out.
    pub(crate) left_out: &'a [LeftOut],
    /// The hosts of which the issuer does not show which process made a call, as far as that is known.
    pub(crate) unattributed: &'a [String],
}

impl<'a> Wanted<'a> {
    /// The hosts of a secret without a rotation.
    pub(crate) fn of(
        secret: &'a Secret,
        issuer: &'a dyn Issuer,
        places: &'a Places,
        folder: &'a Path,
    ) -> Self {
        Self {
            secret,
            config: None,
            issuer,
            places,
            folder,
            rotation: "",
            search: None,
            planned: Planned::Unknown,
            own: None,
            names: &[],
            searched: &[],
            changes: false,
            waits_for_none: false,
            left_out: &[],
            unattributed: &[],
        }
    }
}
