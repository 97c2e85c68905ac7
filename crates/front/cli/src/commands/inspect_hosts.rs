//! `scan`, `why` and `trace` on hosts that are named: each host for itself, then what several of them have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use keyroll_app::exit::Exit;
use keyroll_app::hosts::{HostCall, HostReport, HostSeen, SharedShown, chosen, look_at, shared};
use keyroll_app::inventory::LookLimits;
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::shell_words::quoted;

use super::{scan, trace, why};
use crate::args::{HostArgs, ScanArgs, TraceArgs, WhyArgs};
use crate::context::Context;
use crate::ui::Table;

/// The name of this machine among hosts.
const HERE: &str = "local";

/// What is asked about the hosts.
struct Asked<'a> {
    hosts: &'a HostArgs,
    call: HostCall,
    roots: &'a [PathBuf],
    limits: LookLimits,
    /// Everything is listed, also secrets that no process was seen to use.
    all: bool,
}

/// Lists the secrets on each host.
pub(super) fn scan_hosts(args: &ScanArgs, context: &mut Context) -> Result<Exit, Problem> {
    let ScanArgs { roots, all, hosts, look } = args;
    let asked = Asked { hosts, call: HostCall::Scan, roots, limits: look.limits(), all: *all };
    run(&asked, context)
}

/// Shows which copy wins and which version each process uses, on each host.
pub(super) fn explain_hosts(args: &WhyArgs, context: &mut Context) -> Result<Exit, Problem> {
    let WhyArgs { what, roots, hosts, look } = args;
    let call = HostCall::Why { what: what.clone() };
    run(&Asked { hosts, call, roots, limits: look.limits(), all: false }, context)
}

/// Shows every copy of one secret and every process that uses it, on each host.
pub(super) fn trace_hosts(args: &TraceArgs, context: &mut Context) -> Result<Exit, Problem> {
    let TraceArgs { secret, evidence, roots, hosts, look } = args;
    // A program that reads the events gets the evidence in any case.
    let evidence = *evidence || context.ui.look.json;
    let call = HostCall::Trace { secret: secret.clone(), evidence };
    run(&Asked { hosts, call, roots, limits: look.limits(), all: false }, context)
}

/// Shows every host that could be searched. The first one that could not is the problem that the command ends with.
fn run(asked: &Asked<'_>, context: &mut Context) -> Result<Exit, Problem> {
    let Asked { hosts, call, roots, limits, .. } = asked;
    let Context { installation, ui, .. } = &mut *context;
    let chosen = chosen(&hosts.named, hosts.all_hosts, installation)?;
    let looked = look_at(&chosen, call, roots, limits, installation, ui)?;
    let (mut seen, mut failed): (Vec<HostSeen>, Vec<(String, Problem)>) = (Vec::new(), Vec::new());
    for (host, result) in looked {
        match result {
            Ok(one) => seen.push(one),
            Err(problem) => failed.push((host, problem)),
        }
    }
    for (at, one) in seen.iter().enumerate() {
        context.ui.of_host(Some(one.host.clone()));
        if !context.ui.look.json {
            let before = if at == 0 { "" } else { "\n" };
            context.ui.data(&format!("{before}on {}:", one.host));
        }
        show(one, asked, context);
        context.ui.of_host(None);
    }
    in_common(&seen, context);
    let first = failed.first().map(|(_, problem)| problem.clone());
    // Of the only host, the error with which the command ends says all of it.
    let alone = seen.is_empty() && failed.len() == 1 && !context.ui.look.json;
    for (at, (host, problem)) in failed.into_iter().enumerate().filter(|_| !alone) {
        not_searched(host, problem, at == 0, context);
    }
    first.map_or(Ok(Exit::Done), Err)
}

/// One host, by the same tables as this machine alone.
fn show(seen: &HostSeen, asked: &Asked<'_>, context: &mut Context) {
    seen.scans.iter().for_each(|scan| context.ui.event(Event::Scan(scan.clone())));
    match &seen.report {
        HostReport::Scan(report) => {
            scan::secrets(report, asked.all, seen.cluster, context);
            if let Some(name) = scan::processes(report, asked.all, context) {
                let folders: &[PathBuf] = if seen.cluster { &[] } else { asked.roots };
                let within = scan::words(folders, "--in ");
                let host = context.ui.host_flag();
                let each = if seen.cluster { "container" } else { "process" };
                context.ui.note(format!(
                    "which copy wins, and which version each {each} uses: keyroll why {}{within}{host}",
                    quoted(&name)
                ));
            }
        }
        HostReport::Why(reports) if reports.is_empty() => why::say("nothing here has this name", context),
        HostReport::Why(reports) => {
            // Which secret is meant is clear only if the operator wrote its name.
            let named = |secret: &String| matches!(&asked.call, HostCall::Why { what } if what == secret);
            let of_several = secrets(&seen.report).iter().any(|secret| !named(secret));
            why::shown(reports.clone(), of_several, context);
        }
        HostReport::Trace(Some(report)) => {
            let evidence = matches!(asked.call, HostCall::Trace { evidence: true, .. });
            trace::shown(report, evidence, seen.cluster, context);
        }
        HostReport::Trace(None) => why::say("no secret here has this name", context),
        // `init` writes what is in it.
        HostReport::Draft(_) => {}
    }
    not_visible(seen, context);
}

/// Shows what could not be inspected on a host, and how to see more there.
pub(super) fn not_visible(seen: &HostSeen, context: &mut Context) {
    for missed in &seen.missed {
        context.ui.event(Event::NotVisible { what: missed.what.clone(), why: missed.why.clone() });
    }
    if seen.refused {
        context.ui.note(format!("to see more: {}", more_of(seen)));
    }
}

/// What shows more of a host or a cluster where rights are missing.
fn more_of(seen: &HostSeen) -> String {
    let host = &seen.host;
    match (seen.cluster, host == HERE) {
        // Each refusal names its rule.
        (true, _) => "add the rules that are named above to the Role of the login of keyroll; \
                      docs/guides/kubernetes.md has the whole Role"
            .to_owned(),
        (false, true) => "the same command with sudo".to_owned(),
        (false, false) => format!("sudo = true in [hosts.{host}]; if it is set: keyroll hosts check {host}"),
    }
}

/// The secrets that a report is about; none if it is about all of them.
fn secrets(report: &HostReport) -> BTreeSet<String> {
    match report {
        HostReport::Scan(_) | HostReport::Draft(_) | HostReport::Trace(None) => BTreeSet::new(),
        HostReport::Trace(Some(report)) => BTreeSet::from([report.found.secret.clone()]),
        HostReport::Why(reports) => {
            let instances = reports.iter().flat_map(|report| &report.instances).map(|one| &one.secret);
            let chains = reports.iter().flat_map(|report| &report.chains).map(|one| &one.secret);
            instances.chain(chains).cloned().collect()
        }
    }
}

/// Shows the values that are on several hosts, of those that were asked about.
fn in_common(seen: &[HostSeen], context: &mut Context) {
    // Of a scan, all.
    let about: BTreeMap<&str, Option<BTreeSet<String>>> = seen
        .iter()
        .map(|one| {
            let secrets = match &one.report {
                HostReport::Scan(_) | HostReport::Draft(_) => None,
                HostReport::Why(_) | HostReport::Trace(_) => Some(secrets(&one.report)),
            };
            (one.host.as_str(), secrets)
        })
        .collect();
    let asked = |(host, secret): &(String, String)| {
        about.get(host.as_str()).is_some_and(|all| all.as_ref().is_none_or(|all| all.contains(secret)))
    };
    let all: Vec<SharedShown> =
        shared(seen).into_iter().filter(|value| value.secrets.iter().any(asked)).collect();
    if context.ui.look.json {
        return all.into_iter().for_each(|value| context.ui.event(Event::SameValue(value)));
    }
    if all.is_empty() {
        return;
    }
    context.ui.data("\nthe same value on several hosts:");
    let mut table = Table::new(["VALUE", "WHERE"]);
    for SharedShown { label, secrets } in all {
        table.row([label, wheres(&secrets)]);
    }
    context.ui.table(&table);
}

/// `openai on web-1, web-2; chat on db-1`.
fn wheres(secrets: &[(String, String)]) -> String {
    let mut names: Vec<(&str, Vec<&str>)> = Vec::new();
    for (host, secret) in secrets {
        match names.iter_mut().find(|(name, _)| name == secret) {
            Some((_, hosts)) => hosts.push(host.as_str()),
            None => names.push((secret.as_str(), vec![host.as_str()])),
        }
    }
    let of = |(name, hosts): (&str, Vec<&str>)| format!("{name} on {}", hosts.join(", "));
    names.into_iter().map(of).collect::<Vec<_>>().join("; ")
}

/// Shows that a host was not searched, and what to do. The first problem is shown once more, whole, at the end.
pub(super) fn not_searched(host: String, problem: Problem, first: bool, context: &mut Context) {
    context.ui.of_host(context.ui.look.json.then(|| host.clone()));
    let help = problem.help.filter(|_| !first);
    let why = format!("{}: {}", problem.code.as_str(), problem.causes.join(": "));
    context.ui.event(Event::NotVisible { what: host.clone(), why });
    if let Some(help) = help {
        context.ui.note(format!("help for {host}: {help}"));
    }
    context.ui.of_host(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_a_cluster_the_rights_of_its_login_are_asked_and_no_sudo() {
        let seen = |host: &str, cluster: bool| HostSeen {
            host: host.to_owned(),
            cluster,
            scans: Vec::new(),
            prints: BTreeMap::new(),
            named: BTreeMap::new(),
            report: HostReport::Trace(None),
            missed: Vec::new(),
            refused: true,
        };
        assert_eq!(more_of(&seen(HERE, false)), "the same command with sudo");
        assert!(more_of(&seen("web-1", false)).starts_with("sudo = true in [hosts.web-1]"));
        let of_cluster = more_of(&seen("prod", true));
        assert!(of_cluster.contains("Role") && !of_cluster.contains("sudo"), "{of_cluster}");
    }

    #[test]
    fn a_value_on_several_hosts_is_told_by_its_names() {
        let pair = |host: &str, secret: &str| (host.to_owned(), secret.to_owned());
        let all = [pair("web-1", "openai"), pair("db-1", "chat"), pair("web-2", "openai")];
        assert_eq!(wheres(&all), "openai on web-1, web-2; chat on db-1");
    }
}
