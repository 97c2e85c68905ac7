pub(crate) mod again;
pub(crate) mod message;
pub(crate) mod staged;
pub(crate) mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::Date;
use keyroll_history::{
    AROUND_BYTES_MAX, Blob, Bounds, History, Hit, Look, OBJECT_BYTES_MAX, ObjectId, Origin, Refused, Skips,
    Take,
};
use keyroll_leak::{FAR_BYTES_MAX, NEAR_BYTES_MAX, Table, Text, reaches_far};

use crate::finding::{Finding, Identity, Place, What};
use crate::history::again::nowhere;
use crate::history::message::{is_message, of_tag};
use crate::history::told::{Held, Subject, Told, elsewhere};
use crate::report::FINDINGS_MAX;
use crate::seeker::Seeker;
use crate::seeker::reading::Reading;
use crate::stream::lines::Lines;
use crate::stream::taken::Taken;
use crate::stream::window::allowed;
use crate::tree::text_of;
use crate::unpack::packed::{Packed, utf16_order};
use crate::{Accepted, Position, Scan, Skipped};

/// What a hit is, apart from where it stands.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Sort {
    what: What,
    identity: Identity,
    name: Option<String>,
    form: Option<&'static str>,
    /// Only where the file holds settings.
    in_settings: bool,
}

/// Who accepted a hit, and why an acceptance does not count.
type Note = (Option<Accepted>, Option<String>);

/// Where a hit stands in an object. Small: of every version of a file there are as many.
struct Spot {
    sort: u32,
    /// Line and column.
    start: (u32, u32),
    end: (u32, u32),
    note: Arc<Note>,
}

/// No object has more lines or columns than that.
const _: () = assert!(OBJECT_BYTES_MAX < u32::MAX as u64);

/// What is looked for in objects, and what was found in each. A path is not known meanwhile: what is a secret in settings alone
/// is found in all of them, and told where the path says that it holds settings.
struct Objects<'s> {
    seeker: &'s Seeker,
    today: Date,
    archives: bool,
    sorts_max: usize,
    spots_max: usize,
    sorts: Mutex<(HashMap<Sort, u64>, Vec<Sort>)>,
    found: Mutex<Found>,
    /// Those that are looked at again, whole, when their paths are known.
    again: Mutex<BTreeSet<ObjectId>>,
}

/// The most different hits of a history that are kept; those beyond are counted.
const SORTS_MAX: usize = 4 * FINDINGS_MAX;

/// The most hits of all objects that are kept, each counted in every version that has it; of those beyond one of each sort.
const SPOTS_MAX: usize = 40 * FINDINGS_MAX;

/// The most objects of which hits are kept, likewise: to find where one came from takes some hundred bytes.
const OBJECTS_MAX: usize = 4 * FINDINGS_MAX;

/// The most notes that differ.
const NOTES_MAX: usize = FINDINGS_MAX;

/// The tag of a hit that is none: it says that its object is looked at again. It stands over the whole object, so that only
/// one that is the same in all takes it over.
const AGAIN: u64 = u64::MAX;

#[derive(Default)]
struct Found {
    by_object: BTreeMap<ObjectId, Box<[Spot]>>,
    spots: usize,
    /// The sorts that have a spot.
    sorts: HashSet<u32>,
    notes: HashSet<Arc<Note>>,
    left_out: u64,
}

impl Found {
    /// Keeps what an object has, each sort once.
    fn keep(&mut self, id: ObjectId, seen: Vec<(u32, [Position; 2], Note)>, spots_max: usize) {
        let is_full = self.spots >= spots_max || self.by_object.len() >= OBJECTS_MAX;
        let mut spots = Vec::with_capacity(seen.len());
        for (sort, [start, end], note) in seen {
            let note = Some(note).filter(|_| self.sorts.insert(sort) || !is_full);
            match note.and_then(|note| self.shared(note)) {
                Some(note) => spots.push(Spot { sort, start: small(start), end: small(end), note }),
                None => self.left_out += 1,
            }
        }
        if !spots.is_empty() {
            self.spots += spots.len();
            self.by_object.insert(id, spots.into_boxed_slice());
        }
    }

    /// The same reason stands in every version of a file.
    fn shared(&mut self, note: Note) -> Option<Arc<Note>> {
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

fn small(at: Position) -> (u32, u32) {
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    (small(at.line), small(at.column))
}

impl Spot {
    fn places(&self) -> [Position; 2] {
        [self.start, self.end].map(|(line, column)| Position { line: line.into(), column: column.into() })
    }
}

impl<'s> Objects<'s> {
    fn new(seeker: &'s Seeker, today: Date, archives: bool) -> Self {
        let (sorts, found, again) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (sorts_max, spots_max) = (SORTS_MAX, SPOTS_MAX);
        Self { seeker, today, archives, sorts_max, spots_max, sorts, found, again }
    }

    /// Whether an object must be looked at whole, as the file that it was.
    fn is_again(&self, blob: &Blob<'_>, hits: &[Hit]) -> bool {
        let opened = || Packed::of(blob.bytes).is_some() || utf16_order(blob.bytes).is_some();
        self.archives && opened()
            || self.seeker.goes_by_path() && (!hits.is_empty() || self.seeker.theirs_may_find(blob.bytes))
    }

    fn hit(&self, span: Range<usize>, hit: crate::seeker::Hit) -> Option<Hit> {
        let crate::seeker::Hit { what, identity, name, form, in_settings, .. } = hit;
        let sort = Sort { what, identity, name, form, in_settings };
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

    fn within(&self, blob: &Blob<'_>, window: &Range<usize>, reading: Option<&Reading>, hits: &mut Vec<Hit>) {
        let around = blob.around(window);
        for hit in self.seeker.by_rules(blob.bytes.get(around.clone()).unwrap_or_default(), reading) {
            let span = hit.span.start + around.start..hit.span.end + around.start;
            if window.start <= span.start && span.end <= window.end {
                hits.extend(self.hit(span, hit));
            }
        }
    }
}

impl Look for Objects<'_> {
    fn look(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>) {
        // Values may stretch over many lines, and are found fast.
        for hit in self.seeker.values(blob.bytes) {
            hits.extend(self.hit(hit.span.clone(), hit));
        }
        let reading = Reading::of(blob.bytes, Text::Settings);
        blob.windows.iter().for_each(|window| self.within(blob, window, reading.as_ref(), hits));
        if self.is_again(blob, hits) {
            hits.push(Hit { span: 0..blob.bytes.len(), tag: AGAIN });
        }
    }

    fn is_alike(&self, base: &[u8], object: &[u8]) -> bool {
        let (one, other) = (Reading::of(base, Text::Settings), Reading::of(object, Text::Settings));
        // A row of several lines is decided by a quote far away.
        let is_table = one.as_ref().is_some_and(|one| one.table.is_some());
        one == other && (!is_table || Table::is_in_lines(base) && Table::is_in_lines(object))
    }

    fn reaches_far(&self, part: &[u8]) -> bool {
        reaches_far(part)
    }
}

/// What decides about a value is seen where the value is looked for.
const _: () = assert!(AROUND_BYTES_MAX >= FAR_BYTES_MAX + NEAR_BYTES_MAX);

impl Take for Objects<'_> {
    fn found(&self, blob: &Blob<'_>, hits: &[Hit]) {
        // A message has lines of its own, and a tag a name.
        if hits.iter().any(|hit| hit.tag == AGAIN) || is_message(blob) {
            self.again.lock().unwrap_or_else(PoisonError::into_inner).insert(blob.id);
            return;
        }
        let sorts = self.sorts.lock().unwrap_or_else(PoisonError::into_inner);
        let told = hits.iter().filter_map(|hit| {
            let number = u32::try_from(hit.tag).ok()?;
            Some((hit, number, sort_of(&sorts.1, number)?.what.clone()))
        });
        let told: Vec<(&Hit, u32, What)> = told.collect();
        drop(sorts);
        let is_known = |what: &What| matches!(what, What::Known(_));
        let known: Vec<&Hit> =
            told.iter().filter(|(.., what)| is_known(what)).map(|(hit, ..)| *hit).collect();
        let (mut lines, mut counted) = (Lines::new(), 0);
        let mut seen = Vec::new();
        let mut taken = Taken::default();
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
            let note = self.seeker.judged(allowed(blob.bytes, &hit.span, self.today), &what);
            seen.push((sort, [lines.position(), behind.position()], note));
        }
        // Of one under one path one is told: the first that nobody accepted.
        seen.sort_by_key(|(sort, _, note)| (*sort, note.0.is_some()));
        seen.dedup_by_key(|(sort, ..)| *sort);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.keep(blob.id, seen, self.spots_max);
    }
}

impl Scan<'_> {
    /// Everything that a git repository has, reachable or not: files of all commits, and their messages. Nothing of it is run,
    /// whoever it belongs to. Of one value under one path the first and the last commit are told.
    ///
    /// # Errors
    /// It is in no repository, or in one whose form is not known. What is wrong with a part of it is named in the report.
    pub fn history(&self, path: &Path) -> Result<(), Refused> {
        let history = History::open(path)?;
        let objects = Objects::new(self.seeker(), self.today(), self.opens_archives());
        let seen = history.scan(&objects, &objects, &Bounds::default());
        self.count(seen.blobs + seen.messages, seen.bytes);
        let name = path.display().to_string();
        self.skipped(&name, &seen.skipped);
        self.told(&history, &name, objects);
        Ok(())
    }

    pub(crate) fn skipped(&self, name: &str, skips: &Skips) {
        for one in &skips.named {
            self.skip(format!("{name}: {}", one.what), one.why.to_string());
        }
        if skips.more > 0 {
            self.skip(name, format!("{} more objects", skips.more));
        }
    }

    /// Where each came from. What stands in many versions of one file is told once.
    fn told(&self, history: &History, name: &str, objects: Objects<'_>) {
        let (sorts, found, again) = objects.taken();
        let wanted: HashSet<ObjectId> = found.by_object.keys().chain(&again).copied().collect();
        if wanted.is_empty() {
            return;
        }
        let is_settings = |path: &[u8]| text_of(&as_path(path)) == Text::Settings;
        let provenance = history.where_from(&wanted, &is_settings);
        self.skipped(name, &provenance.skipped);
        let mut told = Told::default();
        let mut lost: BTreeMap<u32, (ObjectId, &Spot)> = BTreeMap::new();
        for (id, spots) in &found.by_object {
            let from = provenance.objects.get(id);
            let origins = from.map_or(&[][..], |found| &found.origins);
            let mut is_told = false;
            for origin in origins {
                let path = (!origin.path.is_empty()).then(|| as_path(&origin.path));
                let is_settings = path.as_deref().is_none_or(|path| text_of(path) == Text::Settings);
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
            let place = Place { source, path: None, inside: Vec::new(), start, end, commit: None };
            let mut one = finding(sort, spot, place);
            if sort.in_settings && one.remark.is_none() {
                one.remark = Some("if it was a file of settings".to_owned());
            }
            self.finding(one);
        }
    }
}

impl Objects<'_> {
    fn taken(self) -> (Vec<Sort>, Found, BTreeSet<ObjectId>) {
        let sorts = self.sorts.into_inner().unwrap_or_else(PoisonError::into_inner).1;
        let again = self.again.into_inner().unwrap_or_else(PoisonError::into_inner);
        (sorts, self.found.into_inner().unwrap_or_else(PoisonError::into_inner), again)
    }
}

fn sort_of(sorts: &[Sort], number: u32) -> Option<&Sort> {
    sorts.get(usize::try_from(number).ok()?)
}

/// What is told of it under this path; a message has none.
fn subject(sort: &Sort, path: Option<PathBuf>) -> Subject {
    let inside = if path.is_none() { vec!["message".to_owned()] } else { Vec::new() };
    let Sort { what, identity, form, .. } = sort.clone();
    Subject { what, identity, form, path, inside }
}

fn held<'p>(sort: &Sort, spot: &Spot, origin: &'p Origin) -> Held<'p> {
    let ([start, end], (accepted, remark)) = (spot.places(), Note::clone(&spot.note));
    Held { first: origin, last: origin, start, end, name: sort.name.clone(), accepted, remark }
}

pub(crate) fn as_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

fn finding(sort: &Sort, spot: &Spot, place: Place) -> Finding {
    Finding {
        identity: sort.identity.clone(),
        what: sort.what.clone(),
        name: sort.name.clone(),
        form: sort.form,
        place,
        accepted: spot.note.0.clone(),
        remark: spot.note.1.clone(),
        asked: None,
    }
}

#[cfg(test)]
mod tests {
    use keyroll_history::Kind;
    use keyroll_leak::Rules;
    use keyroll_secret::FingerprintKey;

    use super::*;
    use crate::Known;

    #[test]
    fn different_hits_are_kept_up_to_a_bound_and_those_beyond_counted() {
        let seeker = Seeker::new(Known::default(), FingerprintKey::new(&[1; 32]));
        let seeker = seeker.with_rules(Rules::shipped().unwrap());
        let objects = Objects::new(&seeker, "2026-11-21".parse().unwrap(), true);
        let objects = Objects { sorts_max: 2, ..objects };
        let token = |number: u32| format!("glpat-{}{number}", "kD93hfQ0plm4XyT7");
        let text = [1_234, 2_345, 1_234, 3_456, 2_345, 4_567].map(token).join(" \n");
        let hits: Vec<Hit> = seeker
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
        let seeker = Seeker::new(Known::default(), FingerprintKey::new(&[1; 32]));
        let seeker = seeker.with_rules(Rules::shipped().unwrap());
        let objects = Objects::new(&seeker, "2026-11-21".parse().unwrap(), true);
        let objects = Objects { spots_max: 3, ..objects };
        let look = |number: u8, tokens: &[(u32, &str)]| {
            let token =
                |(number, behind): &(u32, &str)| format!("glpat-{}{number}{behind}\n", "kD93hfQ0plm4XyT7");
            let text: String = tokens.iter().map(token).collect();
            let (id, mut hits) = (ObjectId::from_bytes(&[number; 20]).unwrap(), Vec::new());
            let whole = 0..text.len();
            let windows = std::slice::from_ref(&whole);
            let blob = Blob { id, kind: Kind::Blob, bytes: text.as_bytes(), windows };
            objects.look(&blob, &mut hits);
            objects.found(&blob, &hits);
            let found = objects.found.lock().unwrap();
            let spots = found.by_object.get(&id).map_or(&[][..], |spots| spots);
            (spots.iter().map(|spot| spot.start.0).collect::<Vec<u32>>(), found.left_out)
        };
        let known = " # keyroll:allow of a test";
        // The same value twice is one, and an open one is hidden by none.
        assert_eq!(look(1, &[(1_234, known), (2_345, ""), (1_234, ""), (1_234, "")]), (vec![3, 2], 0));
        assert_eq!(look(2, &[(1_234, known)]), (vec![1], 0));
        assert_eq!(
            look(3, &[(1_234, ""), (3_456, ""), (2_345, "")]),
            (vec![2], 2),
            "beyond the bound one of each"
        );
        assert_eq!(look(4, &[(3_456, "")]), (vec![], 3));
        // Who accepts it is kept once for all versions.
        assert_eq!(objects.found.lock().unwrap().notes.len(), 2);
    }
}
