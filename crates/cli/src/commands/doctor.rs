mod configured;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_journal::{move_here, reset_witness};
use keyroll_store::{SealedStore, names_unvouched};

use crate::args::DoctorArgs;
use crate::context::Context;
use crate::drafted::FILL_IN;
use crate::exit::Exit;
use crate::harden;
use crate::machine;
use crate::places::{self, Places};
use crate::problem::Problem;
use crate::ui::{Answer, Event, Finding};
use crate::wiring::open;
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
    let key = look_at_sealing(&mut report, &places);
    look_at_journal(&mut report, &places, key);
    look_at_process(&mut report);
    match context.config() {
        Ok(config) => {
            let path = context.config_path();
            report.good(
                "configuration",
                format!("{}: {}", path.display(), counted(config.secrets.len(), "secret")),
            );
            configured::look(&mut report, &config, &path, &places);
        }
        Err(problem) => report.problem("configuration", &problem),
    }
    let bad = report.bad_count() > 0;
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
fn look_at_journal(report: &mut Report, places: &Places, key: bool) {
    if !places.journal().exists() {
        return;
    }
    if !key {
        let detail = "not visible: whether it is this machine's is told with the sealing key".to_owned();
        return report.note("journal's chain", detail);
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
        let (detail, help) = match left_open(&detail) {
            Some(open) if finding == Finding::Bad => (
                format!("{open} is still to be filled in"),
                Some("put in keyroll.toml what is meant in its place, or make that file".to_owned()),
            ),
            Some(_) | None => (detail, help),
        };
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

    fn bad_count(&self) -> usize {
        self.0.iter().filter(|event| matches!(event, Event::Check { finding: Finding::Bad, .. })).count()
    }

    fn problem(&mut self, name: &str, problem: &Problem) {
        let detail = problem.causes.join(": ");
        self.add(Finding::Bad, name, format!("{detail} ({})", problem.code), problem.help.clone());
    }
}

/// What `init` left to a person, where that is what is not there.
fn left_open(detail: &str) -> Option<&str> {
    let mut words = detail.split([' ', ':', ',']);
    words.find(|word| word.rsplit('/').next().is_some_and(|name| name.starts_with(FILL_IN)))
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
    for (path, mode) in places.wide() {
        // The folder above it is closed: it is mended by the next command.
        let detail =
            format!("{} is open to others (mode {mode:04o}); the next command closes it", path.display());
        report.note("state", detail);
    }
    let files = [
        ("journal", places.journal()),
        ("sealed values", places.sealed()),
        ("sealing key", places.sealing_key()),
        ("epoch witness", places.witness()),
    ];
    for (name, file) in files {
        // A key that is gone is told with what it sealed.
        if file != places.sealing_key() || file.exists() || !places.sealed().exists() {
            look_at_private(report, name, &file, false);
        }
    }
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

/// What the sealing key is wrapped with, and whether it opens it and then the sealed values; whether there is a key to
/// go on with.
fn look_at_sealing(report: &mut Report, places: &Places) -> bool {
    if !places.sealing_key().exists() && !places.sealed().exists() {
        return false;
    }
    let before = report.bad_count();
    let name = "sealing key's wrapping";
    let key = match sealing::sealing_key(places).and_then(|key| Ok((sealing::wrapping_of(places)?, key))) {
        Ok((with, key)) if with == "file" => {
            let help = "keyroll secret rewrap --to SOURCE: docs/guides/keep-the-sealing-key.md";
            let detail = "none: whoever reads the file has the key".to_owned();
            report.add(Finding::Note, name, detail, Some(help.to_owned()));
            Some(key)
        }
        Ok((with, key)) => {
            report.good(name, format!("{with}, which opens it"));
            Some(key)
        }
        Err(problem) => {
            report.problem("sealing key", &problem);
            None
        }
    };
    if let Some(key) = key.filter(|_| places.sealed().exists()) {
        match SealedStore::open(&places.state, key) {
            Ok(_) => report.good("sealed values", "the sealing key opens them".to_owned()),
            Err(failure) => report.problem("sealed values", &Problem::from(failure)),
        }
    }
    let opened = report.bad_count() == before;
    if !opened && places.sealed().exists() {
        tell_unreadable(report, places);
    }
    let mut left = places.sealing_key().into_os_string();
    left.push(".new");
    if Path::new(&left).exists() {
        let detail = format!("{} was left by a rewrap that was cut off", Path::new(&left).display());
        report.bad(name, detail, "run keyroll secret rewrap again: it removes it");
    }
    opened
}

/// Which values nobody can read now, that nothing was ended by it, and what comes next.
fn tell_unreadable(report: &mut Report, places: &Places) {
    let names = match names_unvouched(&places.state) {
        Ok(names) if names.is_empty() => return,
        Ok(names) => names.join(", "),
        Err(_) => "all of them; their names are not readable either".to_owned(),
    };
    let detail = format!(
        "not readable as long as that is so: {names}. Their keys go on working, at their issuers and in the files of \
         their consumers; nothing was ended"
    );
    let help = format!(
        "put the sealing.key of this state back into {}, from its backup; if there is none: \
         docs/guides/keep-the-sealing-key.md, \"When it is lost\"",
        places.keys.display()
    );
    let problem = Problem::new("K0623", "read the sealed values").because(detail).help(help);
    report.problem("sealed values", &problem);
}

/// A file that only its owner may use; whether it is one.
fn look_at_private(report: &mut Report, name: &str, file: &Path, must_exist: bool) -> bool {
    let shown = file.display();
    let before = report.bad_count();
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
    report.bad_count() == before
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
