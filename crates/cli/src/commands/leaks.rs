use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Zoned;
use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Known, Report, Scan, Seeker, Skipped};

use crate::args::{LeaksArgs, LeaksFormat};
use crate::context::Context;
use crate::exit::Exit;
use crate::leaks::{
    Askers, BaselineFile, Identities, LeakShown, LeaksShown, OfStore, Source, annotations, ask, document,
    ignored, is_ignored, lines, next, no_identities, of_store, only, sarif, table, theirs, unread_lines,
};
use crate::prints_file;
use crate::problem::Problem;
use crate::seen::run_key;
use crate::ui::Event;

/// How often it is said that a scan goes on.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// The most places that were not looked at that are named one by one to people.
const SKIPPED_SHOWN_MAX: usize = 20;

/// Looks for values that got out: those that keyroll keeps, and what looks like a credential. Changes nothing but the baseline,
/// where it is told to.
pub(super) fn run(args: &LeaksArgs, context: &mut Context) -> Result<Exit, Problem> {
    let began = Instant::now();
    let mut file = BaselineFile::open(args)?;
    let askers = args.verify.then(|| Askers::of(&args.issuer)).transpose()?;
    let Looking { mut seeker, identities, kept, unused } = looking(args, &file, context)?;
    if let Some(askers) = &askers {
        seeker = seeker.holding(askers.rules());
    }
    let (mut report, late) = scan(args, &seeker, file.baseline(), context)?;
    if let Some(askers) = &askers {
        ask(askers, seeker.take_held(), &mut report, &mut context.ui)?;
    }
    let late = late.or_else(|| nothing_read(args, &report)).or_else(|| not_all_read(args, &report));
    if args.accept.is_some() && late.is_none() {
        report.skipped.splice(0..0, unused);
        return accept(args, &mut file, &seeker, &report, context);
    }
    let mut sum = LeaksShown::of(&report, identities, args.verify, began.elapsed().as_secs_f64());
    sum.whole = late.is_none();
    sum.rules_not_used = unused.len();
    // It is told with what was not looked at, in every form.
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

/// What is staged says itself what must have been looked at. Where something was found something was read.
fn nothing_read(args: &LeaksArgs, report: &Report) -> Option<Problem> {
    let nothing = report.texts == 0 && report.findings.is_empty();
    (nothing && !report.skipped.is_empty() && !args.staged)
        .then(|| Problem::new("K0934", "look for leaks").because("nothing that was named could be looked at"))
}

/// What must be looked at before it goes on, and was not: nothing beside it is accepted.
fn not_all_read(args: &LeaksArgs, report: &Report) -> Option<Problem> {
    (args.accept.is_some() && report.unread > 0).then(|| unread(report.unread))
}

/// A hook goes by the exit code: what nobody looked at does not pass.
fn unread(count: u64) -> Problem {
    let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    Problem::new("K0934", "look at what is staged")
        .because(format!("{files} of it could not be looked at, or not wholly; each is named above with its reason"))
        .help("take it out: git restore --staged PATH; or, if nobody needs to look at it, name it in .keyrollignore")
}

/// What is looked for, and how findings are told apart.
struct Looking {
    seeker: Seeker,
    identities: Identities,
    /// The secrets that the store of this machine keeps.
    kept: BTreeSet<String>,
    /// Rules that are not used, and why.
    unused: Vec<Skipped>,
}

fn looking(args: &LeaksArgs, file: &BaselineFile, context: &mut Context) -> Result<Looking, Problem> {
    let prints = args.prints.as_deref().map(prints_file::read).transpose()?;
    let OfStore { known, secrets: kept, identity: of_store } = of_store(context)?;
    let known = Known { prints, ..known };
    if known.needles.is_none() && known.prints.is_none() && args.known {
        return Err(Problem::new("K0933", "look for known values")
            .because("no store is here, so that none is known")
            .help("name the folder with --state, or a file with --prints, or leave out --known to look for what has the form of a credential"));
    }
    let only = only(args)?;
    // What was shown before there was a baseline was called by the store's key.
    let shown_by = file.baseline().filter(|_| file.is_there()).map(Baseline::key);
    let (identity, identities, shown_by) = match (file.baseline(), of_store) {
        (Some(baseline), of_store) => (baseline.key(), Identities::Baseline, shown_by.or(of_store)),
        (None, Some(of_store)) => (of_store, Identities::Store, None),
        (None, None) => (run_key()?, Identities::Run, None),
    };
    let seeker = Seeker::new(known, identity);
    let seeker = match (only.is_empty(), shown_by) {
        (true, _) => seeker,
        (false, Some(key)) => seeker.picking(key, only),
        (false, None) => return Err(no_identities()),
    };
    let (seeker, unused) = if args.known { (seeker, Vec::new()) } else { with_rules(args, seeker)? };
    Ok(Looking { seeker, identities, kept, unused })
}

/// With what of the rules is not used.
fn with_rules(args: &LeaksArgs, seeker: Seeker) -> Result<(Seeker, Vec<Skipped>), Problem> {
    let theirs = args.rules.as_deref().map(theirs).transpose()?;
    let adds = theirs.as_ref().is_none_or(|theirs| theirs.adds);
    let (seeker, unwanted, mut unused) = match theirs {
        Some(theirs) => (seeker.with_theirs(theirs.rules), theirs.unwanted, theirs.unused),
        None => (seeker, BTreeSet::new(), Vec::new()),
    };
    let not_there = |rule: &String| Skipped {
        what: format!("the rule '{rule}'"),
        why: "disabledRules has it, and no rule is called so here".to_owned(),
    };
    if !adds {
        unused.extend(unwanted.iter().map(not_there));
        return Ok((seeker, unused));
    }
    let rules = Rules::shipped().map_err(|error| {
        Problem::new("K0933", "read the rules that come with the program").because_of(&error)
    })?;
    let seeker = seeker.with_rules(rules);
    unused.extend(unwanted.iter().filter(|rule| !seeker.has(rule)).map(not_there));
    let seeker = seeker.without(unwanted);
    Ok((if args.forms { seeker } else { seeker.with_names() }, unused))
}

fn scan(
    args: &LeaksArgs,
    seeker: &Seeker,
    baseline: Option<&Baseline>,
    context: &mut Context,
) -> Result<(Report, Option<Problem>), Problem> {
    let source = Source::of(args);
    if let Source::Tree(tree) = &source {
        tree.paths.iter().zip(1..).try_for_each(|(path, number)| reachable(path, number))?;
    }
    let scan = Scan::new(seeker, Zoned::now().date());
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
    // What was found before something went wrong is told all the same.
    let late = looked.err().map(|why| Problem::new("K0934", "look for leaks").because(why).help(way_out));
    let mut report = scan.finish(baseline);
    if let Some(ignored) = args.rules.as_ref().map(|_| ignored()).transpose()?.flatten() {
        report.accept_where(".gitleaksignore names it", |one| is_ignored(&ignored, one));
        if let Some((what, why)) = unread_lines(&ignored) {
            context.ui.event(Event::NotVisible { what, why });
        }
    }
    Ok((report, late))
}

/// What was typed is not repeated: it may be a value.
fn reachable(path: &Path, number: usize) -> Result<(), Problem> {
    path.metadata().map(drop).map_err(|error| {
        Problem::new("K0934", "look for leaks")
            .because(format!("the path that is named, number {number}, cannot be reached: {error}"))
            .help("name files and folders that are there, or none for this folder")
    })
}

fn show(args: &LeaksArgs, report: &Report, sum: &LeaksShown, kept: &BTreeSet<String>, context: &mut Context) {
    // Of what could not be read to its end it is not said that it has none.
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
    seeker: &Seeker,
    report: &Report,
    context: &mut Context,
) -> Result<Exit, Problem> {
    let what = file.accept(args, report, &seeker.take_picked())?;
    skipped(report, SKIPPED_SHOWN_MAX, context);
    let with = "take its entries out, or the file away; it belongs beside the texts, in their repository";
    context.ui.event(Event::Undo { what, with: with.to_owned() });
    Ok(Exit::Done)
}
