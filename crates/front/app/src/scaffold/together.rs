//! What several machines have in common: one secret, and one table for a consumer that is alike on each of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use keyroll_config::{FoundConsumer, LOCAL, Name};
use keyroll_draft::named;

use super::machines::{ConsumerOn, Machine, SecretOn};

/// A secret on one of its machines.
pub(super) struct On {
    /// The machine.
    pub(super) machine: Name,
    /// The folder that relative paths of its consumers begin in; a cluster has none.
    pub(super) folder: Option<PathBuf>,
    /// What is there.
    pub(super) secret: SecretOn,
}

/// The secrets of machines, each with all of its machines. Two are one if they have a value in common, by its fingerprint, or
/// values of the same configured secret. Two secrets of one machine stay two.
pub(super) fn together(machines: Vec<Machine>) -> Vec<Vec<On>> {
    let mut all: Vec<Vec<On>> = Vec::new();
    for Machine { name: machine, folder, secrets } in machines {
        for secret in secrets {
            let fits = |group: &&mut Vec<On>| {
                group.iter().all(|on| on.machine != machine)
                    && group.iter().any(|on| is_one(&on.secret, &secret))
            };
            let at = all.iter_mut().find(fits);
            let on = On { machine: machine.clone(), folder: folder.clone(), secret };
            match at {
                Some(group) => group.push(on),
                None => all.push(vec![on]),
            }
        }
    }
    all
}

fn is_one(one: &SecretOn, other: &SecretOn) -> bool {
    one.managed && other.managed && one.shown == other.shown || !one.prints.is_disjoint(&other.prints)
}

/// A table of a consumer, and what the operator has to fill in.
pub(super) struct Table {
    /// As it is written, with its machines.
    pub(super) consumer: FoundConsumer,
    /// What the operator has to fill in.
    pub(super) open: Vec<String>,
    /// The comments of each machine.
    notes: Vec<(Name, Vec<String>)>,
}

impl Table {
    /// How messages name its consumers.
    pub(super) fn names(&self) -> Vec<String> {
        let FoundConsumer { name, hosts, .. } = &self.consumer;
        match hosts.as_slice() {
            [] | [_] => vec![name.as_str().to_owned()],
            several => several.iter().map(|host| format!("{name}@{host}")).collect(),
        }
    }
}

/// Consumers of one secret as tables: those that have the same name, run alike and read the same copies are one, with all of
/// their machines. Each consumer of a cluster is a table of its own.
pub(super) fn tables(found: Vec<(Name, ConsumerOn)>) -> Vec<Table> {
    let mut all: Vec<Table> = Vec::new();
    for (machine, ConsumerOn { consumer, in_cluster, open }) in found {
        let alike = |table: &&mut Table| {
            let known = &table.consumer;
            let same =
                (&known.name, &known.runs, &known.reads) == (&consumer.name, &consumer.runs, &consumer.reads);
            same && !in_cluster && !known.hosts.contains(&machine)
        };
        let notes = (machine.clone(), consumer.notes.clone());
        match all.iter_mut().find(alike) {
            Some(table) => {
                table.consumer.hosts.push(machine);
                add_missing(&mut table.consumer.within, consumer.within);
                add_missing(&mut table.open, open);
                table.notes.push(notes);
            }
            None => {
                let consumer = FoundConsumer { hosts: vec![machine], ..consumer };
                all.push(Table { consumer, open, notes: vec![notes] });
            }
        }
    }
    for table in &mut all {
        table.consumer.notes = in_common(&table.notes);
        // Without a machine it is the one that keyroll runs on.
        if table.consumer.hosts.len() == 1 {
            table.consumer.hosts.retain(|host| host.as_str() != LOCAL);
        }
    }
    all
}

fn add_missing(all: &mut Vec<String>, more: Vec<String>) {
    for line in more {
        if !all.contains(&line) {
            all.push(line);
        }
    }
}

/// The comments that all machines have, then those of single ones, with their names.
fn in_common(notes: &[(Name, Vec<String>)]) -> Vec<String> {
    let [(_, first), others @ ..] = notes else { return Vec::new() };
    let of_all = |line: &&String| others.iter().all(|(_, lines)| lines.contains(line));
    let mut lines: Vec<String> = first.iter().filter(of_all).cloned().collect();
    let common: BTreeSet<String> = lines.iter().cloned().collect();
    for (machine, own) in notes {
        let own = own.iter().filter(|line| !common.contains(*line));
        lines.extend(own.map(|line| format!("on {machine}: {line}")));
    }
    lines
}

/// A name that is not given yet; the machine is added to one that is. It is then given.
pub(super) fn free(name: &Name, machines: &[Name], given: &mut BTreeSet<Name>) -> Name {
    if given.insert(name.clone()) {
        return name.clone();
    }
    let word = match machines {
        [only] => format!("{name}-{only}"),
        _ => name.as_str().to_owned(),
    };
    named(&word, given).unwrap_or_else(|| name.clone())
}

#[cfg(test)]
mod tests {
    use keyroll_config::Said;
    use keyroll_draft::Form;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn consumer(unit: &str, note: &str) -> ConsumerOn {
        let consumer = FoundConsumer {
            name: name("api"),
            hosts: Vec::new(),
            notes: vec!["api.service, managed by systemd".to_owned(), note.to_owned()],
            runs: vec![("unit", Said::Text(unit.to_owned()))],
            reads: vec![vec![("file", "./key".to_owned())]],
            within: vec!["check".to_owned()],
            synced: false,
        };
        ConsumerOn { consumer, in_cluster: false, open: vec!["api: `check`".to_owned()] }
    }

    fn secret(shown: &str, managed: bool, prints: &[u8]) -> SecretOn {
        SecretOn {
            shown: shown.to_owned(),
            name: name(shown),
            managed,
            by_name: true,
            prints: prints.iter().map(|byte| [*byte; 32]).collect(),
            differ: false,
            form: Form::default(),
            consumers: Vec::new(),
            used: true,
            left: Vec::new(),
        }
    }

    fn machine(host: &str, secrets: Vec<SecretOn>) -> Machine {
        Machine { name: name(host), folder: Some(PathBuf::from("/srv")), secrets }
    }

    #[test]
    fn secrets_are_one_by_a_value_and_not_by_a_name() {
        let all = together(vec![
            machine("web-1", vec![secret("openai", false, &[1]), secret("chat", false, &[2])]),
            machine("web-2", vec![secret("openai", false, &[3]), secret("other", false, &[1, 4])]),
            machine("web-3", vec![secret("openai", true, &[5])]),
            // Both are bridged by a third one, and stay two.
            machine("web-4", vec![secret("a", false, &[4]), secret("b", false, &[1])]),
            machine("web-5", vec![secret("openai", true, &[6])]),
        ]);
        let groups: Vec<Vec<String>> = all
            .iter()
            .map(|group| group.iter().map(|on| format!("{} {}", on.machine, on.secret.shown)).collect())
            .collect();
        let expected: [&[&str]; 5] = [
            &["web-1 openai", "web-2 other", "web-4 a"],
            &["web-1 chat"],
            &["web-2 openai"],
            &["web-3 openai", "web-5 openai"],
            &["web-4 b"],
        ];
        assert_eq!(groups, expected);
    }

    #[test]
    fn consumers_that_are_alike_are_one_table_with_all_of_their_machines() {
        let all = tables(vec![
            (name("local"), consumer("api.service", "here")),
            (name("web-1"), consumer("api.service", "here")),
            (name("web-2"), consumer("api.service", "not running now")),
            (name("web-3"), consumer("api@2.service", "here")),
        ]);
        let [one, other] = all.as_slice() else { panic!("{} tables", all.len()) };
        assert_eq!(one.consumer.hosts, ["local", "web-1", "web-2"].map(name));
        assert_eq!(one.names(), ["api@local", "api@web-1", "api@web-2"]);
        assert_eq!(
            one.consumer.notes,
            [
                "api.service, managed by systemd",
                "on local: here",
                "on web-1: here",
                "on web-2: not running now"
            ]
        );
        assert_eq!((one.open.len(), one.consumer.within.len()), (1, 1));
        assert_eq!(other.consumer.hosts, [name("web-3")]);
        assert_eq!(other.consumer.notes, ["api.service, managed by systemd", "here"]);
        // The machine that keyroll runs on is not named alone.
        let here = tables(vec![(name("local"), consumer("api.service", "here"))]);
        assert!(here[0].consumer.hosts.is_empty());
    }

    #[test]
    fn consumers_of_clusters_that_are_alike_stay_two_tables() {
        let in_cluster = || ConsumerOn { in_cluster: true, ..consumer("agent", "here") };
        let all = tables(vec![(name("prod-eu"), in_cluster()), (name("prod-us"), in_cluster())]);
        let hosts: Vec<&[Name]> = all.iter().map(|table| table.consumer.hosts.as_slice()).collect();
        assert_eq!(hosts, [[name("prod-eu")], [name("prod-us")]]);
    }

    #[test]
    fn a_name_that_is_given_gets_the_machine() {
        let mut given = BTreeSet::from([name("api")]);
        assert_eq!(free(&name("api"), &[name("web-2")], &mut given), name("api-web-2"));
        assert_eq!(free(&name("api"), &[name("a"), name("b")], &mut given), name("api-2"));
        assert_eq!(free(&name("worker"), &[name("web-2")], &mut given), name("worker"));
        assert_eq!(free(&name("worker"), &[], &mut given), name("worker-2"));
    }
}
