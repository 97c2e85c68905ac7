//! What machines would add to keyroll.toml, read from their reports. Only keys that the configuration has are taken.

use std::collections::BTreeSet;
use std::path::PathBuf;

use keyroll_config::{FoundConsumer, FoundCopy, Name, Said, WorkloadKind, is_unseen};
use keyroll_draft::{Form, named};
use keyroll_inventory::{ConsumerShown, DraftShown, SaidShown};

use crate::hosts::{DraftReport, HostSeen};

/// What a host writes in place of a value.
const REDACTED: &str = "[redacted:";

/// The keys of a copy that may be drafted.
const COPY_KEYS: [&str; 7] = ["env_file", "variable", "file", "format", "at", "part", "template"];

/// The keys of a copy that may be drafted for a cluster.
const CLUSTER_COPY_KEYS: [&str; 2] = ["secret", "key"];

/// A machine, with the secrets that are used there.
pub(super) struct Machine {
    /// As the configuration names it.
    pub(super) name: Name,
    /// The folder that relative paths of its consumers begin in; a cluster has none.
    pub(super) folder: Option<PathBuf>,
    /// What would be written.
    pub(super) secrets: Vec<SecretOn>,
}

/// A secret on one machine.
#[derive(Debug, Clone)]
pub(super) struct SecretOn {
    /// Its name there, as `scan` shows it.
    pub(super) shown: String,
    /// The same as a name of keyroll.toml.
    pub(super) name: Name,
    /// A value of it is known as one of the configured secret with its name.
    pub(super) managed: bool,
    /// It may be the configured secret with its name: a value of it is known as one of that, or that has none yet.
    pub(super) by_name: bool,
    /// The fingerprints of its values, which are the same on each machine.
    pub(super) prints: BTreeSet<[u8; 32]>,
    /// Its copies there hold different values.
    pub(super) differ: bool,
    /// What the form of its values says of its issuer.
    pub(super) form: Form,
    /// Its consumers there.
    pub(super) consumers: Vec<ConsumerOn>,
    /// A service or process uses it.
    pub(super) used: bool,
    /// What was left out, and why.
    pub(super) left: Vec<String>,
}

/// A consumer on one machine.
#[derive(Debug, Clone)]
pub(super) struct ConsumerOn {
    /// As it is written, without its machine.
    pub(super) consumer: FoundConsumer,
    /// It is in a cluster, which is written as `host`, and never as one of several `hosts`.
    pub(super) in_cluster: bool,
    /// What the operator has to fill in.
    pub(super) open: Vec<String>,
}

impl Machine {
    /// What was seen on a machine, in a cluster without a folder; `None` if its name cannot be one of the configuration.
    pub(super) fn of(seen: &HostSeen, report: &DraftReport, folder: Option<PathBuf>) -> Option<Self> {
        let in_cluster = folder.is_none();
        let drafts = report.drafts.iter();
        let secrets = drafts.filter_map(|draft| secret(draft, seen, report, in_cluster)).collect();
        Some(Self { name: Name::new(seen.host.as_str())?, folder, secrets })
    }
}

fn secret(draft: &DraftShown, seen: &HostSeen, report: &DraftReport, in_cluster: bool) -> Option<SecretOn> {
    let name = named(&draft.name, &mut BTreeSet::new())?;
    let has_none = report.stored.as_ref().is_some_and(|stored| !stored.contains(name.as_str()));
    let own = seen.named.iter().filter(|(_, secret)| **secret == draft.secret);
    let (mut consumers, mut left) = (Vec::new(), draft.left.clone());
    for shown in &draft.consumers {
        match consumer(shown, in_cluster) {
            Ok(one) => consumers.push(one),
            Err(why) => left.push(format!("{}: {why}", shown.name)),
        }
    }
    Some(SecretOn {
        shown: draft.secret.clone(),
        by_name: has_none || draft.managed && draft.secret == name.as_str(),
        name,
        managed: draft.managed,
        prints: own.map(|(print, _)| *print).collect(),
        differ: draft.differ,
        form: Form { issuer: draft.issuer.clone(), title: draft.title.clone() },
        consumers,
        used: draft.used,
        left,
    })
}

/// Refuses what keyroll.toml has no place for, and what had a value in it.
fn consumer(shown: &ConsumerShown, in_cluster: bool) -> Result<ConsumerOn, &'static str> {
    let copy_keys: &[&'static str] = if in_cluster { &CLUSTER_COPY_KEYS } else { &COPY_KEYS };
    let no_key = "this version of keyroll does not know one of its keys";
    let name = named(&shown.name, &mut BTreeSet::new()).ok_or("no valid name for it")?;
    let runs: Vec<(&'static str, Said)> = shown
        .runs
        .iter()
        .map(|(key, value)| Ok((run_key(key, in_cluster).ok_or(no_key)?, said(value)?)))
        .collect::<Result<_, &'static str>>()?;
    let reads: Vec<FoundCopy> = shown
        .reads
        .iter()
        .map(|copy| {
            let key = |(key, text): &(String, String)| {
                let known = copy_keys.iter().copied().find(|known| known == key);
                Ok((known.ok_or(no_key)?, clean(text)?))
            };
            copy.iter().map(key).collect::<Result<FoundCopy, &'static str>>()
        })
        .collect::<Result<_, _>>()?;
    if runs.is_empty() || reads.is_empty() {
        return Err("how it is run, or what it reads, is missing");
    }
    let (notes, within) = (shown.notes.clone(), shown.within.clone());
    let synced = shown.synced && in_cluster;
    let consumer = FoundConsumer { name, hosts: Vec::new(), notes, runs, reads, within, synced };
    Ok(ConsumerOn { consumer, in_cluster, open: shown.open.clone() })
}

fn run_key(word: &str, in_cluster: bool) -> Option<&'static str> {
    if in_cluster {
        let kinds = WorkloadKind::ALL.into_iter().map(WorkloadKind::word);
        return kinds.chain(["container"]).find(|name| *name == word);
    }
    keyroll_manager::keys().map(|key| key.name).find(|name| *name == word)
}

fn said(value: &SaidShown) -> Result<Said, &'static str> {
    Ok(match value {
        SaidShown::Text(text) => Said::Text(clean(text)?),
        SaidShown::Words(words) => {
            Said::Words(words.iter().map(|word| clean(word)).collect::<Result<_, _>>()?)
        }
        SaidShown::Yes => Said::Yes,
    })
}

fn clean(text: &str) -> Result<String, &'static str> {
    if text.contains(REDACTED) {
        return Err("it would contain a value");
    }
    // An operator reads the file before it is used. Control characters are written as escapes, and so are seen there.
    match text.chars().any(|one| is_unseen(one) && !one.is_control()) {
        true => Err("it has characters that are not seen"),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hosts::HostReport;

    fn shown(runs: (&str, SaidShown), copy: (&str, &str)) -> ConsumerShown {
        ConsumerShown {
            name: "api".to_owned(),
            notes: Vec::new(),
            runs: vec![(runs.0.to_owned(), runs.1)],
            reads: vec![vec![(copy.0.to_owned(), copy.1.to_owned())]],
            within: Vec::new(),
            open: Vec::new(),
            synced: false,
        }
    }

    #[test]
    fn the_name_of_a_secret_that_has_a_value_is_not_enough() {
        let draft = |managed: bool| DraftShown {
            secret: "db".to_owned(),
            name: "db".to_owned(),
            managed,
            values: Vec::new(),
            differ: false,
            issuer: None,
            title: None,
            consumers: Vec::new(),
            used: true,
            left: Vec::new(),
        };
        let by_name = |managed: bool, stored: Option<&str>| {
            let stored = stored.map(|name| BTreeSet::from([name.to_owned()]));
            let report = DraftReport { drafts: vec![draft(managed)], left_out: Vec::new(), stored };
            let seen = HostSeen {
                host: "web-1".to_owned(),
                cluster: false,
                scans: Vec::new(),
                prints: BTreeMap::new(),
                named: BTreeMap::new(),
                report: HostReport::Draft(report.clone()),
                missed: Vec::new(),
                refused: false,
            };
            Machine::of(&seen, &report, Some(PathBuf::from("/srv"))).unwrap().secrets[0].by_name
        };
        assert!(by_name(false, Some("other")) && by_name(true, Some("db")));
        assert!(!by_name(false, Some("db")) && !by_name(false, None));
    }

    #[test]
    fn a_consumer_of_a_host_has_known_keys_no_value_and_only_what_is_seen() {
        let unit = || SaidShown::Text("api.service".to_owned());
        let good = consumer(&shown(("unit", unit()), ("file", "./key")), false).unwrap().consumer;
        assert_eq!(good.runs, [("unit", Said::Text("api.service".to_owned()))]);
        assert_eq!(good.reads, [vec![("file", "./key".to_owned())]]);
        let words = SaidShown::Words(vec!["./restart.sh".to_owned(), "[redacted:value]".to_owned()]);
        for bad in [
            shown(("run_this", unit()), ("file", "./key")),
            // Only a cluster has these.
            shown(("deployment", unit()), ("file", "./key")),
            shown(("unit", unit()), ("secret", "anthropic")),
            shown(("unit", unit()), ("generated", "./render.sh")),
            shown(("restart", words), ("file", "./key")),
            shown(("unit", unit()), ("file", "/srv/[redacted:value]/key")),
            shown(("unit", SaidShown::Text("api\u{202e}.service".to_owned())), ("file", "./key")),
            shown(("unit", unit()), ("file", "/srv/a\u{200b}/key")),
        ] {
            assert!(consumer(&bad, false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_consumer_of_a_cluster_has_the_keys_of_a_cluster_and_no_other() {
        let text = || SaidShown::Text("agent".to_owned());
        let good = consumer(&shown(("deployment", text()), ("secret", "anthropic")), true).unwrap();
        assert!(good.in_cluster && !good.consumer.synced);
        let synced = ConsumerShown { synced: true, ..shown(("deployment", text()), ("secret", "anthropic")) };
        assert!(consumer(&synced, true).unwrap().consumer.synced);
        let on_machine = ConsumerShown { synced: true, ..shown(("unit", text()), ("file", "./key")) };
        assert!(!consumer(&on_machine, false).unwrap().consumer.synced, "only a cluster has this key");
        assert_eq!(good.consumer.runs, [("deployment", Said::Text("agent".to_owned()))]);
        assert_eq!(good.consumer.reads, [vec![("secret", "anthropic".to_owned())]]);
        for bad in [
            shown(("restart", text()), ("secret", "anthropic")),
            shown(("unit", text()), ("secret", "anthropic")),
            shown(("deployment", text()), ("file", "/etc/keyroll/key")),
            shown(("deployment", text()), ("secret", "[redacted:value]")),
        ] {
            assert!(consumer(&bad, true).is_err(), "{bad:?}");
        }
    }
}
