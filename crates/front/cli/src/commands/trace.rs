use std::collections::BTreeMap;

use keyroll_app::exit::Exit;
use keyroll_app::inventory::{TraceReport, look, search_memory, secret, tell_missed};
use keyroll_app::operator::{CopyShown, Event, FoundShown, InstanceShown, ValueShown};
use keyroll_app::problem::Problem;

use super::why::say;
use crate::args::TraceArgs;
use crate::context::Context;
use crate::ui::{Table, causes};

/// Shows every copy of one secret, and every process that uses it with what is known of it. Read-only.
pub(super) fn run(args: &TraceArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut seen = look(&args.roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    // A wrong name is reported before the memory is searched.
    secret(&seen, &args.secret)?;
    search_memory(&mut seen, &args.look.limits(), &mut context.ui);
    let found = secret(&seen, &args.secret)?;
    // A program that reads the events gets the evidence in any case.
    let report = seen.trace(found, true);
    shown(&report, args.evidence, false, context);
    seen.apart_of(&found.name).for_each(|one| say(one, context));
    tell_missed(report.missed, report.refused, &mut context.ui);
    Ok(Exit::Done)
}

/// Shows one secret of a machine or a cluster: its copies, and the processes or containers that use it; with `evidence`, all
/// observations of each.
pub(crate) fn shown(report: &TraceReport, evidence: bool, cluster: bool, context: &mut Context) {
    let TraceReport { found: shown, instances, nobody, .. } = report;
    if context.ui.look.json {
        context.ui.event(Event::Found(shown.clone()));
        instances.iter().for_each(|one| context.ui.event(Event::Instance(one.clone())));
        return;
    }
    let values: Vec<String> = shown.values.iter().map(ValueShown::text).collect();
    context.ui.lines(&format!("{}: {}", shown.secret, values.join(", ")));
    let place = match (cluster, context.ui.host_flag().is_empty()) {
        (true, _) => Place::Cluster,
        (false, true) => Place::Here,
        (false, false) => Place::Host,
    };
    context.ui.lines(&kind(shown, place));
    for user in &shown.used_by {
        if let Some(applies) = &user.applies {
            context.ui.lines(&format!("to apply a change to {}: {applies}", user.name));
        }
    }
    shown.risks.iter().for_each(|risk| context.ui.lines(&format!("  risk: {risk}")));
    let mut table = Table::new(["VALUE", "COPY", "NAME"]);
    // Of equal ones the first.
    let order: BTreeMap<&str, usize> =
        values.iter().enumerate().rev().map(|(at, text)| (text.as_str(), at)).collect();
    let mut copies: Vec<&CopyShown> = shown.copies.iter().collect();
    copies.sort_by_key(|copy| order.get(copy.value.as_str()));
    for copy in copies {
        let form = if copy.form == "plain" { String::new() } else { format!(" ({})", copy.form) };
        let name = copy.name.clone().unwrap_or_else(|| "-".to_owned());
        table.row([format!("{}{form}", copy.value), copy.place.clone(), name]);
    }
    context.ui.data("");
    context.ui.table(&table);
    if instances.is_empty() {
        context.ui.data(&format!("\n{nobody}"));
        return;
    }
    context.ui.data("");
    context.ui.table(&table_of(instances));
    // What speaks for it and what keeps it from being a proof.
    let likely = instances.iter().filter(|one| one.verdict == "likely stale").cloned().collect();
    causes(likely, false, true, context);
    for one in instances.iter().filter(|_| evidence) {
        context.ui.lines(&format!("\n{}: {}", one.who(), one.verdict));
        one.evidence.iter().for_each(|line| context.ui.lines(&format!("  {line}")));
    }
}

/// What a secret was looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    Host,
    Cluster,
}

/// Whether a change concerns several users.
fn kind(shown: &FoundShown, place: Place) -> String {
    match (shown.used_by.len(), place) {
        (0, Place::Cluster) if shown.pods_hidden => "who takes it is not visible".to_owned(),
        (0, Place::Cluster) => "no workload and no pod was seen to take it".to_owned(),
        (0, Place::Here | Place::Host) => "no process was seen to use it".to_owned(),
        // Nothing in it is rotated yet.
        (several, Place::Cluster) if shown.shared => {
            format!("shared by {several}: a change moves all of them")
        }
        (several, _) if shown.shared => {
            format!("shared by {several}: one rotation moves all of them")
        }
        (_, Place::Here) => "local: one consumer".to_owned(),
        (_, Place::Host | Place::Cluster) => "one consumer".to_owned(),
    }
}

/// What is known of each. Neither the environment nor the memory of a container in a cluster is visible.
fn table_of(instances: &[InstanceShown]) -> Table {
    if instances.iter().all(|one| one.pod.is_some()) {
        let mut table = Table::new(["POD", "STARTED", "TAKES IT AS", "NEXT", "VERDICT"]);
        instances.iter().for_each(|one| table.row(pod_row(one)));
        return table;
    }
    let mut table = Table::new(["INSTANCE", "STARTED", "ENVIRONMENT", "MEMORY", "NEXT", "VERDICT"]);
    instances.iter().for_each(|one| table.row(row(one)));
    table
}

fn pod_row(one: &InstanceShown) -> [String; 5] {
    let dash = || "-".to_owned();
    [
        one.number(),
        one.started.clone().unwrap_or_else(dash),
        one.name.clone().unwrap_or_else(dash),
        one.next.clone().unwrap_or_else(|| "not known".to_owned()),
        one.verdict.to_string(),
    ]
}

fn row(one: &InstanceShown) -> [String; 6] {
    let all = |values: &[String]| if values.is_empty() { "-".to_owned() } else { values.join(", ") };
    let memory = match (&*one.memory.searched, one.memory.values.as_slice()) {
        ("whole", values) => all(values),
        (how, []) => how.to_owned(),
        (how, values) => format!("{} ({how})", values.join(", ")),
    };
    [
        format!("{} {}", one.program, one.number()),
        one.started.clone().unwrap_or_else(|| "-".to_owned()),
        one.start.as_ref().map_or_else(|| "not visible".to_owned(), |values| all(values)),
        memory,
        one.next.clone().unwrap_or_else(|| "not known".to_owned()),
        one.verdict.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use keyroll_app::operator::{MemoryShown, UserShown};

    use super::*;

    fn instance(pid: Option<u32>, pod: Option<&str>) -> InstanceShown {
        InstanceShown {
            secret: "anthropic".to_owned(),
            used_by: "deployment/agent".to_owned(),
            keeper: "kubernetes".into(),
            program: "deployment/agent".to_owned(),
            pid,
            pod: pod.map(str::to_owned),
            started: Some("today".to_owned()),
            name: Some("ANTHROPIC_API_KEY".to_owned()),
            start: None,
            memory: MemoryShown { searched: "not searched".into(), values: Vec::new() },
            next: None,
            verdict: "stale".into(),
            cause: String::new(),
            sentence: String::new(),
            applies: None,
            seems: None,
            started_ticks: 0,
            unread_edit: false,
            doubt: None,
            grounds: Vec::new(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn of_pods_the_name_under_which_each_takes_the_secret_is_shown_and_nothing_of_processes() {
        let lines = table_of(&[instance(None, Some("agent-k8w4p/app"))]).lines();
        let [head, row] = lines.as_slice() else { panic!("{lines:?}") };
        let words = |line: &str| {
            line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(words(head), "POD|STARTED|TAKES IT AS|NEXT|VERDICT");
        assert_eq!(words(row), "agent-k8w4p/app|today|ANTHROPIC_API_KEY|not known|stale");
        let mixed = [instance(None, Some("agent-k8w4p/app")), instance(Some(17), None)];
        assert!(table_of(&mixed).lines()[0].contains("MEMORY"));
    }

    #[test]
    fn of_a_cluster_no_processes_are_told() {
        let shown = FoundShown {
            secret: "anthropic".to_owned(),
            managed: false,
            values: Vec::new(),
            copies: Vec::new(),
            shared: false,
            used_by: Vec::new(),
            pods_hidden: false,
            risk: String::new(),
            risks: Vec::new(),
        };
        assert!(!kind(&shown, Place::Cluster).contains("process"));
        assert_eq!(kind(&shown, Place::Host), "no process was seen to use it");
        let hidden = FoundShown { pods_hidden: true, ..shown.clone() };
        assert_eq!(kind(&hidden, Place::Cluster), "who takes it is not visible");
        let user = UserShown {
            keeper: "kubernetes".into(),
            name: "deployment/agent".to_owned(),
            program: "deployment/agent".to_owned(),
            processes: Vec::new(),
            pods: Vec::new(),
            applies: None,
        };
        let shared = FoundShown { shared: true, used_by: vec![user.clone(), user], ..shown };
        assert_eq!(kind(&shared, Place::Cluster), "shared by 2: a change moves all of them");
        assert_eq!(kind(&shared, Place::Host), "shared by 2: one rotation moves all of them");
    }
}
