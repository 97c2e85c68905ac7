//! What a plan says about hosts and processes that were not searched.

use std::collections::BTreeSet;

use keyroll_config::Secret;
use keyroll_port::Looked;

use super::subject::Subject;
use crate::configured::{listed, not_looked_at};
use crate::quantity::quantity;
use crate::records::blockers::not_searched;
use crate::records::next_words::setting;
use crate::wiring::family;

/// The hosts without a consumer that are searched, too: none where the old key is kept, because others use it.
pub(super) fn also_searched(subject: &Subject<'_>) -> Vec<String> {
    if !family::aim(subject.family).ends_old() {
        return Vec::new();
    }
    let (config, secret) = (subject.config, subject.secret);
    // Without the consumers of the hosts that are left out it may look like a secret of this machine alone.
    let is_by_ssh = |name: &str| config.hosts.get(name).is_some_and(|host| host.connect.is_ssh());
    let left_out: Vec<_> = subject.left_out.iter().filter(|one| is_by_ssh(&one.host)).collect();
    let over_hosts = !left_out.is_empty() && secret.searched_hosts.is_none();
    let meant = if over_hosts { config.bystanders(secret) } else { config.searched_hosts(secret) };
    let mut searched: Vec<String> = meant.into_iter().map(str::to_owned).collect();
    // One that is back shows what it holds.
    for one in left_out {
        if !searched.contains(&one.host) {
            searched.push(one.host.clone());
        }
    }
    searched
}

/// One note on the hosts without a consumer that were searched, and one on those that were not. `names`: the hosts of the
/// plan.
pub(super) fn hosts(subject: &Subject<'_>, names: &[String]) -> Vec<String> {
    let name = &subject.secret.name;
    let of_consumers = subject.secret.other_hosts();
    let is_searched =
        |host: &&String| host.as_str() != keyroll_config::LOCAL && !of_consumers.contains(host.as_str());
    let is_awaited = |host: &&String| !subject.left_out.iter().any(|one| one.host == **host);
    let searched: BTreeSet<&str> =
        names.iter().filter(is_searched).filter(is_awaited).map(String::as_str).collect();
    let mut notes = Vec::new();
    if !searched.is_empty() {
        let all = listed(&searched);
        notes
            .push(format!("also searched, by fingerprints: {all} (no consumer of {name} is declared there)"));
    }
    notes.extend(not_looked_at(subject.config, subject.secret));
    notes.extend(super::left_out::notes(subject.left_out, subject.config));
    notes
}

/// One note for each declared instance whose memory was not searched completely, and one for all undeclared processes.
pub(super) fn notes(looked: &Looked, secret: &Secret, ends_old: bool) -> Vec<String> {
    let seen = &looked.enumeration;
    let mut notes = Vec::new();
    let mut undeclared = 0;
    for missed in &seen.unsearched {
        let Some(consumer) = seen.consumer_of(missed.who) else {
            undeclared += usize::from(seen.bystander(missed.who).is_none());
            continue;
        };
        let name = secret.consumers.get(consumer.index()).map_or("?", |consumer| consumer.name.as_str());
        let what = missed.who.pid().map_or_else(|| "a pod".to_owned(), |pid| format!("process {pid}"));
        notes.push(format!(
            "{name}, {what}: {}; if that does not change, the rotation pauses before it disables or revokes \
             the old key\n  raise `{}` in keyroll.toml",
            not_searched(missed.limit),
            setting(missed.limit)
        ));
    }
    if undeclared > 0 && ends_old {
        notes.push(format!(
            "the memory of {} was not searched completely: before the old key is revoked you are asked about them by \
             name, also with a standing consent\n  raise `search.max_memory` or `search.deadline` in keyroll.toml",
            quantity(undeclared, "undeclared process")
        ));
    }
    if ends_old {
        notes.extend(super::bystanders::notes(looked, secret));
    }
    notes
}
