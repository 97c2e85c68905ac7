use std::collections::BTreeMap;
use std::pin::pin;

use keyroll_cluster::{Checked, Look};
use keyroll_config::KubeAddress;
use keyroll_inventory::KnownSecrets;
use keyroll_link::digits_of;
use keyroll_secret::Fingerprint;
use tokio::sync::mpsc::unbounded_channel;

use super::at_once::OfEach;
use super::known::Known;
use super::meant::{Answer, not_here};
use super::seen::{DraftReport, HostCall, HostReport, HostSeen};
use super::session::{drafted_names, labelled};
use crate::operator::{Operator, plain};
use crate::problem::Problem;
use crate::redact;
use crate::wiring::kubernetes::{address_of, connected};
use crate::wiring::open;

/// A namespace that is looked at.
pub(super) struct ClusterAsked {
    /// Its name among the hosts.
    pub(super) name: String,
    pub(super) address: KubeAddress,
    /// What is known of secrets beforehand. Nothing of it is sent: the namespace is read, and compared here.
    pub(super) secrets: KnownSecrets,
}

/// Looks at namespaces of clusters, one after the other; `known` then knows the labels of their values. With each answer,
/// whether the namespace does not have what was asked about. A cluster that cannot be read is one entry with its problem.
///
/// # Errors
/// The runtime cannot be started.
pub(super) fn look_at_clusters(
    all: Vec<ClusterAsked>,
    call: &HostCall,
    known: &mut Known,
    operator: &mut dyn Operator,
) -> Result<OfEach<(HostSeen, bool)>, Problem> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    // A runtime of its own: the connections end with it.
    let runtime = open::new_runtime()?;
    let mut looked = Vec::new();
    for ClusterAsked { name, address, secrets } in all {
        let read = runtime.block_on(read(&name, &address, secrets, operator));
        operator.settle();
        let seen = read.and_then(|look| {
            redact::remember_more(look.redactor());
            seen_of(&name, &look, call, known)
        });
        looked.push((name, seen));
    }
    // The program of a login that did not end in its time is not awaited.
    runtime.shutdown_background();
    Ok(looked)
}

/// Reads one namespace, and says meanwhile what is read.
async fn read(
    name: &str,
    address: &KubeAddress,
    secrets: KnownSecrets,
    operator: &mut dyn Operator,
) -> Result<Look, Problem> {
    let (to, mut told) = unbounded_channel::<String>();
    // Nobody listens any more if the command is about to end.
    let progress = |text: &str| drop(to.send(text.to_owned()));
    let mut reading = pin!(async {
        let cluster = connected(address_of(address)).await?;
        Ok::<_, Problem>(keyroll_cluster::read(&cluster, &progress).await?)
    });
    loop {
        tokio::select! {
            // `to` is kept here: this ends only with the loop.
            Some(text) = told.recv() => operator.progress(&format!("{name}: {}", plain(&text))),
            read = &mut reading => return Ok(Look::of(read?, secrets)),
        }
    }
}

/// What each of these clusters lets keyroll see.
///
/// # Errors
/// The runtime cannot be started.
pub(super) fn check_clusters(
    all: &[(&str, &KubeAddress)],
    operator: &mut dyn Operator,
) -> Result<OfEach<Vec<Checked>>, Problem> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = open::new_runtime()?;
    let mut checked = Vec::new();
    for (name, address) in all {
        operator.progress(&format!("{name}: asking for the rights of the login …"));
        let asked = async {
            let cluster = connected(address_of(address)).await?;
            Ok(keyroll_cluster::check(&cluster).await?)
        };
        checked.push(((*name).to_owned(), runtime.block_on(asked)));
    }
    operator.settle();
    runtime.shutdown_background();
    Ok(checked)
}

/// The answer to what was asked, with the fingerprints and labels of the values.
fn seen_of(name: &str, look: &Look, call: &HostCall, known: &mut Known) -> Result<(HostSeen, bool), Problem> {
    let mut shown: Vec<(Fingerprint, String)> = Vec::new();
    let mut values: BTreeMap<u32, Fingerprint> = BTreeMap::new();
    for (id, print) in look.values.under(&known.key) {
        let Some(value) = look.values.get(id) else { continue };
        known.shown_here(print, &value.fingerprint);
        shown.push((print, digits_of(value.fingerprint.as_bytes())));
        values.insert(id.0, print);
    }
    let Answer { report, absent } = answer(look, call, known)?;
    let (prints, mut named) = labelled(&shown, &report);
    named.extend(drafted_names(&report, &values));
    let seen = HostSeen {
        host: name.to_owned(),
        cluster: true,
        scans: vec![look.scanned()],
        prints,
        named,
        report,
        missed: look.missed(),
        refused: look.refused(),
    };
    Ok((seen, absent))
}

fn answer(look: &Look, call: &HostCall, known: &Known) -> Result<Answer, Problem> {
    let report = match call {
        HostCall::Scan => Ok(HostReport::Scan(look.scan())),
        HostCall::Why { what } => look.why(what).map(HostReport::Why),
        HostCall::Trace { secret, evidence } => {
            look.trace(secret, *evidence).map(|report| HostReport::Trace(Some(report)))
        }
        HostCall::Draft { secrets, .. } => look.draft(secrets).map(|(drafts, left_out)| {
            HostReport::Draft(DraftReport { drafts, left_out, stored: known.stored() })
        }),
    };
    match report {
        Ok(report) => Ok(Answer::of(report)),
        Err(not) => not_here(call, not),
    }
}

#[cfg(test)]
mod tests {
    use keyroll_secret::FingerprintKey;

    use super::*;
    use crate::hosts::nobody::Nobody;

    #[test]
    fn a_cluster_that_cannot_be_read_is_one_entry_with_its_problem_and_the_next_one_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let asked = |name: &str| ClusterAsked {
            name: name.to_owned(),
            address: KubeAddress {
                context: Some("prod".to_owned()),
                namespace: Some("shop".to_owned()),
                kubeconfig: Some(folder.path().join("absent")),
            },
            secrets: KnownSecrets {
                key: FingerprintKey::new(&[7; 32]),
                managed: Vec::new(),
                values: Vec::new(),
            },
        };
        let clusters = vec![asked("prod"), asked("test")];
        let (mut known, mut operator) = (Known::with(&[]), Nobody::default());
        let all = look_at_clusters(clusters, &HostCall::Scan, &mut known, &mut operator).unwrap();
        let told: Vec<(&str, &str)> = all
            .iter()
            .map(|(name, looked)| (name.as_str(), looked.as_ref().err().unwrap().code.as_str()))
            .collect();
        assert_eq!(told, [("prod", "K0966"), ("test", "K0966")]);
    }
}
