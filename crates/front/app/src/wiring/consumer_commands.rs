//! The commands that a consumer's configuration names.

use std::path::Path;

use keyroll_config::Consumer;
use keyroll_manager::CommandLine;

/// Programs that run the file that their first argument names.
const INTERPRETERS: [&str; 9] = ["sh", "bash", "dash", "zsh", "ksh", "python3", "perl", "ruby", "node"];

/// One command of a consumer.
pub(super) struct ConsumerCommand {
    /// Which command: `restart`, `check`, `fetch`, `generated`, `adapter`.
    pub(super) key: &'static str,
    /// The program and its arguments.
    pub(super) words: Vec<String>,
}

/// Every command that a consumer's configuration names, without the program of its manager.
pub(super) fn consumer_commands(consumer: &Consumer) -> impl Iterator<Item = ConsumerCommand> {
    let declared = consumer.runs.workload().declared_command();
    let declared = declared.map(|(key, line)| ConsumerCommand { key, words: words(line) });
    let generators = consumer.reads.iter().filter_map(|copy| Some(("generated", copy.generated.as_ref()?)));
    let checks = consumer.check.iter().chain(consumer.paths.iter().map(|path| &path.check));
    let checks = checks.filter_map(|check| Some(("check", check.command()?)));
    let all = consumer.fetch.iter().map(|argv| ("fetch", argv)).chain(generators).chain(checks);
    let all = all.map(|(key, argv)| ConsumerCommand { key, words: argv.fill("", None, None) });
    declared.into_iter().chain(all)
}

/// The program and its arguments, in order.
pub(crate) fn words(line: &CommandLine) -> Vec<String> {
    std::iter::once(&line.program).chain(&line.arguments).cloned().collect()
}

/// Whether a program is a shell or another interpreter of scripts.
pub(super) fn is_interpreter(program: &str) -> bool {
    let name = Path::new(program).file_name().unwrap_or_default();
    INTERPRETERS.iter().any(|known| name == *known)
}
