use keyroll_app::exit::Exit;
use keyroll_app::hosts::{Chosen, chosen};
use keyroll_app::incidents::{Begun, Opened, Opening, of_leaks, open};
use keyroll_app::leaks::{Acceptance, LeakShown, Leaks, LeaksRequest, scan};
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_scanner::Report;

use super::incident;
use super::inspect_hosts::not_searched;
use crate::args::{LeaksArgs, LeaksFormat};
use crate::context::Context;
use crate::leaks::{annotations, document, lines, next, sarif, source, table};

/// How many items that were not scanned are listed one by one.
const SKIPPED_SHOWN_MAX: usize = 20;

/// Scans for leaked secrets: stored values, and texts that look like a credential. Changes nothing but the baseline,
/// with `--accept`.
pub(super) fn run(args: &LeaksArgs, context: &mut Context) -> Result<Exit, Problem> {
    let acceptance = |reason| Acceptance { reason, only: &args.only, until: args.until };
    let request = LeaksRequest {
        source: source(args),
        hosts: hosts(args, context)?,
        archives: !args.no_archives,
        fingerprints: args.fingerprints.as_deref(),
        known: args.known,
        forms: args.forms,
        rules: args.rules.as_deref(),
        verify: args.verify.then_some(args.issuer.as_slice()),
        captures: args.alert,
        strict: args.strict,
        baseline: args.baseline.as_deref(),
        accept: args.accept.as_deref().map(acceptance),
    };
    let mut leaks = scan(&request, &context.installation, &mut context.ui)?;
    match &leaks.accepted {
        Some(what) => {
            skipped(&leaks.report, SKIPPED_SHOWN_MAX, context);
            let with = "remove its entries, or the file; it belongs into the repository of the scanned files";
            context.ui.event(Event::Undo { what: what.clone(), with: with.to_owned() });
        }
        None => show(args, &leaks, context),
    }
    if let Some(line) = leaks.sum.mostly_unscanned() {
        context.ui.note(line);
    }
    for (at, (host, problem)) in std::mem::take(&mut leaks.failed).into_iter().enumerate() {
        not_searched(host, problem, at == 0, context);
    }
    if args.alert {
        return alert(leaks, context);
    }
    leaks.end()
}

/// The machines that are named; none if only this one is meant.
fn hosts(args: &LeaksArgs, context: &mut Context) -> Result<Option<Chosen>, Problem> {
    if !args.hosts.any() {
        return Ok(None);
    }
    let of_folders =
        args.pid.is_none() && args.image.is_none() && args.container.is_none() && args.journal.is_none();
    if of_folders && args.paths.is_empty() {
        return Err(Problem::new(Code::UsageWrong, "scan hosts for leaked secrets")
            .because("no folder is named, and a host has none in which this command was started")
            .help("name folders as they are called there: keyroll leaks --host NAME /srv /var/log")
            .exits(Exit::Usage));
    }
    let named = &args.hosts.named;
    let chosen = chosen(named, args.hosts.all_hosts, &context.installation)?;
    let help = "keyroll scan --host NAME shows the secrets of a cluster";
    chosen.refuse_clusters(named, "scan hosts for leaked secrets", help)?;
    let clusters: Vec<&str> = chosen.clusters().into_iter().map(|(name, _)| name).collect();
    if !clusters.is_empty() {
        let all = clusters.join(", ");
        context.ui.note(format!("not searched, for a cluster has no folders: {all}; {help}"));
    }
    Ok(Some(chosen))
}

/// Opens an incident for each open finding, and begins the emergencies that may begin by themselves.
fn alert(leaks: Leaks, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    let alerts = of_leaks(&leaks, &config);
    let found = leaks.end();
    if alerts.is_empty() {
        context.ui.note("no incident was opened: nothing was found beside the copies that consumers read");
        return found;
    }
    let (secret, alerted_unix_ms) = (None, None);
    let opening = Opening { source: "leaks", alerts, secret, alerted_unix_ms, acts: true };
    let Opened { incidents: rows, left_out } = open(opening, &context.installation, &mut context.ui)?;
    incident::show(rows.clone(), context);
    match (incident::acted(&rows, context), left_out.map_or(found, Err)) {
        (Begun::Nothing, found) => found,
        // The emergency failed, or waits: that is what somebody must know.
        (Begun::Ended(exit), Ok(_)) => Ok(exit),
        (Begun::Ended(_), Err(problem)) => Err(problem),
    }
}

fn show(args: &LeaksArgs, leaks: &Leaks, context: &mut Context) {
    let Leaks { report, sum, kept, .. } = leaks;
    // A source that was not read to its end is not reported as free of findings. The sum of hosts names those that were.
    let summed =
        sum.whole || !report.findings.is_empty() || sum.hosts.as_ref().is_some_and(|all| !all.is_empty());
    if context.ui.look.json {
        for one in report.findings.iter().map(LeakShown::of) {
            context.ui.of_host(one.place.host.clone());
            context.ui.event(Event::Leak(Box::new(one)));
        }
        context.ui.of_host(None);
        skipped(report, usize::MAX, context);
        if summed {
            context.ui.event(Event::Leaks(sum.clone()));
        }
        return;
    }
    let text = match args.format {
        LeaksFormat::Table => {
            if let Some(table) = table(report, args.all, sum.identities) {
                context.ui.table(&table);
            }
            None
        }
        LeaksFormat::Json => Some(document(report, sum)),
        LeaksFormat::Jsonl => Some(lines(report)),
        LeaksFormat::Sarif => Some(sarif(report, sum)),
        LeaksFormat::Github => Some(annotations(report, sum.identities)),
    };
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        context.ui.data(text.trim_end_matches('\n'));
    }
    let count = if args.all { usize::MAX } else { SKIPPED_SHOWN_MAX };
    skipped(report, count, context);
    if summed {
        context.ui.event(Event::Leaks(sum.clone()));
    }
    if args.format == LeaksFormat::Table {
        let lines = next(report, kept, args, sum.identities);
        lines.into_iter().for_each(|line| context.ui.note(line));
    }
}

fn skipped(report: &Report, count: usize, context: &mut Context) {
    for one in report.skipped.iter().take(count) {
        context.ui.event(Event::NotVisible { what: one.what.clone(), why: one.why.clone() });
    }
    let more = report.skipped.len().saturating_sub(count) as u64 + report.skipped_left_out;
    if more > 0 {
        context.ui.note(format!("and {more} more that are not visible; --all names them"));
    }
}
