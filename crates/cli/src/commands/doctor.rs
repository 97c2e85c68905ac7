use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_config::{Config, Consumer, IssuerRef, Reference};

use keyroll_journal::{move_here, reset_witness};

use crate::args::DoctorArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::harden;
use crate::machine;
use crate::places::{self, Places};
use crate::problem::Problem;
use crate::ui::{Answer, Event, Finding};
use crate::wiring::open;
use crate::wiring::programs::{missing, pid_files_missing};
use crate::wiring::sealing;

/// Looks at everything that a rotation needs, and changes nothing. Findings that would stop a rotation end it with 3.
pub(super) fn run(args: &DoctorArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut report = Report::default();
    let places = context.places()?;
    if args.accept_journal {
        return accept_journal(&places, context);
    }
    if args.moved_here {
        return moved_here(&places, context);
    }
    look_at_places(&mut report, &places);
    look_at_journal(&mut report, &places);
    look_at_process(&mut report);
    match context.config() {
        Ok(config) => {
            let path = context.config_path();
            report.good(
                "configuration",
                format!("{}: {}", path.display(), counted(config.secrets.len(), "secret")),
            );
            look_at_config(&mut report, &config);
        }
        Err(problem) => report.problem("configuration", &problem),
    }
    let bad = report.0.iter().any(|event| matches!(event, Event::Check { finding: Finding::Bad, .. }));
    for event in report.0 {
        context.ui.event(event);
    }
    Ok(if bad { Exit::Findings } else { Exit::Done })
}

/// Takes a journal that was restored from a backup for the newest. Only a person who looked at the issuer can say
/// so, and only by typing it: entries that are lost may have made keys.
fn accept_journal(places: &Places, context: &mut Context) -> Result<Exit, Problem> {
    let accepting = || Problem::new("K0818", "accept the journal as the newest there is");
    let question =
        "Did you look at the issuers for keys with labels of rotations that this journal does not have?";
    match context.ui.ask_name(question, "accept") {
        Answer::Yes => {}
        Answer::No | Answer::Nobody | Answer::Stopped => {
            return Err(accepting()
                .because("nobody gave their word for it at the terminal")
                .help("look at the issuers, then run keyroll doctor --accept-journal by hand")
                .exits(Exit::NeedsPerson));
        }
    }
    let lock = open::lock(places)?;
    let accepted = reset_witness(&places.state, &places.witness(), &lock).map_err(|error| {
        Problem::new(error.code(), "accept the journal").because_of(&error).help(error.help())
    })?;
    context.ui.note(format!("accepted at entry {}, epoch {}", accepted.entry, accepted.epoch));
    Ok(Exit::Done)
}

/// Takes the state over for this machine. Only a person can say that the machine it came from does not use it any
/// more: two that drive the same rotations would each end keys that the other relies on.
fn moved_here(places: &Places, context: &mut Context) -> Result<Exit, Problem> {
    let taking = || Problem::new("K0861", "take the state over for this machine");
    let question = "Is this the newest copy of the state, and does no other machine use it any more?";
    match context.ui.ask_name(question, "moved") {
        Answer::Yes => {}
        Answer::No | Answer::Nobody | Answer::Stopped => {
            return Err(taking()
                .because("nobody gave their word for it at the terminal")
                .help("end keyroll on the other machine, then run keyroll doctor --moved-here by hand")
                .exits(Exit::NeedsPerson));
        }
    }
    let lock = open::lock(places)?;
    let machine = machine::here(&open::fingerprint_key(places)?)?;
    move_here(&places.state, &places.witness(), &machine, &lock).map_err(|error| open::not_opened(&error))?;
    context.ui.note("this machine drives the rotations of this state from now on".to_owned());
    Ok(Exit::Done)
}

/// Reads the whole journal against its witness.
fn look_at_journal(report: &mut Report, places: &Places) {
    if !places.journal().exists() {
        return;
    }
    match open::journal(places) {
        Ok(_) => report.good("journal's chain", "whole, and as new as its witness".to_owned()),
        Err(problem) => report.problem("journal's chain", &problem),
    }
}

#[derive(Default)]
struct Report(Vec<Event>);

impl Report {
    fn add(&mut self, finding: Finding, name: &str, detail: String, help: Option<String>) {
        self.0.push(Event::Check { name: name.to_owned(), finding, detail, help });
    }

    fn good(&mut self, name: &str, detail: String) {
        self.add(Finding::Good, name, detail, None);
    }

    fn note(&mut self, name: &str, detail: String) {
        self.add(Finding::Note, name, detail, None);
    }

    fn bad(&mut self, name: &str, detail: String, help: &str) {
        self.add(Finding::Bad, name, detail, Some(help.to_owned()));
    }

    fn problem(&mut self, name: &str, problem: &Problem) {
        let detail = problem.causes.join(": ");
        self.add(Finding::Bad, name, format!("{detail} ({})", problem.code), problem.help.clone());
    }
}

fn look_at_places(report: &mut Report, places: &Places) {
    for (name, folder) in [("state", &places.state), ("keys", &places.keys)] {
        match folder.exists() {
            false => {
                report.note(name, format!("{} does not exist yet; it is made on first use", folder.display()))
            }
            true => match places::check(folder) {
                Ok(()) => report.good(name, format!("{}, for this user alone", folder.display())),
                Err(problem) => report.problem(name, &problem),
            },
        }
    }
    let files = [
        ("journal", places.journal()),
        ("sealed values", places.state.join("secrets.db")),
        ("sealing key", places.sealing_key()),
        ("epoch witness", places.witness()),
    ];
    for (name, file) in files {
        look_at_private(report, name, &file, false);
    }
    look_at_wrapping(report, places);
    let device = |folder: &Path| folder.metadata().map(|meta| meta.dev()).ok();
    if let (Some(state), Some(keys)) = (device(&places.state), device(&places.keys)) {
        let help = format!(
            "back up {} and {} apart: whoever has both can open every sealed value, and without the key a backup of \
             the state is worthless",
            places.state.display(),
            places.keys.display()
        );
        let detail = match state == keys {
            true => "state and keys are on one file system: whether they are backed up apart is not visible",
            false => {
                "state and keys are on two file systems: whether they are backed up apart is not visible"
            }
        };
        report.add(Finding::Note, "backup", detail.to_owned(), Some(help));
    }
}

/// What the sealing key is wrapped with, and whether it opens.
fn look_at_wrapping(report: &mut Report, places: &Places) {
    let name = "sealing key's wrapping";
    if !places.sealing_key().exists() {
        return;
    }
    match sealing::wrapping_of(places).and_then(|with| sealing::sealing_key(places).map(|_| with)) {
        Ok(with) if with == "file" => {
            let help = "keyroll secret rewrap --to SOURCE: docs/guides/keep-the-sealing-key.md";
            let detail = "none: whoever reads the file has the key".to_owned();
            report.add(Finding::Note, name, detail, Some(help.to_owned()));
        }
        Ok(with) => report.good(name, format!("{with}, which opens it")),
        Err(problem) => report.problem(name, &problem),
    }
    let mut left = places.sealing_key().into_os_string();
    left.push(".new");
    if Path::new(&left).exists() {
        let detail = format!("{} was left by a rewrap that was cut off", Path::new(&left).display());
        report.bad(name, detail, "run keyroll secret rewrap again: it removes it");
    }
}

/// A file that only its owner may use.
fn look_at_private(report: &mut Report, name: &str, file: &Path, must_exist: bool) {
    let shown = file.display();
    match file.metadata() {
        Ok(meta) if !meta.is_file() => {
            report.bad(name, format!("{shown} is not a regular file"), "put a file there")
        }
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            let help = format!("chmod 600 {shown}, and consider who read it");
            report.bad(
                name,
                format!("{shown}: others may use it (mode {:04o})", meta.mode() & 0o7777),
                &help,
            );
        }
        Ok(_) => report.good(name, format!("{shown}")),
        Err(_) if !must_exist => report.note(name, format!("{shown} does not exist yet")),
        Err(error) => report.bad(name, format!("{shown}: {error}"), "make it, or correct the path"),
    }
}

fn look_at_process(report: &mut Report) {
    match harden::is_dumpable() {
        true => report.bad("this process", "its memory can be dumped".to_owned(), "use a kernel with prctl"),
        false => {
            report.good("this process", "writes no core dump, and its memory is closed to others".to_owned())
        }
    }
    // Yama's scope 1 and above closes the memory of processes that are not our children.
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let root = rustix::process::geteuid().is_root();
    match (root, scope.trim()) {
        (true, _) => report.good("memory of others", "visible: this user is root".to_owned()),
        (false, "" | "0") => report.good("memory of others", "visible for processes of this user".to_owned()),
        (false, scope) => report.note(
            "memory of others",
            format!(
                "not visible (kernel.yama.ptrace_scope = {scope}); sockets, files and checks are used instead"
            ),
        ),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn look_at_config(report: &mut Report, config: &Config) {
    for secret in config.secrets.values() {
        let name = format!("{}: issuer", secret.name);
        match &secret.issuer {
            IssuerRef::SpecFile(path) if !path.is_file() => {
                report.bad(
                    &name,
                    format!("{} is not there", path.display()),
                    "write it: docs/guides/write-an-issuer.md",
                );
            }
            IssuerRef::SpecFile(path) => report.good(&name, path.display().to_string()),
            IssuerRef::Shipped(spec) => report.good(&name, spec.to_string()),
            IssuerRef::Postgres => report.good(&name, "postgres".to_owned()),
            IssuerRef::Server(kind) => report.good(&name, kind.word().to_owned()),
        }
        match &secret.admin {
            Some(Reference::File(path)) => {
                look_at_private(report, &format!("{}: admin credential", secret.name), path, true);
            }
            None => report.note(&format!("{}: admin credential", secret.name), "none is named".to_owned()),
        }
        for pooler in secret.postgres.iter().flat_map(|place| &place.poolers) {
            let Reference::File(path) = &pooler.admin;
            look_at_private(report, &format!("{}: login of the pooler's console", secret.name), path, true);
        }
        if secret.consumers.is_empty() {
            let help = format!("describe who uses it as [[secrets.{}.consumers]]", secret.name);
            report.bad(&format!("{}: consumers", secret.name), "none".to_owned(), &help);
        }
        for missed in pid_files_missing(secret) {
            report.note(secret.name.as_str(), missed);
        }
        for consumer in &secret.consumers {
            look_at_consumer(report, &format!("{}: {}", secret.name, consumer.name), consumer);
        }
    }
    for root in &config.search_roots {
        match root.exists() {
            true => report.good("search root", root.display().to_string()),
            false => {
                report.bad("search root", format!("{} is not there", root.display()), "correct search.roots")
            }
        }
    }
}

fn look_at_consumer(report: &mut Report, name: &str, consumer: &Consumer) {
    let copies = consumer.reads.iter().map(|copy| copy.place.path()).filter(|path| !path.is_file());
    let copies = copies.map(|path| {
        let why = format!("its copy {} is not there", path.display());
        (why, "correct `reads` in keyroll.toml, or put the file there".to_owned())
    });
    let programs = missing(consumer).into_iter().map(|one| (format!("{}: {}", one.what, one.why), one.help));
    let faults: Vec<(String, String)> = copies.chain(programs).collect();
    for (why, help) in &faults {
        report.bad(name, why.clone(), help);
    }
    if faults.is_empty() {
        let copies = match consumer.reads.len() {
            1 => "its copy and its programs are there".to_owned(),
            several => format!("its {several} copies and its programs are there"),
        };
        report.good(name, copies);
    }
}
