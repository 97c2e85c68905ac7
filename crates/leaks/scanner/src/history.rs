pub(crate) mod dedup;
pub(crate) mod git_names;
pub(crate) mod message;
pub(crate) mod own_files;
pub(crate) mod staged_files;
pub(crate) mod whole_object;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::Date;
use keyroll_history::{
    AROUND_BYTES_MAX, Blob, Bounds, History, Hit, HitSink, Inspector, OBJECT_BYTES_MAX, ObjectId, OpenError,
    Origin, SkipList,
};
use keyroll_leak::{
    FAR_BYTES_MAX, NEAR_BYTES_MAX, Table, TextKind, may_have_a_format, no_secret, one_value, reaches_far,
    text_kind,
};

use crate::detector::Detector;
use crate::detector::text_kind::TextReading;
use crate::finding::{Finding, FindingKind, FindingPlace, Identity};
use crate::history::dedup::{DedupedFindings, FindingKey, Occurrence};
use crate::history::git_names::{as_path, elsewhere, nowhere};
use crate::history::message::{is_message, of_tag};
use crate::report::FINDINGS_MAX;
use crate::stream::emitted::Emitted;
use crate::stream::lines::Lines;
use crate::stream::window::allowed;
use crate::unpack::format::is_special;
use crate::{Accepted, Position, Scan, Skipped};

/// The properties of a hit other than its location.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct HitKind {
    what: FindingKind,
    identity: Identity,
    name: Option<String>,
    form: Option<&'static str>,
    /// Whether it counts only in settings.
    in_settings: bool,
}

/// The acceptance of a hit, and why one does not count.
type AcceptanceNote = (Option<Accepted>, Option<String>);

/// The location of a hit in an object. Compact, because every version of a file has its own.
struct HitLocation {
    sort: u32,
    /// Line and column.
    start: (u32, u32),
    end: (u32, u32),
    note: Arc<AcceptanceNote>,
}

/// No object has more lines or columns.
const _: () = assert!(OBJECT_BYTES_MAX < u32::MAX as u64);

/// Collects the hits of all objects. Their paths are not known yet: hits that count only in settings are collected
/// from all objects, and reported if a path is that of settings.
struct HistoryInspector<'s> {
    detector: &'s Detector,
    today: Date,
    archives: bool,
    sorts_max: usize,
    spots_max: usize,
    sorts: Mutex<(HashMap<HitKind, u64>, Vec<HitKind>)>,
    found: Mutex<CollectedHits>,
    /// Objects that are scanned again, whole, when their paths are known.
    again: Mutex<BTreeSet<ObjectId>>,
}

/// The most distinct hits of a history that are kept; others are counted.
const SORTS_MAX: usize = 4 * FINDINGS_MAX;

/// The most hits of all objects that are kept; beyond, one of each kind.
const SPOTS_MAX: usize = 40 * FINDINGS_MAX;

/// The most objects whose hits are kept, likewise: finding their origins needs some hundred bytes for each.
const OBJECTS_MAX: usize = 4 * FINDINGS_MAX;

/// The most distinct notes.
const NOTES_MAX: usize = FINDINGS_MAX;

/// The tag of a hit that marks its object for another scan. It spans the whole object, so that only an identical
/// object inherits it.
const RESCAN: u64 = u64::MAX;

#[derive(Default)]
struct CollectedHits {
    by_object: BTreeMap<ObjectId, Box<[HitLocation]>>,
    spots: usize,
    /// The kinds that have a location.
    sorts: HashSet<u32>,
    notes: HashSet<Arc<AcceptanceNote>>,
    left_out: u64,
}

impl CollectedHits {
    /// Keeps the hits of an object, each kind once.
    fn keep(&mut self, id: ObjectId, seen: Vec<(u32, [Position; 2], AcceptanceNote)>, spots_max: usize) {
        let is_full = self.spots >= spots_max || self.by_object.len() >= OBJECTS_MAX;
        let mut spots = Vec::with_capacity(seen.len());
        for (sort, [start, end], note) in seen {
            let note = Some(note).filter(|_| self.sorts.insert(sort) || !is_full);
            match note.and_then(|note| self.shared(note)) {
                Some(note) => spots.push(HitLocation { sort, start: small(start), end: small(end), note }),
                None => self.left_out += 1,
            }
        }
        if !spots.is_empty() {
            self.spots += spots.len();
            self.by_object.insert(id, spots.into_boxed_slice());
        }
    }

    /// All versions of a file share a note.
    fn shared(&mut self, note: AcceptanceNote) -> Option<Arc<AcceptanceNote>> {
        if let Some(known) = self.notes.get(&note) {
            return Some(Arc::clone(known));
        }
        (self.notes.len() < NOTES_MAX).then(|| {
            let new = Arc::new(note);
            self.notes.insert(Arc::clone(&new));
            new
        })
    }
}

/// Whether a text is a secret if its file has the name of one.
fn is_one_value(text: &[u8]) -> bool {
    let value = one_value(text).and_then(|span| text.get(span));
    value.is_some_and(|value| no_secret(value).is_none())
}

fn small(at: Position) -> (u32, u32) {
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    (small(at.line), small(at.column))
}

impl HitLocation {
    fn places(&self) -> [Position; 2] {
        [self.start, self.end].map(|(line, column)| Position { line: line.into(), column: column.into() })
    }
}

impl<'s> HistoryInspector<'s> {
    fn new(detector: &'s Detector, today: Date, archives: bool) -> Self {
        let (sorts, found, again) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (sorts_max, spots_max) = (SORTS_MAX, SPOTS_MAX);
        Self { detector, today, archives, sorts_max, spots_max, sorts, found, again }
    }

    /// Whether an object must be scanned whole, as a file.
    fn is_again(&self, blob: &Blob<'_>, hits: &[Hit]) -> bool {
        self.archives && is_special(blob.bytes)
            || self.detector.reads_by_name()
                && (may_have_a_format(blob.bytes) || hits.is_empty() && is_one_value(blob.bytes))
            || self.detector.depends_on_path()
                && (!hits.is_empty() || self.detector.imported_rules_may_find(blob.bytes))
    }

    fn hit(&self, span: Range<usize>, hit: crate::detector::Hit) -> Option<Hit> {
        let crate::detector::Hit { what, identity, name, form, in_settings, .. } = hit;
        let sort = HitKind { what, identity, name, form, in_settings };
        let mut sorts = self.sorts.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, all) = &mut *sorts;
        if let Some(tag) = numbers.get(&sort) {
            return Some(Hit { span, tag: *tag });
        }
        if all.len() >= self.sorts_max {
            drop(sorts);
            self.found.lock().unwrap_or_else(PoisonError::into_inner).left_out += 1;
            return None;
        }
        let tag = all.len() as u64;
        numbers.insert(sort.clone(), tag);
        all.push(sort);
        Some(Hit { span, tag })
    }

    fn within(
        &self,
        blob: &Blob<'_>,
        window: &Range<usize>,
        reading: Option<&TextReading>,
        hits: &mut Vec<Hit>,
    ) {
        let around = blob.around(window);
        for hit in self.detector.by_rules(blob.bytes.get(around.clone()).unwrap_or_default(), reading) {
            let span = hit.span.start + around.start..hit.span.end + around.start;
            if window.start <= span.start && span.end <= window.end {
                hits.extend(self.hit(span, hit));
            }
        }
    }
}

impl Inspector for HistoryInspector<'_> {
    fn inspect(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>) {
        // Values may span many lines, and the search is fast.
        for hit in self.detector.values(blob.bytes) {
            hits.extend(self.hit(hit.span.clone(), hit));
        }
        let reading = TextReading::of(blob.bytes, TextKind::Settings);
        blob.windows.iter().for_each(|window| self.within(blob, window, reading.as_ref(), hits));
        if self.is_again(blob, hits) {
            hits.push(Hit { span: 0..blob.bytes.len(), tag: RESCAN });
        }
    }

    fn is_alike(&self, base: &[u8], object: &[u8]) -> bool {
        let (one, other) =
            (TextReading::of(base, TextKind::Settings), TextReading::of(object, TextKind::Settings));
        // In a table, a quote far away may decide about a row.
        let is_table = one.as_ref().is_some_and(|one| one.table.is_some());
        one == other && (!is_table || Table::is_in_lines(base) && Table::is_in_lines(object))
    }

    fn reaches_far(&self, part: &[u8]) -> bool {
        reaches_far(part)
    }
}

/// A window contains everything that decides about a value.
const _: () = assert!(AROUND_BYTES_MAX >= FAR_BYTES_MAX + NEAR_BYTES_MAX);

impl HitSink for HistoryInspector<'_> {
    fn found(&self, blob: &Blob<'_>, hits: &[Hit]) {
        // Messages have their own line numbers, and tags a name.
        if hits.iter().any(|hit| hit.tag == RESCAN) || is_message(blob) {
            self.again.lock().unwrap_or_else(PoisonError::into_inner).insert(blob.id);
            return;
        }
        let sorts = self.sorts.lock().unwrap_or_else(PoisonError::into_inner);
        let told = hits.iter().filter_map(|hit| {
            let number = u32::try_from(hit.tag).ok()?;
            Some((hit, number, sort_of(&sorts.1, number)?.what.clone()))
        });
        let told: Vec<(&Hit, u32, FindingKind)> = told.collect();
        drop(sorts);
        let is_known = |what: &FindingKind| matches!(what, FindingKind::Known(_));
        let known: Vec<&Hit> =
            told.iter().filter(|(.., what)| is_known(what)).map(|(hit, ..)| *hit).collect();
        let (mut lines, mut counted) = (Lines::new(), 0);
        let mut seen = Vec::new();
        let mut taken = Emitted::default();
        for (hit, sort, what) in told {
            let over = |one: &&Hit| one.span.start < hit.span.end && hit.span.start < one.span.end;
            let hidden = hit.span.start < taken.end() || known.iter().any(over);
            if !is_known(&what) && hidden || !taken.take(&hit.span, &what) {
                continue;
            }
            lines.pass(blob.bytes.get(counted..hit.span.start).unwrap_or_default());
            counted = hit.span.start;
            let mut behind = lines;
            behind.pass(blob.bytes.get(hit.span.clone()).unwrap_or_default());
            let note = self.detector.judged(allowed(blob.bytes, &hit.span, self.today), &what);
            seen.push((sort, [lines.position(), behind.position()], note));
        }
        // For one value at one path one location is reported: the first one that is not accepted.
        seen.sort_by_key(|(sort, _, note)| (*sort, note.0.is_some()));
        seen.dedup_by_key(|(sort, ..)| *sort);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.keep(blob.id, seen, self.spots_max);
    }
}

impl Scan<'_> {
    /// Scans everything in a git repository, reachable or not: files of all commits, and their messages. Runs nothing
    /// of it, whoever owns it. Reports the first and the last commit of each value at each path. Scans git's own files
    /// too: its configuration, hooks and logs.
    ///
    /// # Errors There is no repository, or its format is unknown. Damaged parts are listed in the report.
    pub fn history(&self, path: &Path) -> Result<(), OpenError> {
        let history = History::open(path)?;
        let objects = HistoryInspector::new(self.detector(), self.today(), self.opens_archives());
        let seen = history.scan(&objects, &objects, &Bounds::default());
        self.count(seen.blobs + seen.messages, seen.bytes);
        let name = path.display().to_string();
        self.skipped(&name, &seen.skipped);
        self.told(&history, &name, objects);
        self.own_files(&history, path);
        Ok(())
    }

    pub(crate) fn skipped(&self, name: &str, skips: &SkipList) {
        for one in &skips.named {
            self.skip(format!("{name}: {}", one.what), one.why.to_string());
        }
        if skips.more > 0 {
            self.skip(name, format!("{} more objects", skips.more));
        }
    }

    /// Finds the origins of hits, and reports those in several versions of a file once.
    fn told(&self, history: &History, name: &str, objects: HistoryInspector<'_>) {
        let (sorts, found, again) = objects.taken();
        let wanted: HashSet<ObjectId> = found.by_object.keys().chain(&again).copied().collect();
        if wanted.is_empty() {
            return;
        }
        let is_settings = |path: &[u8]| text_kind(&as_path(path)) == TextKind::Settings;
        let provenance = history.origins(&wanted, &is_settings);
        self.skipped(name, &provenance.skipped);
        let mut told = DedupedFindings::default();
        let mut lost: BTreeMap<u32, (ObjectId, &HitLocation)> = BTreeMap::new();
        for (id, spots) in &found.by_object {
            let from = provenance.objects.get(id);
            let origins = from.map_or(&[][..], |found| &found.origins);
            let mut is_told = false;
            for origin in origins {
                let path = (!origin.path.is_empty()).then(|| as_path(&origin.path));
                let is_settings = path.as_deref().is_none_or(|path| text_kind(path) == TextKind::Settings);
                for spot in spots {
                    let sort = sort_of(&sorts, spot.sort).filter(|sort| is_settings || !sort.in_settings);
                    let Some(sort) = sort else { continue };
                    told.add(subject(sort, path.clone()), held(sort, spot, origin));
                    is_told = true;
                }
            }
            if is_told && from.is_some_and(|found| found.more > 0) {
                let Skipped { what, why } = elsewhere(id);
                self.skip(format!("{name}: {what}"), why);
            }
            for spot in spots.iter().filter(|_| origins.is_empty()) {
                let one = lost.entry(spot.sort).or_insert((*id, spot));
                if spot.note.0.is_none() && one.1.note.0.is_some() {
                    *one = (*id, spot);
                }
            }
        }
        let looked = self.again(history, &again, &provenance, told);
        self.left_out(found.left_out + looked.told.left_out);
        let found = looked.told.findings().map(of_tag);
        found.chain(looked.nowhere.into_values()).for_each(|one| self.finding(one));
        self.skipped(name, &looked.more);
        looked.skipped.into_iter().for_each(|((_, why), what)| self.skip(format!("{name}: {what}"), why));
        for (_, (id, spot)) in lost {
            let Some(sort) = sort_of(&sorts, spot.sort) else { continue };
            let [start, end] = spot.places();
            let source = Some(nowhere(&id));
            let place =
                FindingPlace { host: None, source, path: None, inside: Vec::new(), start, end, commit: None };
            let mut one = finding(sort, spot, place);
            if sort.in_settings && one.remark.is_none() {
                one.remark = Some("if the file is a settings file".to_owned());
            }
            self.finding(one);
        }
    }
}

impl HistoryInspector<'_> {
    fn taken(self) -> (Vec<HitKind>, CollectedHits, BTreeSet<ObjectId>) {
        let sorts = self.sorts.into_inner().unwrap_or_else(PoisonError::into_inner).1;
        let again = self.again.into_inner().unwrap_or_else(PoisonError::into_inner);
        (sorts, self.found.into_inner().unwrap_or_else(PoisonError::into_inner), again)
    }
}

fn sort_of(sorts: &[HitKind], number: u32) -> Option<&HitKind> {
    sorts.get(usize::try_from(number).ok()?)
}

/// The key of a hit at this path; a message has none.
fn subject(sort: &HitKind, path: Option<PathBuf>) -> FindingKey {
    let inside = if path.is_none() { vec!["message".to_owned()] } else { Vec::new() };
    let HitKind { what, identity, form, .. } = sort.clone();
    FindingKey { what, identity, form: form.map(Cow::Borrowed), path, inside }
}

fn held<'p>(sort: &HitKind, spot: &HitLocation, origin: &'p Origin) -> Occurrence<'p> {
    let ([start, end], (accepted, remark)) = (spot.places(), AcceptanceNote::clone(&spot.note));
    Occurrence { first: origin, last: origin, start, end, name: sort.name.clone(), accepted, remark }
}

fn finding(sort: &HitKind, spot: &HitLocation, place: FindingPlace) -> Finding {
    Finding {
        identity: sort.identity.clone(),
        what: sort.what.clone(),
        name: sort.name.clone(),
        form: sort.form.map(Cow::Borrowed),
        place,
        accepted: spot.note.0.clone(),
        remark: spot.note.1.clone(),
        asked: None,
    }
}

#[cfg(test)]
mod tests {
    use keyroll_history::ObjectKind;
    use keyroll_leak::Rules;
    use keyroll_secret::FingerprintKey;

    use super::*;
    use crate::KnownValues;

    #[test]
    fn different_hits_are_kept_up_to_a_bound_and_those_beyond_counted() {
        let detector = Detector::new(KnownValues::default(), FingerprintKey::new(&[1; 32]));
        let detector = detector.with_rules(Rules::shipped().unwrap());
        let objects = HistoryInspector::new(&detector, "2026-11-21".parse().unwrap(), true);
        let objects = HistoryInspector { sorts_max: 2, ..objects };
        let token = |number: u32| format!("glpat-{}{number}", "kD93hfQ0plm4XyT7");
        let text = [1_234, 2_345, 1_234, 3_456, 2_345, 4_567].map(token).join(" \n");
        let hits: Vec<Hit> = detector
            .by_rules(text.as_bytes(), None)
            .into_iter()
            .filter_map(|hit| objects.hit(hit.span.clone(), hit))
            .collect();
        assert_eq!(hits.iter().map(|hit| hit.tag).collect::<Vec<_>>(), [0, 1, 0, 1]);
        let (sorts, found, _) = objects.taken();
        assert_eq!((sorts.len(), found.left_out), (2, 2));
    }

    #[test]
    fn many_versions_of_what_is_known_leave_nothing_out_that_is_new() {
        let detector = Detector::new(KnownValues::default(), FingerprintKey::new(&[1; 32]));
        let detector = detector.with_rules(Rules::shipped().unwrap());
        let objects = HistoryInspector::new(&detector, "2026-11-21".parse().unwrap(), true);
        let objects = HistoryInspector { spots_max: 3, ..objects };
        let look = |number: u8, tokens: &[(u32, &str)]| {
            let token =
                |(number, behind): &(u32, &str)| format!("glpat-{}{number}{behind}\n", "kD93hfQ0plm4XyT7");
            let text: String = tokens.iter().map(token).collect();
            let (id, mut hits) = (ObjectId::from_bytes(&[number; 20]).unwrap(), Vec::new());
            let whole = 0..text.len();
            let windows = std::slice::from_ref(&whole);
            let blob = Blob { id, kind: ObjectKind::Blob, bytes: text.as_bytes(), windows };
            objects.inspect(&blob, &mut hits);
            objects.found(&blob, &hits);
            let found = objects.found.lock().unwrap();
            let spots = found.by_object.get(&id).map_or(&[][..], |spots| spots);
            (spots.iter().map(|spot| spot.start.0).collect::<Vec<u32>>(), found.left_out)
        };
        let known = " # keyroll:allow of a test";
        // The same value twice is one finding, and an open one stays open.
        assert_eq!(look(1, &[(1_234, known), (2_345, ""), (1_234, ""), (1_234, "")]), (vec![3, 2], 0));
        assert_eq!(look(2, &[(1_234, known)]), (vec![1], 0));
        assert_eq!(
            look(3, &[(1_234, ""), (3_456, ""), (2_345, "")]),
            (vec![2], 2),
            "beyond the bound one of each"
        );
        assert_eq!(look(4, &[(3_456, "")]), (vec![], 3));
        // All versions share one acceptance.
        assert_eq!(objects.found.lock().unwrap().notes.len(), 2);
    }
}
