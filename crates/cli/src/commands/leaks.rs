use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Zoned;
use keyroll_leak::Rules;
use keyroll_needle::{NeedleId, Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_port::Label;
use keyroll_scanner::{BASELINE_BYTES_MAX, Baseline, Known, Report, Scan, Seeker, State, Version};

use crate::args::{LeaksArgs, LeaksFormat};
use crate::config_file;
use crate::context::Context;
use crate::exit::Exit;
use crate::kept::kept;
use crate::leaks::{
    Askers, LeakShown, LeaksShown, Source, annotations, ask, document, ignored, lines, notes, sarif, table,
    theirs,
};
use crate::prints_file;
use crate::problem::Problem;
use crate::records::versions::label;
use crate::redact;
use crate::seen::run_key;
use crate::ui::Event;

/// Where findings that were accepted are kept, where no other file is named.
const BASELINE: &str = ".keyroll-leaks.toml";

/// How often it is said that a scan goes on.
const SAID_EVERY: Duration = Duration::from_millis(200);

/// The most places that were not looked at that are named one by one to people.
const SKIPPED_SHOWN_MAX: usize = 20;

/// Looks for values that got out: those that keyroll keeps, and what looks like a credential. Changes nothing but the baseline,
/// where it is told to.
pub(super) fn run(args: &LeaksArgs, context: &mut Context) -> Result<Exit, Problem> {
    let began = Instant::now();
    let path = args.baseline.clone().unwrap_or_else(|| PathBuf::from(BASELINE));
    let (mut baseline, old) = match args.baseline.is_some() && args.accept.is_none() || path.exists() {
        true => read_baseline(&path).map(|(baseline, text)| (Some(baseline), Some(text)))?,
        false => (args.accept.is_some().then(new_baseline).transpose()?, None),
    };
    let askers = args.verify.then(|| Askers::of(&args.issuer)).transpose()?;
    let mut seeker = seeker(args, baseline.as_ref(), context)?;
    if let Some(askers) = &askers {
        seeker = seeker.holding(askers.rules());
    }
    let (mut report, late) = scan(args, &seeker, baseline.as_ref(), context)?;
    if let Some(askers) = &askers {
        ask(askers, seeker.take_held(), &mut report, args.all, &mut context.ui)?;
    }
    if let Some(baseline) = baseline.as_mut().filter(|_| args.accept.is_some() && late.is_none()) {
        accept(args, baseline, &report)?;
        return write(&path, old.as_deref(), baseline, &report, context);
    }
    let sum = LeaksShown::of(&report, baseline.is_some(), args.verify, began.elapsed().as_secs_f64());
    show(args, &report, &sum, context);
    if let Some(late) = late {
        return Err(late);
    }
    // What is staged says itself what must have been looked at.
    if report.texts == 0 && sum.not_visible > 0 && !args.staged {
        return Err(
            Problem::new("K0934", "look for leaks").because("nothing that was named could be looked at")
        );
    }
    if sum.open > 0 || sum.left_out > 0 {
        return Ok(Exit::Findings);
    }
    match report.unread {
        0 => Ok(Exit::Done),
        count => Err(unread(count)),
    }
}

/// A hook goes by the exit code: what nobody looked at does not pass.
fn unread(count: u64) -> Problem {
    let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    Problem::new("K0934", "look at what is staged")
        .because(format!("{files} of it could not be looked at, or not wholly; each is named above with its reason"))
        .help("take it out: git restore --staged PATH; or, if nobody needs to look at it, name it in .keyrollignore")
}

fn seeker(args: &LeaksArgs, baseline: Option<&Baseline>, context: &mut Context) -> Result<Seeker, Problem> {
    let prints = args.prints.as_deref().map(prints_file::read).transpose()?;
    let known = Known { prints, ..known(context)? };
    if known.needles.is_none() && known.prints.is_none() && args.known {
        return Err(Problem::new("K0933", "look for known values")
            .because("no store is here, so that none is known")
            .help("name the folder with --state, or a file with --prints, or leave out --known to look for what has the form of a credential"));
    }
    let identity = match baseline {
        Some(baseline) => baseline.key(),
        None => run_key()?,
    };
    let seeker = Seeker::new(known, identity);
    if args.known {
        return Ok(seeker);
    }
    let theirs = args.rules.as_deref().map(theirs).transpose()?;
    let adds = theirs.as_ref().is_none_or(|theirs| theirs.adds);
    let seeker = match theirs {
        Some(theirs) => {
            for one in theirs.rules.disabled() {
                let what = format!("the rule '{}'", one.rule);
                context.ui.event(Event::NotVisible { what, why: one.why.clone() });
            }
            seeker.with_theirs(theirs.rules)
        }
        None => seeker,
    };
    if !adds {
        return Ok(seeker);
    }
    let rules = Rules::shipped().map_err(|error| {
        Problem::new("K0933", "read the rules that come with the program").because_of(&error)
    })?;
    let seeker = seeker.with_rules(rules);
    Ok(if args.forms { seeker } else { seeker.with_names() })
}

/// Every version of every secret that is kept.
fn known(context: &mut Context) -> Result<Known, Problem> {
    let Some(kept) = kept(context, false)? else { return Ok(Known::default()) };
    let mut builder = Needles::builder();
    let (mut versions, mut ended) = (Vec::new(), BTreeMap::new());
    for secret in &kept.secrets {
        for version in &secret.versions {
            let known = Version {
                secret: secret.name.clone(),
                number: u64::from(version.number),
                state: label(version.label),
                retired: version.label == Label::Retired,
            };
            let values = version.values.iter();
            for value in values.filter(|value| (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len())) {
                let id = NeedleId(u32::try_from(versions.len()).unwrap_or(u32::MAX));
                builder = builder.add(id, value);
                versions.push(known.clone());
            }
            let odd = version
                .values
                .iter()
                .filter(|value| !(VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len()));
            for _ in odd {
                let what = format!("{} v{}", known.secret, known.number);
                let why = format!(
                    "its value has not {VALUE_BYTES_MIN} to {VALUE_BYTES_MAX} bytes: it is not looked for by itself"
                );
                context.ui.event(Event::NotVisible { what, why });
            }
            if version.values.is_empty() {
                ended.extend(version.fingerprints.iter().map(|print| (*print, known.clone())));
            }
        }
    }
    let needles =
        builder.build().map_err(|error| Problem::new("K0933", "look for known values").because_of(&error))?;
    let needles = (!versions.is_empty()).then_some(needles);
    Ok(Known { needles, versions, ended, key: Some(kept.key), ..Known::default() })
}

fn scan(
    args: &LeaksArgs,
    seeker: &Seeker,
    baseline: Option<&Baseline>,
    context: &mut Context,
) -> Result<(Report, Option<Problem>), Problem> {
    let source = Source::of(args);
    if let Source::Tree(tree) = &source {
        tree.paths.iter().try_for_each(|path| reachable(path))?;
    }
    let scan = Scan::new(seeker, Zoned::now().date());
    let scan = if args.no_archives { scan.without_archives() } else { scan };
    let (end, ended) = mpsc::channel();
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
    let late = looked.err().map(|why| {
        Problem::new("K0934", "look for leaks")
            .because(why)
            .help("what can be looked at: keyroll leaks --help; what is in the way: keyroll doctor")
    });
    let mut report = scan.finish(baseline);
    if let Some(ignored) = args.rules.as_ref().map(|_| ignored()).transpose()?.flatten() {
        report.accept_where(".gitleaksignore names it", |one| {
            let path = one.place.path.as_ref().map(|path| path.strip_prefix(".").unwrap_or(path));
            let commit = one.place.commit.as_ref().map(|commit| commit.first.as_str());
            let line = usize::try_from(one.place.start.line).unwrap_or(usize::MAX);
            path.is_some_and(|path| {
                ignored.contains(commit, &path.display().to_string(), one.what.rule(), line)
            })
        });
    }
    Ok((report, late))
}

/// What was typed is not repeated: it may be a value.
fn reachable(path: &Path) -> Result<(), Problem> {
    path.metadata().map(drop).map_err(|error| {
        Problem::new("K0934", "look for leaks")
            .because(format!("a path that is named cannot be reached: {error}"))
            .help("name files and folders that are there, or none for this folder")
    })
}

fn show(args: &LeaksArgs, report: &Report, sum: &LeaksShown, context: &mut Context) {
    if context.ui.look.json {
        report
            .findings
            .iter()
            .map(LeakShown::of)
            .for_each(|one| context.ui.event(Event::Leak(Box::new(one))));
        skipped(report, usize::MAX, context);
        return context.ui.event(Event::Leaks(sum.clone()));
    }
    let text = match args.format {
        LeaksFormat::Table => {
            if let Some(table) = table(report, args.all) {
                context.ui.table(&table);
            }
            None
        }
        LeaksFormat::Json => Some(document(report, sum)),
        LeaksFormat::Jsonl => Some(lines(report)),
        LeaksFormat::Sarif => Some(sarif(report)),
        LeaksFormat::Github => Some(annotations(report)),
    };
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        context.ui.data(text.trim_end_matches('\n'));
    }
    let count = if args.all { usize::MAX } else { SKIPPED_SHOWN_MAX };
    skipped(report, count, context);
    context.ui.event(Event::Leaks(sum.clone()));
    next(args, report, context);
}

fn skipped(report: &Report, count: usize, context: &mut Context) {
    for one in report.skipped.iter().take(count) {
        context.ui.event(Event::NotVisible { what: one.what.clone(), why: one.why.clone() });
    }
    let more = report.skipped.len().saturating_sub(count) as u64 + report.skipped_left_out;
    if more > 0 {
        context.ui.note(format!("and {more} more places that were not looked at"));
    }
}

/// What a person does next.
fn next(args: &LeaksArgs, report: &Report, context: &mut Context) {
    if args.format != LeaksFormat::Table {
        return;
    }
    let shown: Vec<LeakShown> = report.open().map(LeakShown::of).collect();
    notes(&shown).into_iter().for_each(|one| context.ui.note(one));
    let live = shown.iter().find(|one| one.state == "live").and_then(|one| one.secret.clone());
    if let Some(secret) = live {
        context.ui.note(format!("{secret} opens something: who uses it: keyroll why {secret}; to replace it: keyroll plan {secret}"));
    }
    if shown.iter().any(|one| matches!(one.state, "unknown" | "dead")) {
        context.ui.note(
            "what is no leak: # keyroll:allow REASON beside it, or keyroll leaks --accept REASON for all",
        );
    }
}

fn read_baseline(path: &Path) -> Result<(Baseline, String), Problem> {
    let problem = || Problem::new("K0935", format!("read the baseline {}", keyroll_observe::shown(path)));
    let text = keyroll_observe::read_small(path, BASELINE_BYTES_MAX).map_err(|error| {
        problem().because_of(&error).help("name one that is there, or leave --baseline out")
    })?;
    let text = String::from_utf8_lossy(text.expose()).into_owned();
    let baseline = Baseline::read(&text).map_err(|error| {
        problem()
            .because_of(&error)
            .help("mend it, or take it out of the way and accept again: keyroll leaks --accept REASON")
    })?;
    Ok((baseline, text))
}

fn new_baseline() -> Result<Baseline, Problem> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| {
        Problem::new("K0935", "make a key for the baseline").because("the machine gives no random bytes")
    })?;
    Ok(Baseline::new(key))
}

/// Takes every finding that is open into the baseline; none where one of them opens something, as keyroll knows.
fn accept(args: &LeaksArgs, baseline: &mut Baseline, report: &Report) -> Result<(), Problem> {
    let problem = || Problem::new("K0935", "accept what was found");
    let reason = args.accept.as_deref().unwrap_or_default().trim();
    if reason.is_empty() {
        return Err(problem()
            .because("the reason is empty")
            .help("say why it may stay: --accept 'made up by the tests'"));
    }
    if report.findings_left_out > 0 {
        return Err(problem()
            .because("there are too many findings to accept them all")
            .help("name fewer paths, or leave files out with .keyrollignore"));
    }
    if let Some(live) = report.open().find(|one| one.what.state() == State::Live) {
        let secret = live.what.rule();
        return Err(problem()
            .because(format!("a value of {secret} is among it, which opens something"))
            .help(format!("replace it first: keyroll plan {secret}")));
    }
    if args.until.is_some_and(|day| day < Zoned::now().date()) {
        return Err(problem()
            .because("the last day on which it would count is over")
            .help("name a later one: --until YYYY-MM-DD"));
    }
    let reason = redact::pass(reason);
    let active = report.open().map(LeakShown::of).find(|one| one.state == "active");
    if let Some(active) = active {
        let issuer = active.verified.and_then(|verified| verified.issuer).unwrap_or_default();
        return Err(problem()
            .because(format!("a value of the kind {} is among it, which its issuer accepts", active.rule))
            .help(format!("replace it and end it first: keyroll issuers show {issuer}")));
    }
    for one in report.open() {
        let path = one.place.path.as_ref().map(|path| path.strip_prefix(".").unwrap_or(path));
        let path = path.map(|path| PathBuf::from(redact::pass(&keyroll_observe::shown(path)).into_owned()));
        baseline.accept(one, path, &reason, args.until);
    }
    Ok(())
}

fn write(
    path: &Path,
    old: Option<&str>,
    baseline: &Baseline,
    report: &Report,
    context: &mut Context,
) -> Result<Exit, Problem> {
    match old {
        Some(old) => config_file::replace(path, old, &baseline.to_text())?,
        None => config_file::create(path, &baseline.to_text())?,
    }
    skipped(report, SKIPPED_SHOWN_MAX, context);
    let shown = keyroll_observe::shown(path);
    let what = format!("accepted {} in {shown}, which has {} now", report.open().count(), baseline.len());
    let with = "take its entries out, or the file away; it belongs beside the texts, in their repository";
    context.ui.event(Event::Undo { what, with: with.to_owned() });
    Ok(Exit::Done)
}
