use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use keyroll_history::{Blob, Bounds, History, Hit, Look, ObjectId, Origin, Refused, Skips, Take};
use keyroll_leak::Text;

use crate::finding::{Commit, Finding, Identity, Place, What};
use crate::lines::Lines;
use crate::packed::Packed;
use crate::report::FINDINGS_MAX;
use crate::seeker::Seeker;
use crate::stream::{BINARY_BYTES, allowed};
use crate::tree::text_of;
use crate::{Accepted, Position, Scan};

/// What a hit is, apart from where it stands.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Sort {
    what: What,
    identity: Identity,
    form: Option<&'static str>,
    /// Only where the file holds settings.
    in_settings: bool,
}

/// Where a hit stands in an object.
struct Spot {
    sort: u64,
    start: Position,
    end: Position,
    accepted: Option<Accepted>,
    remark: Option<String>,
}

/// What is looked for in objects, and what was found in each. A path is not known meanwhile: what is a secret in settings alone
/// is found in all of them, and told where the path says that it holds settings.
struct Objects<'s> {
    seeker: &'s Seeker,
    today: Date,
    sorts: Mutex<(HashMap<Sort, u64>, Vec<Sort>)>,
    found: Mutex<Found>,
    /// The first that is packed or in UTF-16, and how many there are.
    packed: Mutex<(Option<ObjectId>, u64)>,
}

#[derive(Default)]
struct Found {
    by_object: BTreeMap<ObjectId, Vec<Spot>>,
    spots: usize,
    left_out: u64,
}

impl<'s> Objects<'s> {
    fn new(seeker: &'s Seeker, today: Date) -> Self {
        Self { seeker, today, sorts: Mutex::default(), found: Mutex::default(), packed: Mutex::default() }
    }

    fn hit(&self, span: Range<usize>, hit: crate::seeker::Hit) -> Hit {
        let crate::seeker::Hit { what, identity, form, in_settings, .. } = hit;
        let sort = Sort { what, identity, form, in_settings };
        let mut sorts = self.sorts.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, all) = &mut *sorts;
        let next = all.len() as u64;
        let tag = *numbers.entry(sort.clone()).or_insert_with(|| {
            all.push(sort);
            next
        });
        Hit { span, tag }
    }

    fn within(&self, blob: &Blob<'_>, window: &Range<usize>, text: Option<Text>, hits: &mut Vec<Hit>) {
        let around = blob.around(window);
        for hit in self.seeker.by_rules(blob.bytes.get(around.clone()).unwrap_or_default(), text) {
            let span = hit.span.start + around.start..hit.span.end + around.start;
            if window.start <= span.start && span.end <= window.end {
                hits.push(self.hit(span, hit));
            }
        }
    }
}

impl Look for Objects<'_> {
    fn look(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>) {
        // Values may stretch over many lines, and are found fast.
        for hit in self.seeker.values(blob.bytes) {
            hits.push(self.hit(hit.span.clone(), hit));
        }
        let first = blob.bytes.get(..blob.bytes.len().min(BINARY_BYTES)).unwrap_or_default();
        if Packed::of(blob.bytes).is_some()
            || first.starts_with(b"\xff\xfe")
            || first.starts_with(b"\xfe\xff")
        {
            let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
            packed.0.get_or_insert(blob.id);
            packed.1 += 1;
        }
        let text = (!first.contains(&0)).then_some(Text::Settings);
        blob.windows.iter().for_each(|window| self.within(blob, window, text, hits));
    }
}

impl Take for Objects<'_> {
    fn found(&self, blob: &Blob<'_>, hits: &[Hit]) {
        let sorts = self.sorts.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<(&Hit, What)> =
            hits.iter().filter_map(|hit| Some((hit, sort_of(&sorts.1, hit.tag)?.what.clone()))).collect();
        drop(sorts);
        let is_known = |what: &What| matches!(what, What::Known(_));
        let known: Vec<&Hit> = told.iter().filter(|(_, what)| is_known(what)).map(|(hit, _)| *hit).collect();
        let (mut lines, mut counted) = (Lines::new(), 0);
        let mut spots = Vec::new();
        let mut taken = 0;
        for (hit, what) in told {
            let over = |one: &&Hit| one.span.start < hit.span.end && hit.span.start < one.span.end;
            if !is_known(&what) && (hit.span.start < taken || known.iter().any(over)) {
                continue;
            }
            taken = taken.max(hit.span.end);
            lines.pass(blob.bytes.get(counted..hit.span.start).unwrap_or_default());
            counted = hit.span.start;
            let mut behind = lines;
            behind.pass(blob.bytes.get(hit.span.clone()).unwrap_or_default());
            let (accepted, remark) = self.seeker.judged(allowed(blob.bytes, &hit.span, self.today), &what);
            let (start, end) = (lines.position(), behind.position());
            spots.push(Spot { sort: hit.tag, start, end, accepted, remark });
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.spots >= FINDINGS_MAX {
            found.left_out += spots.len() as u64;
            return;
        }
        found.spots += spots.len();
        found.by_object.insert(blob.id, spots);
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
        let objects = Objects::new(self.seeker(), self.today());
        let seen = history.scan(&objects, &objects, &Bounds::default());
        self.count(seen.blobs + seen.messages, seen.bytes);
        let name = path.display().to_string();
        self.skipped(&name, &seen.skipped);
        self.packed(&name, &objects);
        self.told(&history, &name, objects);
        Ok(())
    }

    /// What is about to be committed: the files of the index, or of the one that git tells its hooks of, that the last commit does not have so.
    ///
    /// # Errors
    /// As of [`Self::history`]; and an index that cannot be read whole.
    pub fn staged(&self, path: &Path, index: Option<&Path>) -> Result<(), Refused> {
        let history = History::open(path)?;
        let staging = history.staged(index)?;
        let objects = Objects::new(self.seeker(), self.today());
        let ids: Vec<ObjectId> = staging.entries.iter().map(|entry| entry.id).collect();
        let seen = history.look_at(&ids, &objects, &objects, &Bounds::default());
        self.count(seen.blobs, seen.bytes);
        let name = path.display().to_string();
        self.skipped(&name, &staging.skipped);
        self.skipped(&name, &seen.skipped);
        self.packed(&name, &objects);
        let (sorts, found) = objects.taken();
        for entry in &staging.entries {
            let Some(spots) = found.by_object.get(&entry.id) else { continue };
            let path = as_path(&entry.path);
            for (spot, sort) in spots.iter().filter_map(|spot| Some((spot, sort_of(&sorts, spot.sort)?))) {
                if fits(sort, &path) {
                    let place = Place {
                        source: Some("staged".to_owned()),
                        path: Some(path.clone()),
                        inside: Vec::new(),
                        start: spot.start,
                        end: spot.end,
                        commit: None,
                    };
                    self.finding(finding(sort, spot, place));
                }
            }
        }
        self.left_out(found.left_out);
        Ok(())
    }

    fn packed(&self, name: &str, objects: &Objects<'_>) {
        let packed = objects.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(first), count) = *packed {
            let why = format!(
                "{count} objects that are packed or in UTF-16 were looked at as they stand, not opened; {first} is one"
            );
            self.skip(name, why);
        }
    }

    fn skipped(&self, name: &str, skips: &Skips) {
        for one in &skips.named {
            self.skip(format!("{name}: {}", one.what), one.why.to_string());
        }
        if skips.more > 0 {
            self.skip(name, format!("{} more objects", skips.more));
        }
    }

    /// Where each came from. What stands in many versions of one file is told once.
    fn told(&self, history: &History, name: &str, objects: Objects<'_>) {
        let (sorts, found) = objects.taken();
        if found.by_object.is_empty() {
            return;
        }
        let wanted: HashSet<ObjectId> = found.by_object.keys().copied().collect();
        let provenance = history.where_from(&wanted);
        self.skipped(name, &provenance.skipped);
        let mut places: BTreeMap<(u64, Option<PathBuf>), (Commit, &Spot)> = BTreeMap::new();
        let mut nowhere: BTreeMap<u64, (ObjectId, &Spot)> = BTreeMap::new();
        for (id, spots) in &found.by_object {
            let origins = provenance.objects.get(id).map_or(&[][..], |found| &found.origins);
            for spot in spots {
                for origin in origins {
                    let path = (!origin.path.is_empty()).then(|| as_path(&origin.path));
                    let commit = commit_of(origin);
                    let known = places.entry((spot.sort, path)).or_insert_with(|| (commit.clone(), spot));
                    join(known, commit, spot);
                }
                if origins.is_empty() {
                    nowhere.entry(spot.sort).or_insert((*id, spot));
                }
            }
        }
        for ((_, path), (commit, spot)) in places {
            let Some(sort) = sort_of(&sorts, spot.sort) else { continue };
            if path.as_deref().is_none_or(|path| fits(sort, path)) {
                let inside = if path.is_none() { vec!["message".to_owned()] } else { Vec::new() };
                let source = Some(format!("commit {}", short(&commit.first)));
                let (start, end) = (spot.start, spot.end);
                let place = Place { source, path, inside, start, end, commit: Some(commit) };
                self.finding(finding(sort, spot, place));
            }
        }
        for (_, (id, spot)) in nowhere {
            let Some(sort) = sort_of(&sorts, spot.sort) else { continue };
            let source = Some(format!("git object {id}, in no commit that a reference leads to"));
            let (start, end) = (spot.start, spot.end);
            let place = Place { source, path: None, inside: Vec::new(), start, end, commit: None };
            let mut one = finding(sort, spot, place);
            if sort.in_settings && one.remark.is_none() {
                one.remark = Some("if it was a file of settings".to_owned());
            }
            self.finding(one);
        }
        self.left_out(found.left_out);
    }
}

impl Objects<'_> {
    fn taken(self) -> (Vec<Sort>, Found) {
        let sorts = self.sorts.into_inner().unwrap_or_else(PoisonError::into_inner).1;
        (sorts, self.found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

fn sort_of(sorts: &[Sort], tag: u64) -> Option<&Sort> {
    sorts.get(usize::try_from(tag).ok()?)
}

fn fits(sort: &Sort, path: &Path) -> bool {
    !sort.in_settings || text_of(path) == Text::Settings
}

fn as_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// As many digits as git shows.
fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

fn commit_of(origin: &Origin) -> Commit {
    Commit {
        first: origin.commit.to_string(),
        author: format!("{} <{}>", origin.author_name, origin.author_email),
        first_s: origin.time,
        last: origin.last.commit.to_string(),
        last_s: origin.last.time,
        in_head: origin.in_head,
    }
}

/// The first that had it, and the last that still had it; the line is that of the last.
fn join<'f>((known, spot): &mut (Commit, &'f Spot), other: Commit, there: &'f Spot) {
    if other.last_s > known.last_s || other.in_head && !known.in_head {
        (known.last, known.last_s) = (other.last, other.last_s);
        *spot = there;
    }
    if other.first_s < known.first_s {
        (known.first, known.first_s, known.author) = (other.first, other.first_s, other.author);
    }
    known.in_head |= other.in_head;
}

fn finding(sort: &Sort, spot: &Spot, place: Place) -> Finding {
    Finding {
        identity: sort.identity.clone(),
        what: sort.what.clone(),
        form: sort.form,
        place,
        accepted: spot.accepted.clone(),
        remark: spot.remark.clone(),
        asked: None,
    }
}
