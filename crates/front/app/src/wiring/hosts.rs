//! The hosts that a secret's consumers run on, composed from its configuration. Today there is one: this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_config::{Search, Secret};
use keyroll_host::{LOCAL, Local, read, resolve};
use keyroll_port::{Host, Issuer, Surveyor};
use keyroll_rotation::{self as rotation, HostId};
use keyroll_secret::FingerprintKey;
use keyroll_setup::{Composed, Composition, Folders, IssuerFacts, compose};

use super::family::Own;
use super::open::fingerprint_key;
use super::served::served_by;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::saved_plan::SeenFile;

/// What rotations are driven on: surveyed before a rotation is open, and changed by it.
pub(crate) trait Machine: Host + Surveyor {}

impl<T: Host + Surveyor> Machine for T {}

/// The hosts of a secret, and its files and consumers by number.
pub(crate) struct Hosts {
    /// All hosts, as one.
    pub(crate) machine: Arc<dyn Machine>,
    /// Each consumer as the protocol knows it.
    pub(crate) consumers: Vec<rotation::Consumer>,
    /// The host of each file.
    pub(crate) files: Vec<HostId>,
    /// The path of each file on its host.
    pub(crate) paths: Vec<PathBuf>,
    /// Each file as it is now, with [`Planned::Now`]; empty otherwise.
    pub(crate) seen: BTreeMap<PathBuf, SeenFile>,
}

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
}

impl<'a> Wanted<'a> {
    /// The hosts of a secret without a rotation.
    pub(crate) fn of(
        secret: &'a Secret,
        issuer: &'a dyn Issuer,
        places: &'a Places,
        folder: &'a Path,
    ) -> Self {
        let planned = Planned::Unknown;
        Self { secret, issuer, places, folder, rotation: "", search: None, planned, own: None }
    }
}

/// The hosts of a secret.
///
/// # Errors
/// As [`composed`]; or, with [`Planned::Now`], a file cannot be read or replaced safely.
pub(crate) fn hosts(of: &Wanted<'_>) -> Result<Hosts, Problem> {
    let Composed { mut setup, consumers, files } = composed(of)?;
    let paths: Vec<PathBuf> = setup.files.iter().map(|file| file.path.clone()).collect();
    let key = fingerprint_key(of.places)?;
    let mut seen = BTreeMap::new();
    if matches!(of.planned, Planned::Now) {
        seen = files_seen(&paths, &key)?;
        for file in &mut setup.files {
            file.planned = seen.get(&file.path).map(|seen| seen.real.clone());
        }
    }
    Ok(Hosts { machine: Arc::new(Local::new(setup, key)), consumers, files, paths, seen })
}

/// The setup of this machine, and the files and consumers as the protocol knows them.
///
/// # Errors
/// The configuration declares something that cannot be composed, or the sealing key is needed and cannot be read.
pub(crate) fn composed(of: &Wanted<'_>) -> Result<Composed, Problem> {
    let facts = IssuerFacts::of(of.issuer);
    let served = served_by(of.secret, of.places)?;
    let planned = match of.planned {
        Planned::Known(planned) => Some(planned),
        Planned::Now | Planned::Unknown => None,
    };
    Ok(compose(&Composition {
        secret: of.secret,
        issuer: &facts,
        folders: Folders { config: of.folder, state: &of.places.state, keys: Some(&of.places.keys) },
        host: LOCAL,
        rotation: of.rotation,
        search: of.search,
        planned,
        own: of.own,
        served: served.as_ref(),
    })?)
}

/// The resolved path of each file, and a keyed digest of its content.
pub(crate) fn files_seen(
    paths: &[PathBuf],
    key: &FingerprintKey,
) -> Result<BTreeMap<PathBuf, SeenFile>, Problem> {
    let mut seen = BTreeMap::new();
    for path in paths {
        let resolved = resolve(path)?;
        let content = read(&resolved)?;
        let digest = key.fingerprint(&content.bytes).to_string();
        seen.insert(path.clone(), SeenFile { real: resolved.real, digest });
    }
    Ok(seen)
}
