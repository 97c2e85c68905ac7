use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};

use crate::cast;
use crate::folder::Folder;
use crate::{first_key, front, issuer, janitor, parent, probe, restart, worker};

/// The parsed arguments of a part.
struct Arguments {
    verb: String,
    folder: Folder,
    name: Option<String>,
    inherit: bool,
}

/// Runs one part of the demo in this process: `ROLE --dir DIR [--name NAME] [--inherit]`, where `ROLE` is `issuer`,
/// `first-key`, `front`, `worker`, `restart`, `parent`, `probe` or `janitor`. Meant for the demo's own scripts.
///
/// Returns 0 when the part did its work or was asked to stop, 1 with a line on standard error when it failed, 2 when
/// the arguments make no sense.
pub fn part(arguments: Vec<String>) -> ExitCode {
    // A part plays another program, which does not protect its memory as keyroll does. If that cannot be changed, the
    // memory stays protected, and keyroll reports it as not visible.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
    let outcome = parse(arguments).and_then(|arguments| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                Failure::new(Class::Retryable, Code::DemoFailed, "start the runtime of a part of the demo")
                    .because(error)
            })?;
        runtime.block_on(play(&arguments))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{}", describe(&failure));
            if failure.kind == FailureKind::UsageWrong { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// A failure, its cause and its help on one line.
pub(crate) fn describe(failure: &Failure) -> String {
    let mut line = format!("{}: {failure}", failure.code);
    if let Some(cause) = &failure.source {
        line.push_str(&format!(": {cause}"));
    }
    if let Some(help) = &failure.help {
        line.push_str(&format!("; help: {help}"));
    }
    line
}

fn wrong(what: &str) -> Failure {
    Failure::new(Class::Permanent, Code::UsageWrong, "run a part of the demo")
        .kind(FailureKind::UsageWrong)
        .because(what.to_owned())
        .help("run keyroll demo: it starts its parts itself")
}

fn parse(arguments: Vec<String>) -> Result<Arguments, Failure> {
    let mut words = arguments.into_iter();
    let verb = words.next().ok_or_else(|| wrong("no role"))?;
    let (mut folder, mut name, mut inherit) = (None, None, false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--dir" => folder = words.next().map(PathBuf::from),
            "--name" => name = words.next(),
            "--inherit" => inherit = true,
            _ => return Err(wrong("an argument that is not known")),
        }
    }
    let folder = Folder::new(folder.ok_or_else(|| wrong("no --dir"))?);
    Ok(Arguments { verb, folder, name, inherit })
}

async fn play(arguments: &Arguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let name = || arguments.name.as_deref().unwrap_or_default();
    let worker = || cast::Worker::named(name()).ok_or_else(|| wrong("no worker of this name"));
    match arguments.verb.as_str() {
        "issuer" => issuer::run(folder).await,
        "first-key" => first_key::run(folder).await,
        "front" => {
            front::run(folder, cast::Front::named(name()).ok_or_else(|| wrong("no front of this name"))?)
                .await
        }
        "worker" => worker::run(folder, worker()?, arguments.inherit).await,
        "restart" => restart::run(folder, worker()?).await,
        "parent" => parent::run(folder).await,
        "janitor" => janitor::run(folder).await,
        "probe" => probe::run(folder).await,
        _ => Err(wrong("a role that is not known")),
    }
}
