use std::path::Path;

use keyroll_config::{Config, Secret};

use crate::places::Places;
use crate::records::saved::Family;
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
