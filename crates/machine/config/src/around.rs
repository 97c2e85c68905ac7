//! What a secret of the file has around it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::mistakes::Read;
use crate::reading::Reading;
use crate::{Defaults, Host, Name, Vault};

/// What a secret of the file has around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    /// The folder of the file.
    pub(crate) folder: &'a Path,
    pub(crate) defaults: Read<&'a Defaults>,
    /// The hosts without a mistake.
    pub(crate) hosts: &'a BTreeMap<Name, Host>,
    /// Whether these are all: otherwise a name that is not among them may be that of a host with a mistake.
    pub(crate) hosts_are_whole: bool,
    pub(crate) vault: Read<&'a Vault>,
    pub(crate) reading: Reading,
}
