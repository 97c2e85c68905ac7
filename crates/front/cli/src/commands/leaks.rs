use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Zoned;
use keyroll_app::exit::Exit;
use keyroll_app::fingerprint_file;
use keyroll_app::inventory::run_key;
use keyroll_app::leaks::{
    Acceptance, Askers, BaselineFile, Identities, LeakShown, LeaksShown, OfStore, Source, ask, ignored,
    is_ignored, no_identities, of_store, only, theirs, unread_lines,
};
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Report, Scan, Skipped};

use crate::args::{LeaksArgs, LeaksFormat};
use crate::context::Context;
use crate::leaks::{annotations, document, lines, next, sarif, source, table};

/// How often the progress of a scan is shown.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// How many items that were not scanned are listed one by one.
const SKIPPED_SHOWN_MAX: usize = 20;

/// Scans for leaked secrets: stored values, and texts that look like a credential. Changes nothing but the baseline,
/// with `--accept`.
pub(super) fn run(args: &LeaksArgs, context: &mut Context) -> Result<Exit, Problem> {
    let began = Instant::now();
    let mut file = BaselineFile::open(args.baseline.as_deref(), &args.paths, args.accept.is_some())?;
    let askers = args.verify.then(|| Askers::of(&args.issuer)).transpose()?;
    let Looking { mut detector, identities, kept, unused } = looking(args, &file, context)?;
    if let Some(askers) = &askers {
        detector = detector.capturing(askers.rules());
    }
    let (mut report, late) = scan(args, &detector, file.baseline(), context)?;
    if let Some(askers) = &askers {
        ask(askers, detector.take_captured(), &mut report, &mut context.ui)?;
    }
    let late = late.or_else(|| nothing_read(args, &report)).or_else(|| not_all_read(args, &report));
    if args.accept.is_some() && late.is_none() {
        report.skipped.splice(0..0, unused);
        return accept(args, &mut file, &detector, &report, context);
    }
    let mut sum = LeaksShown::of(&report, identities, args.verify, began.elapsed().as_secs_f64());
    sum.whole = late.is_none();
    sum.rules_not_used = unused.len();
    // In every format, unused rules are listed with the items that were not scanned.
    report.skipped.splice(0..0, unused);
    show(args, &report, &sum, &kept, context);
    if let Some(failed) = late {
        return Err(failed);
    }
    if sum.open > 0 || sum.left_out > 0 {
        return Ok(Exit::Findings);
    }
    match report.unread {
        0 => Ok(Exit::Done),
        count => Err(unread(count)),
    }
}

/// The problem that nothing could be scanned. Not with `--staged`, which counts the files that had to be scanned; and
/// not if there are findings.
fn nothing_read(args: &LeaksArgs, report: &Report) -> Option<Problem> {
    let nothing = report.texts == 0 && report.findings.is_empty();
    (nothing && !report.skipped.is_empty() && !args.staged).then(|| {
        Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets")
            .because("nothing of the named paths could be scanned")
    })
}

/// With `--accept`: the problem that files which must be scanned were not. Then no finding is accepted.
fn not_all_read(args: &LeaksArgs, report: &Report) -> Option<Problem> {
    (args.accept.is_some() && report.unread > 0).then(|| unread(report.unread))
}

/// A commit hook depends on the exit code, so a file that was not scanned must not pass.
fn unread(count: u64) -> Problem {
    let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    Problem::new(Code::SearchPathUnreadable, "scan the staged files")
        .because(format!(
            "{files} could not be scanned, or only in part; each is named above with the reason"
        ))
        .help(
            "unstage it: git restore --staged PATH; or, if it need not be scanned, name it in .keyrollignore",
        )
}

/// What the scan searches for, and which key makes the findings' identities.
struct Looking {
    detector: Detector,
    identities: Identities,
    /// The secrets that the store of this machine keeps.
    kept: BTreeSet<String>,
    /// The rules that are not used, and why.
    unused: Vec<Skipped>,
}

fn looking(args: &LeaksArgs, file: &BaselineFile, context: &mut Context) -> Result<Looking, Problem> {
    let prints = args.fingerprints.as_deref().map(fingerprint_file::read).transpose()?;
    let OfStore { known, secrets: kept, identity: of_store } =
        of_store(&context.installation, &mut context.ui)?;
    let known = KnownValues { prints, ..known };
    if known.needles.is_none() && known.prints.is_none() && args.known {
        return Err(Problem::new(Code::SearchTargetUnknown, "search for keyroll's own secrets")
            .because("there is no store here, so no secret is known")
            .help(
                "name the folder with --state, or a file with --fingerprints, or omit --known to search for \
             everything that looks like a credential",
            ));
    }
    let only = only(&args.only)?;
    // Before there was a baseline, the identities were made with the store's key.
    let shown_by = file.baseline().filter(|_| file.is_there()).map(Baseline::key);
    let (identity, identities, shown_by) = match (file.baseline(), of_store) {
        (Some(baseline), of_store) => (baseline.key(), Identities::Baseline, shown_by.or(of_store)),
        (None, Some(of_store)) => (of_store, Identities::Store, None),
        (None, None) => (run_key()?, Identities::Run, None),
    };
    let detector = Detector::new(known, identity);
    let detector = match (only.is_empty(), shown_by) {
        (true, _) => detector,
        (false, Some(key)) => detector.selecting(key, only),
        (false, None) => return Err(no_identities()),
    };
    let (detector, unused) = if args.known { (detector, Vec::new()) } else { with_rules(args, detector)? };
    Ok(Looking { detector, identities, kept, unused })
}

/// The detector with its rules, and the rules that are not used.
fn with_rules(args: &LeaksArgs, detector: Detector) -> Result<(Detector, Vec<Skipped>), Problem> {
    let theirs = args.rules.as_deref().map(theirs).transpose()?;
    let adds = theirs.as_ref().is_none_or(|theirs| theirs.adds);
    let (detector, unwanted, mut unused) = match theirs {
        Some(theirs) => (detector.with_imported_rules(theirs.rules), theirs.unwanted, theirs.unused),
        None => (detector, BTreeSet::new(), Vec::new()),
    };
    let not_there = |rule: &String| Skipped {
        what: format!("the rule '{rule}'"),
        why: "it is in disabledRules, but there is no such rule".to_owned(),
    };
    if !adds {
        unused.extend(unwanted.iter().map(not_there));
        return Ok((detector, unused));
    }
    let rules = Rules::shipped().map_err(|error| {
        Problem::new(Code::SearchTargetUnknown, "read keyroll's own rules").because_of(&error)
    })?;
    let detector = detector.with_rules(rules);
    unused.extend(unwanted.iter().filter(|rule| !detector.has(rule)).map(not_there));
    let detector = detector.without(unwanted);
    Ok((if args.forms { detector } else { detector.with_names() }, unused))
}

fn scan(
    args: &LeaksArgs,
    detector: &Detector,
    baseline: Option<&Baseline>,
    context: &mut Context,
) -> Result<(Report, Option<Problem>), Problem> {
    let source = source(args);
    if let Source::Tree(tree) = &source {
        tree.paths.iter().zip(1..).try_for_each(|(path, number)| reachable(path, number))?;
    }
    let scan = Scan::new(detector, Zoned::now().date());
    let scan = if args.no_archives { scan.without_archives() } else { scan };
    let (end, ended) = mpsc::channel();
    let way_out = source.way_out();
    let looked = thread::scope(|scope| {
        let (scan, source) = (&scan, &source);
        scope.spawn(move || end.send(source.scan(scan)));
        loop {
            match ended.recv_timeout(SAID_EVERY) {
                Ok(looked) => return looked,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let (texts, bytes) = scan.so_far();
                    context.ui.live(format!("read {texts} texts, {} MiB …", bytes >> 20));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err("its thread ended".to_owned()),
            }
        }
    });
    // Findings from before a failure are reported too.
    let late = looked.err().map(|why| {
        Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets").because(why).help(way_out)
    });
    let mut report = scan.finish(baseline);
    if let Some(ignored) = args.rules.as_ref().map(|_| ignored()).transpose()?.flatten() {
        report.accept_where(".gitleaksignore names it", |one| is_ignored(&ignored, one));
        if let Some((what, why)) = unread_lines(&ignored) {
            context.ui.event(Event::NotVisible { what, why });
        }
    }
    Ok((report, late))
}

/// Errors do not repeat the typed path: it may be a value.
fn reachable(path: &Path, number: usize) -> Result<(), Problem> {
    path.metadata().map(drop).map_err(|error| {
        Problem::new(Code::SearchPathUnreadable, "scan for leaked secrets")
            .because(format!("path number {number} cannot be reached: {error}"))
            .help("name existing files and folders, or none for this folder")
    })
}

fn show(args: &LeaksArgs, report: &Report, sum: &LeaksShown, kept: &BTreeSet<String>, context: &mut Context) {
    // A source that was not read to its end is not reported as free of findings.
    let summed = sum.whole || !report.findings.is_empty();
    if context.ui.look.json {
        report
            .findings
            .iter()
            .map(LeakShown::of)
            .for_each(|one| context.ui.event(Event::Leak(Box::new(one))));
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

fn accept(
    args: &LeaksArgs,
    file: &mut BaselineFile,
    detector: &Detector,
    report: &Report,
    context: &mut Context,
) -> Result<Exit, Problem> {
    let reason = args.accept.as_deref().unwrap_or_default();
    let acceptance = Acceptance { reason, only: &args.only, until: args.until };
    let what = file.accept(&acceptance, report, &detector.take_selected())?;
    skipped(report, SKIPPED_SHOWN_MAX, context);
    let with = "remove its entries, or the file; it belongs into the repository of the scanned files";
    context.ui.event(Event::Undo { what, with: with.to_owned() });
    Ok(Exit::Done)
}
