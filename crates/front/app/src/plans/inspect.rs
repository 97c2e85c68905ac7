//! The reading part of Preflight: everything that can be refused before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{EvidenceKind, Secret};
use keyroll_observe::stated_outside;
use keyroll_port::{
    Failure, Issuer, Journal as _, Label, Listing, Looked, PendingChange, RefusalLog, Sessions, Store,
    Survey, Surveying, Values,
};
use keyroll_rotation::{Capabilities, ConsumerId, HostId, MintedBy, PROTOCOL, Plan, Policy, Refusals};
use keyroll_secret::{Credential, CredentialId, FingerprintKey, SecretBytes};
use keyroll_setup::bystander_id;
use keyroll_setup::trust::{
    dumps_in_sight, pid_files_missing, refuse_missing, refuse_objections, unseen_words,
};

use super::acceptance::{Acceptance, asking, confirm, pairs, standing};
use super::attribution::unattributed;
use super::granted::Granted;
use super::in_clusters::no_calls;
use super::inspection::Inspection;
use super::plaintext::reject_plaintext;
use super::rehearsed::apart_unready;
use super::shared::{copies_apart, policy_for};
use super::subject::Subject;
use super::unsound::refuse_unsound;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::saved_plan::{Saved, SeenAll};
use crate::records::waivers::Waivers;
use crate::wiring::family;
use crate::wiring::family::Own;
use crate::wiring::hosts::{Hosts, hosts};
use crate::wiring::issuer::Described;
use crate::wiring::open::{folder_of, other_keys};
use crate::wiring::policy::{fitted, policy};
use crate::wiring::served::refuse_unserved;
use crate::wiring::trusted::trusted;
use crate::wiring::wanted::{Planned, Wanted};

/// The current version of a secret, with its values.
pub async fn current(store: &dyn Store, secret: &Secret) -> Result<(u32, Credential), Problem> {
    let name = secret.name.as_str();
    let missing = || {
        Problem::new(Code::NoCurrentValue, format!("find the current version of {name}"))
            .because("keyroll has no value of it yet")
            .help(format!("keyroll secret add {name} --id ID_AT_THE_ISSUER < FILE_WITH_THE_VALUE"))
    };
    let versions = store.versions(name).await?;
    let version = versions.iter().find(|version| version.label == Label::Current);
    let version = version.ok_or_else(|| match versions.is_empty() {
        true => missing(),
        false => Problem::new(Code::NoCurrentValue, format!("find the current version of {name}"))
            .because("its last key was revoked without a successor: its consumers have their own keys")
            .help(format!("keyroll history {name}")),
    })?;
    let credential = store.read(name, version.number).await?.ok_or_else(missing)?;
    Ok((version.number, credential))
}

/// The current credential, as its issuer shows it.
struct AtIssuer {
    from_version: u32,
    credential: Credential,
    listing: Option<Listing>,
    standing: Acceptance,
    bound: bool,
    able: (Capabilities, Policy),
    settings: Option<String>,
    notes: Vec<String>,
}

/// Refuses what the configuration alone rules out, then asks the issuer.
async fn at_issuer(
    subject: &Subject<'_>,
    store: &dyn Store,
    issuer: &dyn Issuer,
) -> Result<AtIssuer, Problem> {
    refuse_unseen_reads(subject.secret)?;
    trusted(subject.config_file, subject.secret)?;
    // The other hosts look at theirs themselves.
    let here = subject.secret.here();
    refuse_missing(&here)?;
    refuse_objections(&here)?;
    let (from_version, credential) = current(store, subject.secret).await?;
    reject_plaintext(subject, &credential)?;
    let mut notes = issuer.preflight(&credential).await?;
    notes.extend(issuer.warnings());
    let listing = list(issuer, &credential).await?;
    refuse_foreign_labels(listing.as_ref(), &credential, subject).await?;
    let standing = standing(issuer, &credential).await?;
    // A dead value has no readable account, and need not be revoked.
    let bound = match standing {
        Acceptance::Dead => credential.id.is_some(),
        Acceptance::Alive | Acceptance::Denied => bound(issuer, &credential, listing.as_ref()).await?,
    };
    let bound = bound && issuer.revokes();
    notes.extend(standing_notes(standing, bound));
    let mut able = able(subject.secret, issuer, &credential, &mut notes).await;
    if subject.brought {
        able.0.minted_by = MintedBy::Human;
    }
    notes.extend(pid_files_missing(&here));
    notes.extend(dumps_in_sight(&here));
    notes.extend(unseen_words(folder_of(subject.config_file), &here));
    let settings = issuer.settings(&credential).await?;
    Ok(AtIssuer { from_version, credential, listing, standing, bound, able, settings, notes })
}

/// The configuration's files and consumers by number, with the hosts that they are on, and the files as they are now. With a
/// credential it is tried of which hosts the issuer shows which process made a call; a line for each of the others.
async fn hosts_now(
    subject: &Subject<'_>,
    issuer: &Arc<dyn Issuer>,
    own: &Own,
    credential: Option<&Credential>,
) -> Result<(Hosts, Vec<String>), Problem> {
    refuse_unserved(subject.secret, subject.places)?;
    let (folder, search) = (folder_of(subject.config_file), Some(&subject.config.search));
    let searched = super::unsearched::also_searched(subject);
    let of = Wanted {
        searched: &searched,
        config: Some((subject.config, subject.config_text)),
        rotation: &subject.id,
        search,
        planned: Planned::Now,
        own: Some(own),
        names: &subject.hosts,
        changes: subject.changes,
        waits_for_none: subject.revokes_first,
        left_out: subject.left_out,
        unattributed: &subject.unattributed,
        ..Wanted::of(subject.secret, issuer.as_ref(), subject.places, folder)
    };
    let mut now = hosts(&of)?;
    let hidden = match credential {
        Some(credential) => unattributed(&now, issuer, credential, subject.changes).await,
        None => BTreeMap::new(),
    };
    if !hidden.is_empty() {
        let all: Vec<String> = subject.unattributed.iter().chain(hidden.keys()).cloned().collect();
        now = hosts(&Wanted { unattributed: &all, ..of })?;
    }
    now.see_elsewhere().await?;
    Ok((now, hidden.into_values().collect()))
}

/// Inspects the issuer, the files and the processes, and refuses what cannot be rotated.
pub async fn look(
    subject: &Subject<'_>,
    key: &FingerprintKey,
    issuer: Arc<dyn Issuer>,
) -> Result<Inspection, Problem> {
    let aim = family::aim(subject.family);
    let store = family::planned(subject.places, subject.secret.name.as_str(), subject.family)?;
    let asked = at_issuer(subject, store.as_ref(), issuer.as_ref()).await?;
    let AtIssuer { from_version, credential, listing, standing, bound, able, settings, mut notes } = asked;
    let own = family::own_of(subject.places, subject.family).await?;
    let tried = (standing != Acceptance::Dead && !subject.revokes_first).then_some(&credential);
    let (hosts, unattributed) = hosts_now(subject, &issuer, &own, tried).await?;
    let endpoints = issuer.endpoints();
    let asking = asking_from(subject, &endpoints, &hosts);
    let standing = confirm(standing, &hosts, &asking, &issuer, &credential).await?;
    let of_live = credential.id.as_ref().filter(|_| standing != Acceptance::Dead);
    let next = issuer.propose(&credential).ok().flatten();
    let sessions = sessions_of(issuer.as_ref(), of_live).await?;
    let survey = hosts.machine.survey(Surveying {
        values: Values { old: &credential.fields, new: None, old_ended: false },
        next: next.as_ref().map(|next| &next.fields),
        sessions: &sessions,
        begins_on: aim.begins_on(),
        restarts: aim.makes_new(),
        rehearses: subject.rehearse && standing != Acceptance::Dead && aim.makes_new(),
    });
    let Survey { looked, holders, live, other_networks, linked, checks, programs } =
        survey.await.map_err(|failure| super::source_of_truth::other_value(failure, subject.secret))?;
    let (bar, checks) = apart_unready(checks);
    notes.extend(unattributed.into_iter().chain(linked).chain(checks).chain(no_calls(subject.secret)));
    notes.extend(super::unsearched::notes(&looked, subject.secret, aim.ends_old()));
    notes.extend(super::unsearched::hosts(subject, &hosts.names));
    // Other holders of a shared key that stays valid keep it.
    let (unexplained, holders) = match aim.ends_old() {
        true => (unexplained(subject, from_version, &looked)?, holders),
        false => (Vec::new(), Vec::new()),
    };
    let (granted, pending) = granted(subject, live.live)?;
    let outside = stated_outside().map(|(what, why)| format!("{what}: {why}")).into_iter().collect();
    let apart = apart(other_networks, &endpoints, &asking);
    let not_visible = [looked.not_visible, live.not_visible, apart, outside].concat();
    let seen = SeenAll {
        live: pending.iter().map(|one| (one.difference.name.to_string(), one.difference.digest)).collect(),
        files: hosts.seen,
        processes: processes(subject.secret, programs),
        issuer_ids: listing.iter().flat_map(|all| &all.entries).map(|entry| entry.id.to_string()).collect(),
        unexplained,
        reach: subject.described.reach(subject.secret),
        issuer: spec_digest(subject.described, issuer.as_ref(), key),
        unattributed: hosts.unattributed,
    };
    let plan = Plan {
        capabilities: able.0,
        policy: policy_for(aim, able.1),
        endpoints: pairs(endpoints.len(), &asking),
        files: hosts.files,
        consumers: hosts.consumers,
        bystanders: subject.secret.bystanders.iter().map(bystander_id).collect(),
        bound,
        denied_is_alive: standing == Acceptance::Denied,
        recovery: standing == Acceptance::Dead,
        aim,
        protocol: PROTOCOL,
    };
    refuse_unsound(subject.secret, &plan)?;
    let asking = asking.iter().filter_map(|host| hosts.names.get(host.index()).cloned()).collect();
    let saved = Saved { hosts: hosts.names, ..subject.saved(from_version, &plan, seen, settings) };
    let (host, live) = (hosts.machine, pending);
    Ok(Inspection { saved, plan, endpoints, asking, host, holders, not_visible, notes, live, granted, bar })
}

/// The hosts from which the issuer's endpoints are asked. An emergency that revokes the old key first waits for none. Of a
/// cluster the probe of each consumer shows whether its pods reach the issuer.
fn asking_from(subject: &Subject<'_>, endpoints: &[String], hosts: &Hosts) -> Vec<HostId> {
    let all = if subject.revokes_first { Vec::new() } else { asking(endpoints, &hosts.consumers) };
    all.into_iter().filter(|host| !hosts.is_cluster(*host)).collect()
}

/// The live sessions of the current credential; `id` is `None` where it has none.
async fn sessions_of(issuer: &dyn Issuer, id: Option<&CredentialId>) -> Result<Sessions, Failure> {
    match id {
        Some(id) if issuer.capabilities().sessions => {
            Ok(Sessions { old: issuer.sessions(id).await?, new: None })
        }
        Some(_) | None => Ok(Sessions::default()),
    }
}

/// Notes on consumers that reach the issuer from another network: the new key is probed from the machines' own networks,
/// and calls are matched by their source address.
fn apart(consumers: BTreeSet<String>, endpoints: &[String], asking: &[HostId]) -> Vec<String> {
    let tried = endpoints.join(" and ");
    let whose = if asking.is_empty() { "this machine's network" } else { "the network of its machine" };
    let told = |name| {
        format!(
            "the network path of '{name}' to the issuer: it runs in its own network, such as a container on \
             a bridge; keyroll probes the new key from {whose} ({tried}), and if address \
             translation hides the container, no call can be attributed to it"
        )
    };
    consumers.into_iter().map(told).collect()
}

/// The undeclared copies of the value that are not waived.
fn unexplained(subject: &Subject<'_>, version: u32, looked: &Looked) -> Result<Vec<String>, Problem> {
    let waivers = Waivers::load(subject.places)?;
    let apart = copies_apart(subject.config, subject.family);
    let names = looked
        .names
        .iter()
        // The name of a container is none of a copy.
        .filter(|named| looked.enumeration.strangers.contains(&named.digest))
        .filter(|named| !waivers.has_copy(subject.secret.name.as_str(), version, named.digest))
        .filter(|named| !apart.contains(&named.digest))
        .map(|named| named.name.clone());
    Ok(names.collect())
}

/// Separates the pending changes that an adoption accepted from the others.
fn granted(
    subject: &Subject<'_>,
    live: Vec<PendingChange>,
) -> Result<(Vec<PendingChange>, Vec<PendingChange>), Problem> {
    let known = Granted::load(subject.places)?;
    Ok(live.into_iter().partition(|one| known.has(subject.secret.name.as_str(), one)))
}

/// Refuses `read` evidence if opens of the files are not visible.
pub fn refuse_unseen_reads(secret: &Secret) -> Result<(), Problem> {
    if !secret.revoke.require.contains(&EvidenceKind::Read) {
        return Ok(());
    }
    let at_rest = secret.consumers.iter().find(|consumer| consumer.runs.workload().is_job());
    // Another host says itself what it sees.
    let consumers = &secret.consumers;
    let some_here = consumers.is_empty() || consumers.iter().any(|consumer| consumer.is_here);
    let why = match at_rest {
        _ if some_here && !keyroll_observe::sees_opens() => {
            "only root can watch which process opens a file".to_owned()
        }
        Some(consumer) => {
            format!("{} is at rest: it has no process that could open its file", consumer.name)
        }
        None => match secret.in_clusters().next() {
            Some((consumer, _)) => {
                let (name, host) = (&consumer.name, &consumer.host);
                format!("{name} is in {host}, and no cluster shows which process opens a file")
            }
            None => return Ok(()),
        },
    };
    Err(Problem::new(Code::NoEvidencePossible, format!("plan a rotation of {}", secret.name))
        .because(format!("`revoke.require` asks for `read`, which is not visible here: {why}"))
        .help("run keyroll as root, or remove \"read\" from `require`; `loaded`, `checked` and `exercised` prove more"))
}

/// The issuer's capabilities as visible from here, and the policy that fits them.
async fn able(
    secret: &Secret,
    issuer: &dyn Issuer,
    current: &Credential,
    notes: &mut Vec<String>,
) -> (Capabilities, Policy) {
    let (capabilities, lag_ms) = capabilities(secret, issuer, current, notes).await;
    let policy = fitted(policy(secret), &capabilities, lag_ms);
    (capabilities, policy)
}

/// The issuer's capabilities as far as they are visible from here, and the delay of the issuer's record.
async fn capabilities(
    secret: &Secret,
    issuer: &dyn Issuer,
    current: &Credential,
    notes: &mut Vec<String>,
) -> (Capabilities, u64) {
    let mut capabilities = issuer.capabilities().clone();
    capabilities.request_ms_max = capabilities.request_ms_max.max(secret.store.late_ms_max());
    if !capabilities.disable || capabilities.refusals == Refusals::NotVisible {
        return (capabilities, 0);
    }
    let named = secret.consumers.iter().filter(|consumer| consumer.log.is_some());
    let logs: Vec<&str> = named.map(|consumer| consumer.name.as_str()).collect();
    let mut places = Vec::new();
    let mut late_ms = 0;
    let seen_here = !logs.is_empty() || secret.gate.is_some();
    capabilities.refusals = if seen_here { Refusals::ConsumerLogs } else { Refusals::NotVisible };
    match issuer.sees_refusals(current).await {
        RefusalLog::None => {}
        RefusalLog::Read { place, lag_ms } => {
            capabilities.refusals = Refusals::IssuerLog;
            let late = if lag_ms > 0 { format!(" (up to {} s late)", lag_ms / 1_000) } else { String::new() };
            places.push(format!("{place}{late}"));
            late_ms = lag_ms;
        }
        RefusalLog::NotVisible { why, help } => {
            notes.push(format!("refused calls with the old key: not visible at the issuer: {why} · {help}"));
        }
    }
    if !logs.is_empty() {
        places.push(format!("the logs of {}", logs.join(", ")));
    }
    if let Some(gate) = &secret.gate {
        places.push(format!("the error rate at {}", gate.url));
    }
    notes.push(if places.is_empty() {
        "refused calls with the old key are not visible: no consumer has a `log`, so the soak shows nothing"
            .to_owned()
    } else {
        format!("refused calls with the old key are visible in {}", places.join(" and in "))
    });
    (capabilities, late_ms)
}

/// A keyed digest of everything at the issuer that the plan depends on.
fn spec_digest(described: &Described, issuer: &dyn Issuer, key: &FingerprintKey) -> String {
    let mut text = format!("{:?}\n{:?}\n", issuer.capabilities(), issuer.endpoints());
    text += described.text.as_deref().unwrap_or_default();
    key.fingerprint(&SecretBytes::from(text)).to_string()
}

async fn list(issuer: &dyn Issuer, credential: &Credential) -> Result<Option<Listing>, Problem> {
    if !issuer.capabilities().list {
        return Ok(None);
    }
    let mut listing = issuer.list(credential).await?;
    listing.entries.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Some(listing))
}

/// Refuses if a key has the label of a rotation that this journal does not have: it was made from another state
/// folder, or this one was restored from a backup. The rotation would stop at it.
async fn refuse_foreign_labels(
    listing: Option<&Listing>,
    credential: &Credential,
    subject: &Subject<'_>,
) -> Result<(), Problem> {
    let (places, others) = (subject.places, &subject.secret.other_keys);
    let labelled: Vec<(&str, &CredentialId)> = listing
        .iter()
        .flat_map(|all| &all.entries)
        .filter(|entry| Some(&entry.id) != credential.id.as_ref())
        .filter_map(|entry| entry.label.as_deref().map(|label| (label, &entry.id)))
        .filter(|(label, _)| label.starts_with("keyroll/"))
        .filter(|(label, id)| !others.iter().any(|key| key.label == *label && key.id == id.as_str()))
        .collect();
    if labelled.is_empty() {
        return Ok(());
    }
    let attempted = || Problem::new(Code::LabelUnknown, "identify the keys at the issuer");
    let known = match places.journal().exists() {
        true => crate::wiring::open::journal(places)?
            .list()
            .await
            .map_err(|error| attempted().because_of(&error))?,
        false => Vec::new(),
    };
    let foreign = labelled.into_iter().find(|(label, _)| {
        let rotation = label.split('/').nth(1).unwrap_or_default();
        !known.iter().any(|one| one.id.0 == rotation)
    });
    foreign.map_or(Ok(()), |(label, id)| {
        let named = other_keys(subject.config, subject.secret);
        Err(attempted()
            .because(format!("key {id} carries the label {label}, which is not in this journal"))
            .because("it was made with another state folder, or this journal was restored from a backup")
            .help(format!(
                "use the state folder that made it; if another keyroll rotates it: {}; or delete an unused key at the \
                 issuer; then plan again",
                named.help(subject.secret.name.as_str(), id.as_str(), label)
            ))
            .exits(Exit::NeedsPerson))
    })
}

/// True if the value belongs to exactly one id at the issuer, as far as the issuer shows.
async fn bound(
    issuer: &dyn Issuer,
    credential: &Credential,
    listing: Option<&Listing>,
) -> Result<bool, Problem> {
    let Some(id) = &credential.id else { return Ok(false) };
    let wrong = |other: &CredentialId| {
        Problem::new(Code::ValueRefused, "bind the current value to its id")
            .because(format!("the issuer says that the value belongs to {other}, but the store has {id}"))
            .help("correct it: keyroll secret add NAME --id ID, for another name, or find out who has the other key")
    };
    if let Some(told) = issuer.identify(credential).await?.id
        && told != *id
    {
        return Err(wrong(&told));
    }
    Ok(listing
        .is_none_or(|all| !all.complete || all.entries.iter().filter(|entry| entry.id == *id).count() == 1))
}

fn standing_notes(standing: Acceptance, bound: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if standing == Acceptance::Dead {
        notes.push(
            "the issuer refuses the current value: this is a recovery; its consumers are cut off until it is done"
                .to_owned(),
        );
    }
    if !bound {
        notes.push("the current value is not bound to an id at the issuer: revoke it yourself".to_owned());
    }
    notes
}

/// The number of processes of each consumer, by executable and not by pid, which changes at every restart.
fn processes(
    secret: &Secret,
    programs: Vec<(ConsumerId, PathBuf)>,
) -> BTreeMap<String, BTreeMap<String, u32>> {
    let mut all: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for consumer in &secret.consumers {
        all.entry(consumer.name.to_string()).or_default();
    }
    for (id, exe) in programs {
        let Some(consumer) = secret.consumers.get(id.index()) else { continue };
        // A plan does not depend on whether a job runs at this moment, nor on which programs have asked keyroll's socket so far:
        // they come and go, and none of them is restarted.
        if consumer.runs.workload().is_job() || consumer.serves.is_some() {
            continue;
        }
        let of_consumer = all.entry(consumer.name.to_string()).or_default();
        let count = of_consumer.entry(exe.display().to_string()).or_default();
        *count = count.saturating_add(1);
    }
    all
}
