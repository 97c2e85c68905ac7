use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyroll_app::exit::Exit;
use keyroll_app::inventory::{LabelsHold, ScanReport, look, search_memory, tell_missed};
use keyroll_app::operator::{Event, FoundShown, InstanceShown, UserShown};
use keyroll_app::problem::Problem;
use keyroll_app::redact;
use keyroll_app::shell_words::quoted;
use keyroll_trace::{ManagedBy, Risks};

use super::why::say;
use crate::args::ScanArgs;
use crate::context::Context;
use crate::ui::{Table, causes, summed};

/// How many names are shown in one cell.
const NAMES_SHOWN_MAX: usize = 3;

/// The row up to which unused secrets are listed; used ones are always listed.
const ROWS_MAX: usize = 20;

/// Lists the secrets on this machine, the processes that use them, and what is not visible. Read-only.
pub(super) fn run(args: &ScanArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut seen = look(&args.roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    let mut risks = Risks::default();
    let mut report = seen.scan_with(&mut risks);
    secrets(&report, args.all, false, context);
    if search_memory(&mut seen, &args.look.limits(), &mut context.ui) {
        let before = std::mem::replace(&mut report, seen.scan_with(&mut risks));
        in_memory(&before.found, &report, args.all, context);
    }
    let next = processes(&report, args.all, context);
    seen.apart().for_each(|one| say(one, context));
    tell_missed(report.missed, report.refused, &mut context.ui);
    if let Some(name) = next {
        let within = words(&args.roots, "--in ");
        context.ui.note(format!(
            "which copy wins, and which version each process uses: keyroll why {name}{within}"
        ));
    }
    if !args.roots.is_empty() {
        let roots = words(&args.roots, "");
        context.ui.note(format!("scan does not search program source: keyroll leaks{roots} does"));
    }
    if let Some(note) = how_long(seen.labels).filter(|_| !report.found.is_empty()) {
        context.ui.note(note);
    }
    Ok(Exit::Done)
}

/// How long a label may be quoted, where that is not for good.
fn how_long(labels: LabelsHold) -> Option<&'static str> {
    match labels {
        LabelsHold::Always => None,
        LabelsHold::UntilBoot => Some(
            "the digits of a value stay the same until the next boot; with a store (keyroll secret add) they stay for \
             good",
        ),
        LabelsHold::ThisRun => Some(
            "the digits of a value are other ones in each run: no older process of this user is readable; with a store \
             (keyroll secret add) they stay the same",
        ),
    }
}

/// Folders as words of a command that is shown, quoted for a shell. One whose path holds a value is not shown as it is: then
/// the operator fills it in.
pub(crate) fn words(folders: &[PathBuf], before: &str) -> String {
    let word = |folder: &PathBuf| {
        let word = quoted(&keyroll_observe::shown(folder));
        if redact::pass(&word) == word { word } else { "FOLDER".to_owned() }
    };
    folders.iter().map(|folder| format!(" {before}{}", word(folder))).collect()
}

/// Shows each secret of a machine or a cluster with its users and risks. With `every`, nothing is summed up.
pub(crate) fn secrets(report: &ScanReport, every: bool, cluster: bool, context: &mut Context) {
    let all = &report.found;
    if context.ui.look.json {
        all.iter().for_each(|one| context.ui.event(Event::Found(one.clone())));
        return;
    }
    if all.is_empty() {
        return context.ui.data("no secret was found");
    }
    let used = all.iter().filter(|one| one.managed || !one.used_by.is_empty()).count();
    let rows = if every { all.len() } else { all.len().min(used.max(ROWS_MAX)) };
    let mut table = Table::new(["SECRET", "VALUES", "COPIES", "USED BY", "RISK"]);
    for one in all.iter().take(rows) {
        table.row([
            one.secret.clone(),
            some(one.values.iter().map(|value| Named::counted(value.text())).collect(), every),
            one.copies.len().to_string(),
            users(named(&worst_first(report, one), one.pods_hidden), one.pods_hidden, every),
            one.risk.clone(),
        ]);
    }
    context.ui.table(&table);
    let more = all.len() - rows;
    if more > 0 {
        let flags = format!("--all{}", context.ui.host_flag());
        let none = if cluster { "that no pod was seen to take" } else { "that no process was seen to use" };
        context.ui.note(format!("and {more} more {none}: keyroll scan {flags}"));
    }
}

/// Shows what the memory search adds to the first table: further processes that hold a value.
fn in_memory(before: &[FoundShown], report: &ScanReport, every: bool, context: &mut Context) {
    let before: BTreeMap<&str, &FoundShown> = before.iter().map(|one| (one.secret.as_str(), one)).collect();
    let known = |one: &FoundShown| before.get(one.secret.as_str()).copied();
    for one in report.found.iter().filter(|one| known(one) != Some(*one)) {
        if context.ui.look.json {
            context.ui.event(Event::Found(one.clone()));
            continue;
        }
        let is_new = |user: &UserShown| {
            let was = known(one).and_then(|other| other.used_by.iter().find(|was| was.name == user.name));
            was.is_none_or(|was| was.processes.len() < user.processes.len())
        };
        let mut users = worst_first(report, one);
        users.retain(|(user, _)| is_new(user));
        if !users.is_empty() {
            let users = some(named(&users, one.pods_hidden), every);
            context.ui.lines(&format!("{} is also in the memory of {users}", one.secret));
        }
    }
}

/// The users of a secret, those with an old value first, then those that no manager keeps: each of these is named, also
/// where the others are counted.
fn worst_first(report: &ScanReport, shown: &FoundShown) -> Vec<(UserShown, bool)> {
    let behind = |one: &&InstanceShown| one.secret == shown.secret && is_behind(one);
    let behind = || report.instances.iter().filter(behind);
    let pids: BTreeSet<u32> = behind().filter_map(|one| one.pid).collect();
    let pods: BTreeSet<&str> = behind().filter_map(InstanceShown::pod_name).collect();
    let stale = |user: &UserShown| {
        user.processes.iter().any(|pid| pids.contains(pid))
            || user.pods.iter().any(|pod| pods.contains(pod.as_str()))
    };
    let mut users: Vec<(bool, bool, UserShown)> = Vec::new();
    for user in &shown.used_by {
        users.push((stale(user), runs_alone(&user.keeper, &user.program), user.clone()));
    }
    users.sort_by_key(|(stale, alone, _)| (!stale, !alone));
    users.into_iter().map(|(stale, alone, user)| (user, stale || alone)).collect()
}

/// Whether no manager keeps a program, and so nobody may know of it. A shell only passes a value on.
fn runs_alone(keeper: &str, program: &str) -> bool {
    let unkept = [ManagedBy::Session.name(), ManagedBy::Unmanaged.name()].contains(&keeper);
    unkept && !keyroll_observe::is_shell(Path::new(program))
}

/// Who uses a secret. Where pods are not visible, nobody is not known to be nobody.
fn users(named: Vec<Named>, pods_hidden: bool, every: bool) -> String {
    if named.is_empty() && pods_hidden { "not visible".to_owned() } else { some(named, every) }
}

/// `api`, `mailer ×4`: how many processes, or pods, each has.
fn named(users: &[(UserShown, bool)], pods_hidden: bool) -> Vec<Named> {
    let mut all: Vec<(&UserShown, usize, bool)> = Vec::new();
    for (user, always) in users {
        let processes = user.processes.len() + user.pods.len();
        match all.iter_mut().find(|(known, ..)| known.program == user.program) {
            Some((_, count, any)) => (*count, *any) = (*count + processes, *any || *always),
            None => all.push((user, processes, *always)),
        }
    }
    let shown = all.into_iter().map(|(UserShown { program, keeper, .. }, count, always)| {
        let text = match (count, &**keeper) {
            (0, "kubernetes") if pods_hidden => program.clone(),
            (0, "kubernetes") => format!("{program} (no pod)"),
            (0, _) => format!("{program} (at rest)"),
            (count, _) => times(program, count),
        };
        Named { text, always }
    });
    shown.collect()
}

/// A name in a list.
struct Named {
    text: String,
    /// It is named, also where others are only counted.
    always: bool,
}

impl Named {
    fn counted(text: String) -> Self {
        Self { text, always: false }
    }
}

/// It uses, or probably uses, a value that its source no longer has.
fn is_behind(one: &InstanceShown) -> bool {
    one.verdict.ends_with("stale")
}

/// Shows which version each process uses, and the encrypted stores. Returns the secret to suggest for `why`.
pub(crate) fn processes(report: &ScanReport, every: bool, context: &mut Context) -> Option<String> {
    let next = instances(&report.instances, every, context);
    report.stores.iter().for_each(|store| context.ui.event(Event::Store(store.clone())));
    let first = || report.found.first().map(|one| one.secret.clone());
    next.or_else(|| report.differs.clone()).or_else(first)
}

/// Shows each process with a stale value or several values, in one line; then those whose version is unknown, with the
/// reason. Returns the secret to suggest for `why`.
fn instances(all: &[InstanceShown], every: bool, context: &mut Context) -> Option<String> {
    if context.ui.look.json {
        all.iter().for_each(|one| context.ui.event(Event::Instance(one.clone())));
        return None;
    }
    let sums = summed(all);
    let unknown = of_unknown(all, every);
    // Whoever edited a copy to no effect believes that the process uses it by now.
    let urgent = |one: &&InstanceShown| {
        matches!(&*one.verdict, "stale" | "likely stale" | "mixed")
            || one.verdict == "current" && one.unread_edit
    };
    let behind: Vec<InstanceShown> = all.iter().filter(urgent).cloned().collect();
    let first = behind.iter().find(|one| is_behind(one)).or(behind.first());
    let first = first.map(|one| one.secret.clone());
    if !behind.is_empty() {
        context.ui.data("");
        causes(behind, true, every, context);
    }
    let rows = if every { unknown.len() } else { unknown.len().min(ROWS_MAX) };
    unknown.iter().take(rows).for_each(|line| context.ui.lines(line));
    if unknown.len() > rows {
        let more = unknown.len() - rows;
        let flags = format!("--all{}", context.ui.host_flag());
        context.ui.note(format!("and {more} more with an unknown version: keyroll scan {flags}"));
    }
    if !sums.is_empty() {
        let processes = if all.iter().all(|one| one.pod.is_some()) { "containers" } else { "processes" };
        context.ui.note(format!("{processes} that use these secrets: {sums}"));
    }
    first
}

/// How many instances of each program, apart for those that are always named.
type Counted<'a> = BTreeMap<(bool, &'a str), usize>;

/// One line for each secret and reason: `openai, version in use unknown for api ×4: its memory was not searched`.
fn of_unknown(all: &[InstanceShown], every: bool) -> Vec<String> {
    let mut alike: BTreeMap<(&str, &str), Counted<'_>> = BTreeMap::new();
    for one in all {
        if let Some(why) = one.doubt.as_deref().filter(|_| one.verdict == "unknown") {
            let counted = !runs_alone(&one.keeper, &one.program);
            *alike.entry((&one.secret, why)).or_default().entry((counted, &one.program)).or_default() += 1;
        }
    }
    let line = |((secret, why), programs): ((&str, &str), Counted<'_>)| {
        let programs = programs.into_iter();
        let named =
            programs.map(|((counted, name), count)| Named { text: times(name, count), always: !counted });
        format!("{secret}, version in use unknown for {}: {why}", some(named.collect(), every))
    };
    alike.into_iter().map(line).collect()
}

fn times(name: &str, count: usize) -> String {
    if count == 1 { name.to_owned() } else { format!("{name} ×{count}") }
}

/// The names of a list, those that are always named first; how many more there are, unless all are wanted. A single one is
/// named, not counted.
fn some(all: Vec<Named>, every: bool) -> String {
    let always = all.iter().take_while(|one| one.always).count();
    let most = always.max(NAMES_SHOWN_MAX);
    let most = if every || all.len() == most + 1 { all.len() } else { most };
    let more = all.len().saturating_sub(most);
    let shown: Vec<String> = all.into_iter().take(most).map(|one| one.text).collect();
    match (shown.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_pods_are_hidden_nobody_is_not_said_to_use_it_and_no_workload_to_have_no_pod() {
        let user = UserShown {
            keeper: "kubernetes".into(),
            name: "deployment/agent".to_owned(),
            program: "deployment/agent".to_owned(),
            processes: Vec::new(),
            pods: Vec::new(),
            applies: None,
        };
        let of = |all: &[(UserShown, bool)], hidden: bool| users(named(all, hidden), hidden, false);
        assert_eq!([of(&[], true), of(&[], false)], ["not visible", "-"]);
        let all = [(user, false)];
        assert_eq!([of(&all, true), of(&all, false)], ["deployment/agent", "deployment/agent (no pod)"]);
    }

    fn user(program: &str, keeper: &'static str, pid: u32) -> UserShown {
        UserShown {
            keeper: keeper.into(),
            name: program.to_owned(),
            program: program.to_owned(),
            processes: vec![pid],
            pods: Vec::new(),
            applies: None,
        }
    }

    #[test]
    fn a_process_that_nobody_keeps_is_named_however_many_services_there_are() {
        let services = (1..=6).map(|pid| user(&format!("service-{pid}"), "systemd", pid));
        let alone = (7..=10).map(|pid| user(&format!("worker.py in /srv/{pid}"), "not managed", pid));
        let shell = user("bash", "a session", 11);
        let shown = FoundShown {
            secret: "openai".to_owned(),
            managed: false,
            values: Vec::new(),
            copies: Vec::new(),
            used_by: services.chain([shell]).chain(alone).collect(),
            shared: true,
            risks: Vec::new(),
            pods_hidden: false,
            risk: String::new(),
        };
        let cell = |every| users(named(&worst_first(&ScanReport::default(), &shown), false), false, every);
        assert_eq!(
            cell(false),
            "worker.py in /srv/7, worker.py in /srv/8, worker.py in /srv/9, worker.py in /srv/10 and 7 more"
        );
        assert!(!cell(true).contains(" more") && cell(true).ends_with("bash"), "{}", cell(true));
    }

    #[test]
    fn one_name_more_is_named_and_not_counted() {
        let cell =
            |count: usize| some((0..count).map(|at| Named::counted(format!("n{at}"))).collect(), false);
        assert_eq!([cell(3), cell(4), cell(5)], ["n0, n1, n2", "n0, n1, n2, n3", "n0, n1, n2 and 2 more"]);
    }
}
