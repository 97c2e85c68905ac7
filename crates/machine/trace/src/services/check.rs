use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_manager::Variables;
use keyroll_observe::{ProcessId, image};
use keyroll_secret::SecretBytes;

use super::context::Context;
use super::source::{Kept, Origin, Read, Source};
use crate::file_times::FileTimes;
use crate::wrapping::is_same;
use crate::{ManagedBy, Record};

/// A file counts as older than a process if it was changed at least this long before the start, milliseconds: the
/// kernel writes file times by a clock of its own, which is up to one tick behind.
const MARGIN_MS: u64 = 20;

const WHY: &str = "the running process was started with another value, after this one was written";
const OR_THEN: &str = "the running process was started with another value; a file that is read before this one may have held it";
const OR_LATER: &str =
    "the running process was started with another value; this one is older, and when it was read is unknown";

/// Compares the sources with the start environment, which shows what was read at the start. If the source that seems to
/// win already existed then and has another value, an unknown source wins (an entrypoint, a line of a script). The
/// chain then says that the winner is unknown.
pub(crate) fn check(context: &Context<'_>, all: &mut [Kept]) {
    for one in all.iter_mut().filter(|one| one.managed_by != ManagedBy::Unmanaged && !one.sources.is_empty())
    {
        let Some((main, start)) = one.main.and_then(|main| Some((main, context.start(&main)?))) else {
            continue;
        };
        let Some(began) = image(&main).ok().map(|image| image.started_unix_ms) else { continue };
        let set = |process: ProcessId, other: Variables, why: &'static str| {
            let what = format!("whatever set it when process {} was started", process.pid);
            Source::new(what, Origin::Start(process)).holding(other).read(Read::Perhaps(why))
        };
        let of_main = contradicted(context, &one.sources, &start, began);
        let on_the_way = changed(context, one, main, &start);
        let mut all: Vec<Source> = of_main.into_iter().map(|(why, other)| set(main, other, why)).collect();
        all.extend(on_the_way.into_iter().map(|(process, other)| set(process, other, WHY)));
        one.sources.splice(0..0, all);
    }
}

/// The variables that a child of the program has with another value than the program itself: something between them
/// sets the variable (a script with several values, a login). Children that are older than the program do not count:
/// they may be from an earlier start. The times of their starts by the wall clock would differ by the reading of the clocks.
fn changed(
    context: &Context<'_>,
    one: &Kept,
    main: ProcessId,
    start: &Variables,
) -> Vec<(ProcessId, Variables)> {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut all = Vec::new();
    for process in context.tree(main).into_iter().skip(1).filter(|id| one.processes.contains(id)) {
        let younger = process.start_ticks >= main.start_ticks;
        let Some(own) = context.start(&process).filter(|_| younger) else { continue };
        let names = |name: &String| one.sources.iter().any(|source| source.entries.contains_key(name));
        let other =
            |name: &String, value: &SecretBytes| start.get(name).is_some_and(|given| !is_same(given, value));
        let mut set = Variables::new();
        for (name, value) in own.into_iter().filter(|(name, value)| names(name) && other(name, value)) {
            if context.is_secret(&name, &value) && known.insert(name.clone()) {
                set.insert(name, value);
            }
        }
        if !set.is_empty() {
            all.push((process, set));
        }
    }
    all
}

/// The variables of a start that the present sources do not explain, by the possible reason.
fn contradicted(
    context: &Context<'_>,
    sources: &[Source],
    start: &Variables,
    began: u64,
) -> BTreeMap<&'static str, Variables> {
    let of = |record: Record, name: &str| {
        let kept = |one: &&Source| matches!(&one.origin, Origin::Kept(known, _) if *known == record);
        sources.iter().filter(kept).find(|one| name.is_empty() || one.entries.contains_key(name))
    };
    // A container's program gets the environment that the container was created with, whatever its project's files say
    // since.
    let in_container = of(Record::Container, "").is_some();
    let unexplained = |name: &str, value: &SecretBytes| {
        let made_with = || of(Record::Container, name).or_else(|| of(Record::Image, name));
        let read =
            if in_container { made_with().map(|one| (one, WHY)) } else { read_then(sources, name, began) };
        let (one, why) = read?;
        one.value(name).filter(|known| !is_same(known, value)).map(|_| why)
    };
    let mut other: BTreeMap<&'static str, Variables> = BTreeMap::new();
    for (name, value) in start.iter().filter(|(name, value)| context.is_secret(name, value)) {
        if let Some(why) = unexplained(name, value) {
            other.entry(why).or_default().insert(name.clone(), value.duplicate());
        }
    }
    other
}

/// The source from which a start at this moment took a variable, and how certain that is.
fn read_then<'s>(sources: &'s [Source], name: &str, began: u64) -> Option<(&'s Source, &'static str)> {
    let as_now = |one: &Source| {
        let before = |since: u64| since.saturating_add(MARGIN_MS) <= began;
        one.since_unix_ms.is_some_and(before) || one.each_start && written_before(&one.origin, began)
    };
    let wins = |one: &Source| one.read == Read::Start && one.entries.contains_key(name);
    let (before, rest) = sources.split_at(sources.iter().position(wins)?);
    let wins = rest.first()?;
    if !as_now(wins) {
        // A user's manager does not report when it read its files: before the start, or by a `daemon-reload` after it.
        let untold = wins.since_unix_ms.is_none() && !wins.each_start && !wins.read_later;
        return (untold && written_before(&wins.origin, began)).then_some((wins, OR_LATER));
    }
    // A source that is read before it and was changed since may have had the variable then. Which of them set it is not
    // visible.
    let same = before.iter().filter(|one| one.read != Read::Not).all(as_now);
    Some((wins, if same { WHY } else { OR_THEN }))
}

/// Whether a file was written before this moment; for a missing file, whether its folder has not changed since.
fn written_before(origin: &Origin, began: u64) -> bool {
    match origin {
        Origin::File(path) => {
            let changed = changed_ms(path).or_else(|| changed_ms(path.parent()?));
            changed.is_some_and(|changed| changed.saturating_add(MARGIN_MS) <= began)
        }
        Origin::Start(_) | Origin::Kept(..) | Origin::At(_) | Origin::Nowhere => false,
    }
}

/// When a file was written or got its name.
fn changed_ms(path: &Path) -> Option<u64> {
    Some(FileTimes::of_name(path)?.last())
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::alphanumeric;

    use super::super::source::Assignment;
    use super::*;

    #[test]
    fn a_file_that_was_read_at_an_unknown_moment_explains_no_other_value_if_it_is_older() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.service");
        std::fs::write(&file, "").unwrap();
        let written = changed_ms(&file).unwrap();
        let of = |change: &dyn Fn(&mut Source), began: u64| {
            let entry = Assignment::at(1, SecretBytes::from(alphanumeric(24)));
            let mut source = Source::of_file("Environment=", &file).with("A_API_KEY", entry);
            change(&mut source);
            read_then(&[source], "A_API_KEY", began).map(|(_, why)| why)
        };
        let later = written + 60_000;
        // Environment= of a user's manager, or a file of environment.d.
        assert_eq!(of(&|_| {}, later), Some(OR_LATER));
        assert_eq!(of(&|_| {}, written), None, "it may have been another one then");
        assert_eq!(of(&|one| one.since_unix_ms = Some(written), later), Some(WHY));
        assert_eq!(of(&|one| one.since_unix_ms = Some(later), later), None, "it was read after the start");
        assert_eq!(of(&|one| one.each_start = true, later), Some(WHY));
        assert_eq!(of(&|one| one.read_later = true, later), None, "no start is given it");
    }
}
