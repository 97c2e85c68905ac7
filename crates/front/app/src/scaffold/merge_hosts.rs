//! Adds what was found on several machines to a configuration.

use std::collections::BTreeSet;
use std::path::Path;

use keyroll_config::{
    Config, ConfigError, Consumer, FoundConsumer, FoundSecret, IssuerRef, Name, Secret, StoreRef,
};
use keyroll_draft::Form;

use super::already_configured::{has_several_fields, is_same_on, read, reads_same};
use super::in_clusters;
use super::issuer::{Issuer, issuer};
use super::machines::{ConsumerOn, Machine};
use super::merge::{Joined, covers, is_of_several, tables_of, used_by};
use super::together::{On, Table, free, tables, together};

/// A secret that was begun, with the name that it was found under.
struct Begun {
    found_as: Name,
    name: Name,
    prints: BTreeSet<[u8; 32]>,
}

/// Adds what machines have: new secrets and consumers at the end, new copies beside those of their consumer. Changes or removes
/// nothing that is there.
///
/// # Errors
/// The text is not a valid configuration.
pub(super) fn join_machines(
    text: &str,
    file_name: &str,
    machines: Vec<Machine>,
) -> Result<Joined, ConfigError> {
    let before = Config::parse(text, file_name)?;
    let mut joined = Joined { text: text.to_owned(), ..Joined::default() };
    let mut begun = Vec::new();
    for group in together(machines) {
        match configured(&before, &group) {
            Some(name) => {
                // As it is by now: two groups may belong to one secret.
                let now = Config::parse(&joined.text, file_name)?;
                if let Some(secret) = now.secrets.get(name) {
                    joined.extend_on(secret, group, file_name);
                }
            }
            None => joined.begin_on(group, &mut begun, file_name),
        }
    }
    Ok(joined)
}

/// The configured secret that a found one is: by a value that the store has, by a copy that one of its consumers on that
/// machine reads, or by the name of a secret that has no consumers yet, and no value that could be compared.
fn configured<'c>(config: &'c Config, group: &[On]) -> Option<&'c Name> {
    let managed = group.iter().filter(|on| on.secret.managed);
    let mut by_value = managed.filter_map(|on| config.secrets.get(on.secret.shown.as_str()));
    let by_copy = || config.secrets.values().find(|secret| group.iter().any(|on| reads_there(secret, on)));
    let bare = || {
        let by_name = group.iter().filter(|on| on.secret.by_name);
        let named = by_name.filter_map(|on| config.secrets.get(on.secret.name.as_str()));
        // What the store of somebody else has is not known here.
        let mut named =
            named.filter(|secret| secret.consumers.is_empty() && secret.store == StoreRef::Keyroll);
        named.next()
    };
    by_value.next().or_else(by_copy).or_else(bare).map(|secret| &secret.name)
}

fn reads_there(secret: &Secret, on: &On) -> bool {
    let Some(folder) = &on.folder else {
        let mut found = on.secret.consumers.iter();
        return found.any(|one| in_clusters::takes_same(secret, &on.machine, &one.consumer));
    };
    let known: Vec<&Consumer> =
        secret.consumers.iter().filter(|known| known.is_on(on.machine.as_str())).collect();
    let mut found = on.secret.consumers.iter().filter(|_| !known.is_empty());
    found.any(|one| {
        let new = as_read(folder, one, &secret.issuer);
        new.is_some_and(|new| known.iter().any(|known| reads_same(known, &new)))
    })
}

/// A found consumer as the parser reads it on its machine, where relative paths begin in this folder.
fn as_read(folder: &Path, one: &ConsumerOn, issuer: &IssuerRef) -> Option<Consumer> {
    read(&one.consumer, issuer, &folder.join("keyroll.toml").display().to_string())
}

impl Joined {
    /// Adds a secret that is not configured yet.
    fn begin_on(&mut self, group: Vec<On>, begun: &mut Vec<Begun>, file_name: &str) {
        let machines: Vec<Name> = group.iter().map(|on| on.machine.clone()).collect();
        let Some(found_as) = group.first().map(|on| on.secret.name.clone()) else { return };
        let name = free(&found_as, &machines, &mut self.secrets(file_name));
        let prints: BTreeSet<[u8; 32]> =
            group.iter().flat_map(|on| on.secret.prints.iter().copied()).collect();
        let Issuer { written, admin, notes: of_issuer, open, table } = issuer(&form(&group), name.as_str());
        let mut notes = values(&group);
        notes.extend(not_the_same(&found_as, &prints, begun));
        notes.extend(group.iter().filter(|on| on.secret.differ).map(|on| {
            let (machine, secret) = (&on.machine, &on.secret.shown);
            format!("its copies on {machine} differ: keyroll why {secret} --host {machine}")
        }));
        let used = group.iter().any(|on| on.secret.used);
        let left: Vec<String> = group
            .iter()
            .flat_map(|on| on.secret.left.iter().map(move |line| format!("{}: {line}", on.machine)))
            .collect();
        let found = group.into_iter().flat_map(|on| {
            let machine = on.machine;
            on.secret.consumers.into_iter().map(move |one| (machine.clone(), one))
        });
        let mut tables = tables(found.collect());
        let mut given = BTreeSet::new();
        for table in &mut tables {
            table.consumer.name = free(&table.consumer.name, &table.consumer.hosts, &mut given);
        }
        let users: Vec<String> = tables.iter().filter(|_| used).flat_map(Table::names).collect();
        notes.insert(0, used_by(&users.iter().map(String::as_str).collect::<Vec<_>>()));
        notes.extend(of_issuer);
        let secret = FoundSecret { name, notes, issuer: written, admin, table };
        if !self.secret(&secret, open, file_name) {
            return;
        }
        for table in &tables {
            self.consumer_or_comment(&secret.name, &table.consumer, &table.open, file_name);
        }
        self.omitted(&left);
        begun.push(Begun { found_as, name: secret.name, prints });
    }

    /// Extends a configured secret with new consumers and copies.
    fn extend_on(&mut self, secret: &Secret, group: Vec<On>, file_name: &str) {
        let has_several = has_several_fields(secret);
        let mut new = Vec::new();
        for on in group {
            for one in &on.secret.consumers {
                let which = format!("{}/{} on {}", secret.name, one.consumer.name, on.machine);
                let is_there = match &on.folder {
                    None => in_clusters::has(secret, &on.machine, &one.consumer),
                    Some(folder) => {
                        let Some(read) = as_read(folder, one, &secret.issuer) else {
                            self.refused.push(format!("{which}: it cannot be written in keyroll.toml"));
                            continue;
                        };
                        let mut all = secret.consumers.iter();
                        let known = all.find(|known| is_same_on(&on.machine, known, &read));
                        if let Some(known) = known {
                            self.copies_on(secret, known, (&read, &one.consumer), file_name);
                        }
                        known.is_some()
                    }
                };
                match (is_there, has_several) {
                    (true, _) => {}
                    (false, true) => self.refused.push(format!(
                        "{which}: {} has several fields; declare this one in keyroll.toml",
                        secret.name
                    )),
                    (false, false) => new.push((on.machine.clone(), one.clone())),
                }
            }
        }
        let mut given = tables_of(secret);
        for mut table in tables(new) {
            table.consumer.name = free(&table.consumer.name, &table.consumer.hosts, &mut given);
            if let Err(why) = self.consumer(&secret.name, &table.consumer, &table.open, file_name) {
                self.refused.push(format!("{}/{}: {why}", secret.name, table.consumer.name));
            }
        }
    }

    /// Adds the copies of a configured consumer that it does not have yet.
    fn copies_on(
        &mut self,
        secret: &Secret,
        known: &Consumer,
        (read, found): (&Consumer, &FoundConsumer),
        file_name: &str,
    ) {
        // A consumer whose copies are fetched gets them from its command; one that reads the store itself has none.
        if known.is_pull() {
            return;
        }
        for (copy, written) in read.reads.iter().zip(&found.reads) {
            if covers(&known.reads, &copy.place) {
                continue;
            }
            let why = match (is_of_several(known), has_several_fields(secret)) {
                (false, false) => {
                    self.copy((&secret.name, &known.name), copy, written, None, file_name);
                    continue;
                }
                // Its table is also for other machines, which may not have this copy.
                (true, _) => {
                    "it is declared with `hosts`; add the copy to its `reads` if all of them have it"
                }
                (false, true) => "the secret has several fields; add the copy to its `reads`",
            };
            self.refused.push(format!(
                "{}/{} on {}: the copy {}: {why}",
                secret.name, found.name, known.host, copy.place
            ));
        }
    }
}

/// What is known of the values on several machines.
fn values(group: &[On]) -> Vec<String> {
    let [first, others @ ..] = group else { return Vec::new() };
    if others.is_empty() {
        return Vec::new();
    }
    let machines: Vec<&str> = group.iter().map(|on| on.machine.as_str()).collect();
    let machines = machines.join(", ");
    let own = &first.secret.prints;
    vec![match others.iter().all(|on| on.secret.prints == *own) && !own.is_empty() {
        true => format!("{machines} have the same value, by its fingerprint"),
        false => {
            format!("{machines} also have different values of it: keyroll plan refuses copies that differ")
        }
    }]
}

/// Names the secrets that were found under the same name, and are others.
fn not_the_same(found_as: &Name, prints: &BTreeSet<[u8; 32]>, begun: &[Begun]) -> Vec<String> {
    let others = begun.iter().filter(|one| one.found_as == *found_as);
    let line = |one: &Begun| match prints.is_empty() || one.prints.is_empty() {
        true => format!("its value was not compared with that of [secrets.{}]", one.name),
        false => format!("its value is another one than that of [secrets.{}]", one.name),
    };
    others.map(line).collect()
}

/// What the forms on all machines say of the issuer. Where they differ, it is unknown.
fn form(group: &[On]) -> Form {
    let first = group.first().map(|on| on.secret.form.clone()).unwrap_or_default();
    let same = group.iter().all(|on| on.secret.form.issuer == first.issuer);
    Form { issuer: first.issuer.filter(|_| same), title: first.title }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use keyroll_config::Said;

    use super::*;
    use crate::scaffold::machines::SecretOn;

    const FILE: &str = "/etc/keyroll/keyroll.toml";

    const FLEET: &str = "# ours\nversion = 1\n\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv/app\"\n\n\
                         [hosts.web-2] # the other\nconnect = \"ssh://web-2\"\nfolder = \"/srv/app\"\n";

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// A machine whose unit reads a variable of a file, with the value of this number.
    fn machine(host: &str, unit: &str, value: u8) -> Machine {
        let consumer = FoundConsumer {
            name: name("api"),
            hosts: Vec::new(),
            notes: vec!["api.service, managed by systemd".to_owned()],
            runs: vec![("unit", Said::Text(unit.to_owned()))],
            reads: vec![vec![("env_file", "./api.env".to_owned()), ("variable", "KEY".to_owned())]],
            within: Vec::new(),
            synced: false,
        };
        let secret = SecretOn {
            shown: "openrouter".to_owned(),
            name: name("openrouter"),
            managed: false,
            by_name: true,
            prints: BTreeSet::from([[value; 32]]),
            differ: false,
            form: Form { issuer: Some("openrouter".to_owned()), title: None },
            consumers: vec![ConsumerOn { consumer, in_cluster: false, open: Vec::new() }],
            used: true,
            left: vec!["/srv/old.env:1: leftover".to_owned()],
        };
        Machine { name: name(host), folder: Some(PathBuf::from("/srv/app")), secrets: vec![secret] }
    }

    fn join(text: &str, machines: Vec<Machine>) -> Joined {
        let joined = join_machines(text, FILE, machines).unwrap();
        // No line of the operator is changed, moved or gone.
        let mut lines = joined.text.lines();
        assert!(text.lines().all(|line| lines.any(|new| new == line)), "{}", joined.text);
        joined
    }

    /// The consumers of a secret on machines, each with the file that it reads.
    fn consumers(joined: &Joined, secret: &str) -> Vec<String> {
        let config = Config::parse(&joined.text, FILE).unwrap();
        let all = &config.secret(secret).unwrap().consumers;
        let on_machines = all.iter().filter(|one| one.in_cluster.is_none());
        on_machines.map(|one| format!("{} {}", one.name, one.reads[0].place.path().display())).collect()
    }

    #[test]
    fn a_value_on_two_hosts_is_one_secret_and_their_unit_one_table() {
        let unit = "api.service";
        let machines = || vec![machine("web-1", unit, 1), machine("web-2", unit, 1)];
        let joined = join(FLEET, machines());
        assert_eq!(joined.refused, Vec::<String>::new());
        assert!(joined.text.contains("hosts = [\"web-1\", \"web-2\"]\n"), "{}", joined.text);
        assert!(joined.text.contains("web-1, web-2 have the same value, by its fingerprint"));
        assert!(joined.text.contains("# web-2: /srv/old.env:1: leftover\n"), "{}", joined.text);
        let both = ["api@web-1 /srv/app/api.env", "api@web-2 /srv/app/api.env"];
        assert_eq!(consumers(&joined, "openrouter"), both);
        // Once more: everything is there.
        let again = join(&joined.text, machines());
        assert_eq!((again.text.as_str(), again.added.len()), (joined.text.as_str(), 0));
    }

    #[test]
    fn a_host_that_is_seen_later_is_added_to_the_secret_that_reads_there() {
        let first = join(FLEET, vec![machine("web-1", "api.service", 1)]);
        assert!(first.text.contains("host  = \"web-1\"\n"), "{}", first.text);
        let machines = vec![machine("web-1", "api.service", 1), machine("web-2", "api.service", 1)];
        let both = join(&first.text, machines);
        assert_eq!(both.added, ["consumer api-web-2 of openrouter"]);
        assert_eq!(consumers(&both, "openrouter"), ["api /srv/app/api.env", "api-web-2 /srv/app/api.env"]);
    }

    #[test]
    fn other_values_under_one_name_are_two_secrets_and_other_units_two_tables() {
        let joined =
            join(FLEET, vec![machine("web-1", "api.service", 1), machine("web-2", "api.service", 2)]);
        assert_eq!(consumers(&joined, "openrouter"), ["api /srv/app/api.env"]);
        assert_eq!(consumers(&joined, "openrouter-web-2"), ["api /srv/app/api.env"]);
        assert!(joined.text.contains("its value is another one than that of [secrets.openrouter]"));
        assert!(!joined.text.contains("the same value"));
        let joined =
            join(FLEET, vec![machine("web-1", "api.service", 1), machine("web-2", "web.service", 1)]);
        assert_eq!(consumers(&joined, "openrouter"), ["api /srv/app/api.env", "api-web-2 /srv/app/api.env"]);
        assert!(
            joined.text.contains("host  = \"web-1\"\n") && joined.text.contains("host  = \"web-2\"\n"),
            "{}",
            joined.text
        );
    }

    #[test]
    fn a_secret_that_was_added_by_hand_gets_its_consumers() {
        let text = format!(
            "{FLEET}\n[secrets.openrouter]\nissuer = \"openrouter\" # ours\nadmin = \"file:./a.key\"\n"
        );
        let joined = join(&text, vec![machine("web-1", "api.service", 1)]);
        assert_eq!(joined.added, ["consumer api of openrouter"]);
        // It has a value, and this machine did not show that it has the same.
        let mut other = machine("web-1", "api.service", 1);
        other.secrets[0].by_name = false;
        let joined = join(&text, vec![other]);
        assert_eq!(consumers(&joined, "openrouter"), Vec::<String>::new());
        assert_eq!(consumers(&joined, "openrouter-web-1"), ["api /srv/app/api.env"]);
    }

    const CLUSTER: &str = "\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n\n[hosts.prod-us]\nconnect = \"kube://us/agents\"\n";

    /// A cluster whose deployment takes a key of a Secret, with the value of this number.
    fn cluster(host: &str, container: &str, value: u8) -> Machine {
        let text = |word: &str| Said::Text(word.to_owned());
        let consumer = FoundConsumer {
            name: name("agent"),
            hosts: Vec::new(),
            notes: vec!["variable OPENROUTER_API_KEY: follows no change, needs a roll-out".to_owned()],
            runs: vec![("deployment", text("agent")), ("container", text(container))],
            reads: vec![vec![("secret", "openrouter".to_owned()), ("key", "api-key".to_owned())]],
            within: Vec::new(),
            synced: false,
        };
        let mut machine = machine(host, "api.service", value);
        machine.folder = None;
        machine.secrets[0].consumers = vec![ConsumerOn { consumer, in_cluster: true, open: Vec::new() }];
        machine.secrets[0].left.clear();
        machine
    }

    /// The consumers of a secret in clusters, each with its cluster.
    fn in_clusters(joined: &Joined, secret: &str) -> Vec<String> {
        let config = Config::parse(&joined.text, FILE).unwrap();
        let secret = config.secret(secret).unwrap();
        secret.in_clusters().map(|(one, _)| format!("{} {}", one.name, one.host)).collect()
    }

    #[test]
    fn a_value_on_a_host_and_in_a_cluster_is_one_secret_with_both_consumers() {
        let fleet = format!("{FLEET}{CLUSTER}");
        let machines = || vec![cluster("prod", "app", 1), machine("web-1", "api.service", 1)];
        let joined = join(&fleet, machines());
        assert_eq!(joined.refused, Vec::<String>::new());
        assert_eq!(consumers(&joined, "openrouter"), ["api /srv/app/api.env"]);
        assert_eq!(in_clusters(&joined, "openrouter"), ["agent prod"]);
        assert!(joined.text.contains("# variable OPENROUTER_API_KEY: follows no change"), "{}", joined.text);
        assert!(joined.text.contains("host  = \"prod\"\n"), "{}", joined.text);
        // Once more: everything is there.
        let again = join(&joined.text, machines());
        assert_eq!((again.text.as_str(), again.added.len()), (joined.text.as_str(), 0));
        assert_eq!(again.refused, Vec::<String>::new());
    }

    #[test]
    fn a_workload_of_two_clusters_is_two_tables_which_name_one_cluster_each() {
        let joined =
            join(&format!("{FLEET}{CLUSTER}"), vec![cluster("prod", "app", 1), cluster("prod-us", "app", 1)]);
        assert_eq!(in_clusters(&joined, "openrouter"), ["agent prod", "agent-prod-us prod-us"]);
        assert!(!joined.text.contains("hosts = ["), "{}", joined.text);
    }

    #[test]
    fn a_consumer_of_a_cluster_that_is_configured_under_another_name_is_not_added_again() {
        let text = format!(
            "{FLEET}{CLUSTER}\n[secrets.ours]\nissuer = \"openrouter\"\nadmin = \"file:./a.key\"\n\
             [[secrets.ours.consumers]]\nname = \"mine\"\nhost = \"prod\"\n\
             runs = {{ deployment = \"agent\", container = \"app\" }}\n\
             reads = {{ secret = \"openrouter\", key = \"api-key\" }}\n"
        );
        let joined = join(&text, vec![cluster("prod", "app", 1)]);
        assert_eq!((joined.text.as_str(), joined.added.len()), (text.as_str(), 0));
        // Another container takes the same key: it is the same secret. Another cluster may have another one of this name.
        let joined = join(&text, vec![cluster("prod", "sidecar", 1), cluster("prod-us", "app", 2)]);
        assert_eq!(in_clusters(&joined, "ours"), ["mine prod", "agent prod"]);
        assert_eq!(in_clusters(&joined, "openrouter"), ["agent prod-us"]);
    }
}
