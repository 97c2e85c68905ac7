//! The commands that a consumer's configuration names.

use keyroll_config::{Argv, Check, Consumer, Instance};

/// One command of a consumer.
#[derive(PartialEq, Eq)]
pub(super) struct ConsumerCommand {
    /// Which command: `restart`, `check`, `fetch`, `generated`, `adapter`.
    pub(super) key: &'static str,
    /// The program and its arguments.
    pub(super) words: Vec<String>,
}

/// Every command that a consumer's configuration names, for each of its instances, without the program of its manager.
pub(super) fn consumer_commands(consumer: &Consumer) -> Vec<ConsumerCommand> {
    let instances = consumer.runs.instances();
    let declared = instances.iter().filter_map(|instance| instance.workload.declared_command());
    let declared = declared.map(|(key, line)| ConsumerCommand { key, words: line.words() });
    let once = |key, argv: &Argv| ConsumerCommand { key, words: argv.fill("main", None, None) };
    let fetch = consumer.fetch.iter().map(|argv| once("fetch", argv));
    let generators =
        consumer.reads.iter().filter_map(|copy| Some(once("generated", copy.generated.as_ref()?)));
    let checks = instances.iter().flat_map(|instance| checks(consumer, instance));
    let mut all = Vec::new();
    for command in declared.chain(fetch).chain(generators).chain(checks) {
        // The instances often share a command.
        if !all.contains(&command) {
            all.push(command);
        }
    }
    all
}

fn checks(consumer: &Consumer, instance: &Instance) -> impl Iterator<Item = ConsumerCommand> {
    let copy = consumer.reads.first().map(|copy| copy.place.path());
    let all = consumer.check.iter().chain(consumer.paths.iter().map(|path| &path.check));
    all.filter_map(Check::command).map(move |argv| {
        let words = argv.fill(instance.name.as_str(), instance.port, copy);
        ConsumerCommand { key: "check", words }
    })
}
