//! One host of a rotation beside this machine: a cluster, or a machine by ssh.

use std::path::PathBuf;
use std::sync::Arc;

use keyroll_cluster::{ClusterComposition, ClusterHost, ClusterSetup};
use keyroll_codes::Code;
use keyroll_config::{EvidenceKind, KubeAddress, slice};
use keyroll_host::SystemClock;
use keyroll_link::{IssuerForm, OpenOrder, PlannedForm, SearchForm, digits_of};
use keyroll_secret::{FingerprintKey, SecretBytes};
use keyroll_setup::IssuerFacts;

use super::kubernetes::{address_of, trusted_cluster};
use super::open::fingerprint_key;
use super::wanted::{Planned, Wanted};
use crate::problem::Problem;
use crate::records::host_epoch::Epoch;
use crate::records::saved_plan::LeftOut;

/// How many hex digits name an installation to hosts.
const INSTALLATION_DIGITS: usize = 32;

/// A namespace of a cluster. It is not connected yet.
pub(super) fn in_cluster(
    of: &Wanted<'_>,
    name: &str,
    address: &KubeAddress,
    issuer: &IssuerFacts,
) -> Result<ClusterHost, Problem> {
    let setup = ClusterSetup::compose(&ClusterComposition {
        secret: &of.secret.on(name),
        issuer,
        state: &of.places.state,
        rotation: of.rotation,
        own: of.own,
    })?;
    let (address, key) = (trusted_cluster(address_of(address))?, fingerprint_key(of.places)?);
    Ok(ClusterHost::new(address, setup, key, Arc::new(SystemClock::new())))
}

/// What a host is told of the rotation when it is connected. On one that is only searched nothing is changed.
pub(super) fn opening(
    of: &Wanted<'_>,
    name: &str,
    epoch: &Epoch,
    (facts, key): (&IssuerFacts, &FingerprintKey),
    is_searched: bool,
) -> Result<OpenOrder, Problem> {
    let named = |what: String| key.fingerprint(&SecretBytes::from(what));
    let mut installation = digits_of(named("installation of hosts".to_owned()).as_bytes());
    installation.truncate(INSTALLATION_DIGITS);
    let (config, text) = of.config.ok_or_else(|| undeclared(name))?;
    let host = config.hosts.get(name).ok_or_else(|| undeclared(name))?;
    // Only consumers need a folder.
    let any = || is_searched.then(|| PathBuf::from("/"));
    let folder = host.folder.clone().or_else(any).ok_or_else(|| undeclared(name))?;
    let search = of.search.cloned().unwrap_or_default();
    let changes = of.changes && !is_searched;
    Ok(OpenOrder {
        installation,
        secret: of.secret.name.to_string(),
        rotation: of.rotation.to_owned(),
        epoch: epoch.now,
        driver: epoch.driver.clone(),
        before: epoch.sent(changes),
        turn: 0,
        changes,
        config: slice(text, "keyroll.toml", of.secret.name.as_str(), name)?,
        folder: folder.display().to_string(),
        issuer: IssuerForm {
            attributes: facts.attributes && !of.unattributed.iter().any(|host| host == name),
            alphabet: facts.alphabet.clone(),
            length_max: facts.length_max,
            endpoints: facts.endpoints.clone(),
        },
        search: SearchForm {
            memory_bytes_max: search.memory_bytes_max,
            time_ms_max: u64::try_from(search.time_max.as_millis()).unwrap_or(u64::MAX),
        },
        digests: digits_of(named(format!("digests of host {name}")).as_bytes()),
        folders: of.left_out.iter().filter(|one| one.host == name).flat_map(LeftOut::folders).collect(),
        planned: planned_there(of.planned, name),
        // As for this machine, this is refused before a rotation begins, and not while one is open.
        reads_required: matches!(of.planned, Planned::Now)
            && !is_searched
            && of.secret.revoke.require.contains(&EvidenceKind::Read),
    })
}

fn undeclared(name: &str) -> Problem {
    Problem::new(Code::PlanStale, format!("find the host {name} in keyroll.toml"))
        .because("it is not declared with `connect` and `folder`")
        .help(format!("declare [hosts.{name}] again until the rotation has ended"))
}

/// Where the files of one host led.
fn planned_there(planned: Planned<'_>, name: &str) -> PlannedForm {
    match planned {
        Planned::Unknown => PlannedForm::Unknown,
        Planned::Now => PlannedForm::Now,
        Planned::Known(all) => {
            let before = format!("{name}:");
            let of_host = |(path, real): (&PathBuf, &PathBuf)| {
                let path = path.to_str()?.strip_prefix(&before)?.to_owned();
                Some((path, real.to_str()?.to_owned()))
            };
            PlannedForm::Known(all.iter().filter_map(of_host).collect())
        }
    }
}
