use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_app::exit::Exit;
use keyroll_app::inventory::{ScanReport, look, search_memory, tell_missed};
use keyroll_app::operator::{Event, FoundShown, InstanceShown, UserShown};
use keyroll_app::problem::Problem;
use keyroll_app::records::reasons::quoted;
use keyroll_trace::Risks;

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
    tell_missed(report.missed, report.refused, &mut context.ui);
    if let Some(name) = next {
        let within: String = args.roots.iter().map(|root| format!(" --in {}", word(root))).collect();
        context.ui.note(format!(
            "which copy wins, and which version each process uses: keyroll why {name}{within}"
        ));
    }
    if !args.roots.is_empty() {
        let roots: String = args.roots.iter().map(|root| format!(" {}", word(root))).collect();
        context.ui.note(format!("scan does not search program source: keyroll leaks{roots} does"));
    }
    Ok(Exit::Done)
}

/// A folder, quoted for a shell.
pub(crate) fn word(folder: &Path) -> String {
    quoted(&keyroll_observe::shown(folder))
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
            some(one.values.iter().map(|value| value.text()).collect(), every),
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
        let is_new = |user: &&UserShown| {
            let was = known(one).and_then(|other| other.used_by.iter().find(|was| was.name == user.name));
            was.is_none_or(|was| was.processes.len() < user.processes.len())
        };
        let users: Vec<UserShown> = worst_first(report, one).iter().filter(is_new).cloned().collect();
        if !users.is_empty() {
            let users = some(named(&users, one.pods_hidden), every);
            context.ui.lines(&format!("{} is also in the memory of {users}", one.secret));
        }
    }
}

/// The users of a secret; where not all are named, those with an old value come first.
fn worst_first(report: &ScanReport, shown: &FoundShown) -> Vec<UserShown> {
    let mut users = shown.used_by.clone();
    if users.len() > NAMES_SHOWN_MAX {
        let behind = |one: &&InstanceShown| one.secret == shown.secret && is_behind(one);
        let behind = || report.instances.iter().filter(behind);
        let pids: BTreeSet<u32> = behind().filter_map(|one| one.pid).collect();
        let pods: BTreeSet<&str> = behind().filter_map(InstanceShown::pod_name).collect();
        users.sort_by_key(|user| {
            let its_pod = user.pods.iter().any(|pod| pods.contains(pod.as_str()));
            !its_pod && !user.processes.iter().any(|pid| pids.contains(pid))
        });
    }
    users
}

/// Who uses a secret. Where pods are not visible, nobody is not known to be nobody.
fn users(named: Vec<String>, pods_hidden: bool, every: bool) -> String {
    if named.is_empty() && pods_hidden { "not visible".to_owned() } else { some(named, every) }
}

/// `api`, `mailer ×4`: how many processes, or pods, each has.
fn named(users: &[UserShown], pods_hidden: bool) -> Vec<String> {
    let mut all: Vec<(&UserShown, usize)> = Vec::new();
    for user in users {
        let processes = user.processes.len() + user.pods.len();
        match all.iter_mut().find(|(known, _)| known.program == user.program) {
            Some((_, count)) => *count += processes,
            None => all.push((user, processes)),
        }
    }
    let shown = all.into_iter().map(|(UserShown { program, keeper, .. }, count)| match (count, &**keeper) {
        (0, "kubernetes") if pods_hidden => program.clone(),
        (0, "kubernetes") => format!("{program} (no pod)"),
        (0, _) => format!("{program} (at rest)"),
        (count, _) => times(program, count),
    });
    shown.collect()
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
        causes(behind, true, context);
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

/// One line for each secret and reason: `openai, version in use unknown for api ×4: its memory was not searched`.
fn of_unknown(all: &[InstanceShown], every: bool) -> Vec<String> {
    let mut alike: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    for one in all {
        if let Some(why) = one.doubt.as_deref().filter(|_| one.verdict == "unknown") {
            *alike.entry((&one.secret, why)).or_default().entry(&one.program).or_default() += 1;
        }
    }
    let line = |((secret, why), programs): ((&str, &str), BTreeMap<&str, usize>)| {
        let programs = programs.into_iter().map(|(name, count)| times(name, count)).collect();
        format!("{secret}, version in use unknown for {}: {why}", some(programs, every))
    };
    alike.into_iter().map(line).collect()
}

fn times(name: &str, count: usize) -> String {
    if count == 1 { name.to_owned() } else { format!("{name} ×{count}") }
}

fn some(all: Vec<String>, every: bool) -> String {
    let most = if every { usize::MAX } else { NAMES_SHOWN_MAX };
    let more = all.len().saturating_sub(most);
    let shown = all.into_iter().take(most).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "-".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
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
        let of = |all: &[UserShown], hidden: bool| users(named(all, hidden), hidden, false);
        assert_eq!([of(&[], true), of(&[], false)], ["not visible", "-"]);
        let all = [user];
        assert_eq!([of(&all, true), of(&all, false)], ["deployment/agent", "deployment/agent (no pod)"]);
    }
}
