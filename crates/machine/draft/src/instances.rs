//! The instances of a template unit, which are one consumer of a new secret.

use std::collections::BTreeSet;

use keyroll_config::{FoundConsumer, INSTANCES_MAX, Name, Said};

use crate::consumer_draft::{ConsumerDraft, LISTENS};
use crate::draft::named;

/// Each consumer as it is written, with what the operator has to fill in. Those that run as instances of one template unit and
/// start from the same copies are one.
pub fn consumers_of(all: &[ConsumerDraft]) -> Vec<(FoundConsumer, Vec<String>)> {
    let mut taken: BTreeSet<Name> = all.iter().map(|one| one.consumer.name.clone()).collect();
    let mut made = Vec::new();
    let mut rest: Vec<&ConsumerDraft> = all.iter().collect();
    while let Some(first) = rest.first().copied() {
        let (alike, others): (Vec<_>, Vec<_>) = rest.iter().copied().partition(|one| are_alike(first, one));
        let one = match alike.len() {
            2..=INSTANCES_MAX => together(&alike, &mut taken),
            _ => None,
        };
        match one {
            Some(consumer) => {
                made.push((consumer, Vec::new()));
                rest = others;
            }
            None => {
                made.push((written(first).clone(), first.open.clone()));
                rest.remove(0);
            }
        }
    }
    made
}

/// The consumer as it is written: with the copies of a login, if it has those.
fn written(one: &ConsumerDraft) -> &FoundConsumer {
    one.of_login.as_ref().unwrap_or(&one.consumer)
}

/// The template and the instance of a consumer that runs as one unit and has nothing left to fill in: `worker` and `1` for
/// `worker@1.service`.
fn instance_of(one: &ConsumerDraft) -> Option<(&str, &str)> {
    let unit = written(one).runs.iter().find_map(|(key, value)| match value {
        Said::Text(text) if *key == "unit" => Some(text.as_str()),
        Said::Text(_) | Said::Words(_) | Said::Yes => None,
    })?;
    let (template, instance) = unit.strip_suffix(".service")?.split_once('@')?;
    let plain = !unit.contains(['{', '}']) && Name::new(instance).is_some();
    (plain && one.open.is_empty() && one.agent.is_none()).then_some((template, instance))
}

/// Whether two consumers differ in their instance alone; a consumer is alike itself.
fn are_alike(one: &ConsumerDraft, other: &ConsumerDraft) -> bool {
    let of = |it: &ConsumerDraft| instance_of(it).map(|(template, _)| template.to_owned());
    let beside = |it: &ConsumerDraft| -> Vec<(&'static str, Said)> {
        written(it).runs.iter().filter(|(key, _)| *key != "unit").cloned().collect()
    };
    let alike = of(one).is_some() && of(one) == of(other);
    alike && beside(one) == beside(other) && written(one).reads == written(other).reads
}

fn together(alike: &[&ConsumerDraft], taken: &mut BTreeSet<Name>) -> Option<FoundConsumer> {
    let first = alike.first()?;
    let (template, _) = instance_of(first)?;
    let mut instances: Vec<&str> =
        alike.iter().filter_map(|one| instance_of(one)).map(|(_, instance)| instance).collect();
    instances.sort_by_key(|instance| (instance.len(), *instance));
    let of_first = written(first);
    let unit = ("unit", Said::Text(format!("{template}@{{instance}}.service")));
    let names = ("instances", Said::Words(instances.into_iter().map(str::to_owned).collect()));
    let beside = of_first.runs.iter().filter(|(key, _)| *key != "unit").cloned();
    // What each of them is comes first.
    let heads = alike.iter().filter_map(|one| written(one).notes.first());
    let rest = alike.iter().flat_map(|one| written(one).notes.iter().skip(1));
    let mut notes: Vec<String> = Vec::new();
    for note in heads.chain(rest) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    let within = of_first.within.iter().filter(|line| !line.starts_with(LISTENS)).cloned();
    Some(FoundConsumer {
        name: named(template, taken)?,
        notes,
        runs: [unit, names].into_iter().chain(beside).collect(),
        within: within.collect(),
        ..of_first.clone()
    })
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    fn draft(name: &str, unit: &str, file: &str) -> ConsumerDraft {
        let consumer = FoundConsumer {
            name: Name::new(name).unwrap(),
            hosts: Vec::new(),
            notes: vec![format!("{unit}, managed by systemd"), "a note".to_owned()],
            runs: vec![("unit", Said::Text(unit.to_owned()))],
            reads: vec![vec![("env_file", file.to_owned()), ("variable", "KEY".to_owned())]],
            within: vec![format!("{LISTENS} 127.0.0.1:80; …"), "check = { … }".to_owned()],
            synced: false,
        };
        let (of_login, open, reads, processes, listens) = Default::default();
        ConsumerDraft { consumer, of_login, open, reads, processes, listens, agent: None }
    }

    fn names(all: &[(FoundConsumer, Vec<String>)]) -> Vec<&str> {
        all.iter().map(|(one, _)| one.name.as_str()).collect()
    }

    /// Red: a consumer for each instance.
    #[test]
    fn the_instances_of_a_template_unit_that_read_the_same_copy_are_one_consumer() {
        let all = [
            draft("worker-10", "worker@10.service", "./a.env"),
            draft("api", "api.service", "./a.env"),
            draft("worker-2", "worker@2.service", "./a.env"),
        ];
        let made = consumers_of(&all);
        assert_eq!(names(&made), ["worker", "api"]);
        let (worker, _) = &made[0];
        assert_eq!(
            worker.notes,
            ["worker@10.service, managed by systemd", "worker@2.service, managed by systemd", "a note"]
        );
        assert_eq!(worker.within, ["check = { … }"]);
        let secret = Name::new("acme").unwrap();
        let text = format!("version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n{}", worker.text(&secret));
        assert!(text.contains(r#"unit = "worker@{instance}.service", instances = ["2", "10"]"#), "{text}");
        let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
        let runs = &config.secret("acme").unwrap().consumers[0].runs;
        let instances: Vec<&str> = runs.instances().iter().map(|one| one.name.as_str()).collect();
        assert_eq!(instances, ["2", "10"]);
    }

    #[test]
    fn consumers_that_differ_in_more_than_their_instance_stay_apart() {
        let another = |change: fn(&mut ConsumerDraft)| {
            let mut other = draft("worker-2", "worker@2.service", "./a.env");
            change(&mut other);
            [draft("worker-1", "worker@1.service", "./a.env"), other]
        };
        let changes: [fn(&mut ConsumerDraft); 4] = [
            |it| it.consumer.reads[0][0].1 = "./b.env".to_owned(),
            |it| it.consumer.runs.push(("user", Said::Text("ada".to_owned()))),
            |it| it.consumer.runs[0].1 = Said::Text("mailer@2.service".to_owned()),
            |it| it.open.push("something".to_owned()),
        ];
        for change in changes {
            assert_eq!(names(&consumers_of(&another(change))), ["worker-1", "worker-2"]);
        }
        // One instance alone, and one whose name the configuration does not take.
        let alone = [draft("worker-1", "worker@1.service", "./a.env")];
        assert_eq!(names(&consumers_of(&alone)), ["worker-1"]);
        let odd = ["worker@1.service", r"worker@a\x2db.service"].map(|unit| draft("w", unit, "./a.env"));
        assert_eq!(consumers_of(&odd).len(), 2);
    }
}
