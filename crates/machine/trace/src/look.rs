use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_copy::{Format, Slot};
use keyroll_leak::{NotSecretReason, Rule, Rules, name_before, names_a_secret, no_secret};
use keyroll_needle::{Encoding, Needles, VALUE_BYTES_MIN};
use keyroll_observe::{NotVisible, Pieces, read_regular};
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::copies::copies;
use crate::database::{Cell, each_cell, each_cell_of_file, is_database};
use crate::entries::{FOUND_MAX, Held, beside_known, in_file, shown_name};
use crate::kinds::{format_of, has_more_than_slots, is_translation, sealed};
use crate::logins::without_place;
use crate::{Place, ValueId};

/// The largest file that is searched for secrets by form, bytes: files written by hand are far smaller.
const CANDIDATE_BYTES_MAX: usize = 1 << 20;

/// The longest time for the rows of one database, seconds.
const DATABASE_SECONDS_MAX: u64 = 3;

/// The beginning of a text shows whether it is encrypted, bytes.
const SEALED_BYTES_MIN: usize = 64;

/// The largest log of a database that is read, bytes.
const LOG_BYTES_MAX: usize = 16 << 20;

/// The most places of known values in one large file, or in the rows of one database.
const HITS_MAX: usize = 20_000;

/// The most possible secrets that are taken from one database.
const ROWS_FOUND_MAX: usize = 20_000;

/// The result for one file.
#[derive(Default)]
pub(crate) struct Candidates {
    pub(crate) held: Vec<InFile>,
    /// The tool that encrypted it, completely or in part.
    pub(crate) sealed: Option<&'static str>,
    /// The part of it that was not read.
    pub(crate) unseen: Option<String>,
}

/// A value that may be a secret, in a file.
pub(crate) struct InFile {
    pub(crate) value: SecretBytes,
    pub(crate) place: Place,
    pub(crate) name: Option<String>,
    pub(crate) slot: Option<Slot>,
    pub(crate) rule: Option<&'static Rule>,
    pub(crate) encoding: Encoding,
}

/// A known value, in a file.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Known {
    pub(crate) value: ValueId,
    pub(crate) place: Place,
    pub(crate) name: Option<String>,
    pub(crate) slot: Option<Slot>,
    pub(crate) encoding: Encoding,
}

/// Finds everything in a file that may be a secret.
pub(crate) fn candidates(path: &Path, bytes: Zeroizing<Vec<u8>>, rules: &'static Rules) -> Candidates {
    if is_database(&bytes) {
        return in_database(path, rules, |take| with_rows(path, bytes, take));
    }
    let sealed = sealed(path, &bytes);
    if bytes.len() > CANDIDATE_BYTES_MAX {
        return Candidates { sealed, unseen: Some(too_large()), ..Candidates::default() };
    }
    let format = format_of(path, &bytes);
    let mut held = in_file(&bytes, format, rules);
    let logins = without_place(path, &bytes);
    let mut more = Vec::new();
    if is_translation(path) {
        held.retain(|one| one.rule.is_some());
    } else if logins.is_empty() && has_more_than_slots(path, format) {
        more = beside_known(path, &bytes, &held, rules);
    }
    let held = held.into_iter();
    let held = held.map(|one| {
        let place = Place::File { path: path.to_owned(), line: one.line };
        let mut one = InFile::of(one, place);
        if one.slot == Some(Slot::Whole) {
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
            one.name = name.map(|name| name.trim_start_matches('.').to_owned());
        }
        one
    });
    let mut held: Vec<InFile> = held.collect();
    held.extend(logins.into_iter().chain(more).map(|one| {
        let place = Place::File { path: path.to_owned(), line: one.line };
        InFile::of(one, place)
    }));
    let more = held.len() >= FOUND_MAX;
    let unseen = more.then(|| format!("it has more than {FOUND_MAX} values: the rest was not read by name"));
    Candidates { held, sealed, unseen }
}

impl InFile {
    fn of(held: Held, place: Place) -> Self {
        let Held { value, name, slot, rule, encoding, .. } = held;
        Self { value, place, name, slot, rule, encoding }
    }
}

/// The same for a file that is read in pieces.
pub(crate) fn candidates_in_pieces(
    path: &Path,
    pieces: &mut Pieces<'_>,
    rules: &'static Rules,
) -> Candidates {
    let Some(first) = pieces.next(0) else { return Candidates::default() };
    if is_database(first.bytes) {
        let why = "a large database: its rows without what only its log has";
        let mut seen = in_database(path, rules, |take| each_cell_of_file(path, deadline(), take));
        seen.unseen = seen.unseen.or_else(|| beside(path, "-wal").map(|_| why.to_owned()));
        return seen;
    }
    Candidates { sealed: sealed(path, first.bytes), unseen: Some(too_large()), ..Candidates::default() }
}

fn too_large() -> String {
    format!("larger than {} MiB: searched for known values alone", CANDIDATE_BYTES_MAX >> 20)
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(DATABASE_SECONDS_MAX)
}

/// Receives the rows of a database one by one.
pub(crate) type Take<'t> = &'t mut dyn FnMut(&Cell<'_>);

fn in_database(
    path: &Path,
    rules: &'static Rules,
    read: impl FnOnce(Take<'_>) -> Result<(), String>,
) -> Candidates {
    let mut seen = Candidates::default();
    let read = read(&mut |cell| {
        if seen.held.len() >= ROWS_FOUND_MAX {
            return;
        }
        let begin = cell.bytes.get(..SEALED_BYTES_MIN).unwrap_or(cell.bytes);
        if begin.len() < VALUE_BYTES_MIN {
            return;
        }
        if matches!(no_secret(begin), Some(NotSecretReason::Sealed)) {
            seen.sealed = Some("rows that its program encrypted");
        }
        let place = || row(path, cell);
        let text = cell.bytes.trim_ascii_start();
        let document = matches!(text.first(), Some(b'{' | b'[')).then_some(Format::Json);
        let mut held = in_file(cell.bytes, document.or(Some(Format::Whole)), rules);
        // A text that is not a document is a secret only if its column or row has the name of a secret, or if its form
        // shows it.
        let named = named(cell);
        if document.is_none() {
            held.retain(|one| named.is_some() || one.rule.is_some() || one.value.len() < cell.bytes.len());
        }
        seen.held.extend(held.into_iter().map(|mut one| {
            one.name = one.name.or_else(|| named.or(cell.beside).map(str::to_owned));
            if document.is_none() {
                one.slot = None;
            }
            InFile::of(one, place())
        }));
    });
    let more = seen.held.len() >= ROWS_FOUND_MAX;
    let more =
        more.then(|| format!("it has more than {ROWS_FOUND_MAX} values: the rest was not read by name"));
    seen.unseen = read.err().or(more);
    seen
}

/// The name that shows that a text is a secret: its column's name, or the row's name if the column is only called
/// *value*.
fn named<'a>(cell: &Cell<'a>) -> Option<&'a str> {
    let column = Some(cell.column).filter(|column| names_a_secret(column));
    let holds = ["value", "val", "data", "secret", "content", "payload", "text"];
    let holds = holds.iter().any(|name| cell.column.eq_ignore_ascii_case(name));
    column.or(cell.beside.filter(|name| holds && names_a_secret(name)))
}

fn row(path: &Path, cell: &Cell<'_>) -> Place {
    Place::Row {
        path: path.to_owned(),
        table: cell.table.to_owned(),
        column: cell.column.to_owned(),
        row: cell.row,
    }
}

/// Passes on the rows of a database, including the commits in its log.
pub(crate) fn with_rows(path: &Path, mut bytes: Zeroizing<Vec<u8>>, take: Take<'_>) -> Result<(), String> {
    let deadline = deadline();
    let Some(path_of_log) = beside(path, "-wal") else { return each_cell(bytes, &[], deadline, take) };
    let mut wrong = None;
    for last in [false, true] {
        let log = match read_regular(&path_of_log, LOG_BYTES_MAX) {
            Ok(read) => read.bytes,
            Err(NotVisible::Vanished) => Zeroizing::default(),
            Err(reason) => {
                wrong = Some(format!("without its log: {reason}"));
                Zeroizing::default()
            }
        };
        // A commit that was moved from the log into the database between the two reads is in neither.
        match read_regular(path, LOG_BYTES_MAX) {
            Ok(again) if !last && *again.bytes != *bytes => bytes = again.bytes,
            Ok(again) => {
                let moved = *again.bytes != *bytes;
                drop(again);
                wrong = wrong.or(moved.then(|| "it changed while it was read, twice".to_owned()));
                each_cell(bytes, &log, deadline, take)?;
                return wrong.map_or(Ok(()), Err);
            }
            Err(reason) => return Err(reason.to_string()),
        }
    }
    Ok(())
}

/// A database's log or journal, if it exists.
fn beside(path: &Path, end: &str) -> Option<PathBuf> {
    let mut name = OsString::from(path.as_os_str());
    name.push(end);
    Some(PathBuf::from(name)).filter(|path| path.exists())
}

/// Every known value in a file, in every encoding.
#[derive(Default)]
pub(crate) struct AllKnown {
    pub(crate) held: Vec<Known>,
    /// There were more than the limit.
    pub(crate) more: bool,
}

impl AllKnown {
    fn of(all: impl IntoIterator<Item = Known>) -> Self {
        let mut all = all.into_iter();
        let held = all.by_ref().take(HITS_MAX).collect();
        Self { held, more: all.next().is_some() }
    }
}

/// Looks for known values in a file.
pub(crate) fn known(path: &Path, bytes: Zeroizing<Vec<u8>>, needles: &Needles) -> AllKnown {
    if is_database(&bytes) {
        return known_in_database(path, bytes, needles);
    }
    let mut hits = Vec::new();
    needles.find(&bytes, &mut |hit| hits.push(hit));
    if hits.is_empty() {
        return AllKnown::default();
    }
    let entries = format_of(path, &bytes).and_then(|format| format.entries(&bytes).ok()).unwrap_or_default();
    let (mut line, mut counted) = (1, 0);
    let mut told = BTreeMap::new();
    for hit in copies(&bytes, hits) {
        let between = bytes.get(counted..hit.start).unwrap_or_default();
        line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = hit.start;
        let near = entries.partition_point(|entry| entry.span.end <= hit.start);
        let slot =
            entries.get(near).filter(|entry| entry.span.start < hit.end).map(|entry| entry.slot.clone());
        let name = match &slot {
            Some(slot) => shown_name(slot),
            None => name_before(&bytes, hit.start),
        };
        let place = Place::File { path: path.to_owned(), line };
        let value = ValueId(hit.id.0);
        told.entry((value, line)).or_insert(Known { value, place, name, slot, encoding: hit.encoding });
    }
    AllKnown::of(told.into_values())
}

/// The same for a file that is read in pieces.
pub(crate) fn known_in_pieces(path: &Path, pieces: &mut Pieces<'_>, needles: &Needles) -> AllKnown {
    let keep = needles.longest().saturating_sub(1);
    let mut told: BTreeMap<(ValueId, u64), Known> = BTreeMap::new();
    let (mut first, mut database) = (true, false);
    while let Some(piece) = pieces.next(keep) {
        database |= std::mem::take(&mut first) && is_database(piece.bytes);
        let mut hits = Vec::new();
        // A match that ends in the repeated part was reported before.
        needles.find(piece.bytes, &mut |hit| hits.extend((hit.end > piece.again).then_some(hit)));
        let (mut line, mut counted) = (piece.line, 0);
        for hit in copies(piece.bytes, hits) {
            let between = piece.bytes.get(counted..hit.start).unwrap_or_default();
            line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
            counted = hit.start;
            let value = ValueId(hit.id.0);
            let place = Place::File { path: path.to_owned(), line };
            let name = if database { None } else { name_before(piece.bytes, hit.start) };
            let known = Known { value, place, name, slot: None, encoding: hit.encoding };
            if told.len() <= HITS_MAX {
                told.entry((value, line)).or_insert(known);
            }
        }
    }
    if !database {
        return AllKnown::of(told.into_values());
    }
    let remains = told.into_iter().map(|((value, _), known)| (value, (path.to_owned(), known.encoding)));
    let mut remains = remains.collect();
    in_logs(path, needles, &mut remains);
    in_rows_or_left(path, needles, remains, |take| each_cell_of_file(path, deadline(), take))
}

/// Where values were seen in the bytes of a database or of its log, and in which form.
type Remains = BTreeMap<ValueId, (PathBuf, Encoding)>;

fn in_bytes(path: &Path, bytes: &[u8], needles: &Needles, remains: &mut Remains) {
    needles.find(bytes, &mut |hit| {
        remains.entry(ValueId(hit.id.0)).or_insert_with(|| (path.to_owned(), hit.encoding));
    });
}

/// Searches a database's log and journal.
fn in_logs(path: &Path, needles: &Needles, remains: &mut Remains) {
    for other in ["-wal", "-journal"].iter().filter_map(|end| beside(path, end)) {
        if let Ok(read) = read_regular(&other, LOG_BYTES_MAX) {
            in_bytes(&other, &read.bytes, needles, remains);
        }
    }
}

/// Searches a database. A value that is in its bytes or in its log, and in no row, was overwritten or deleted.
fn known_in_database(path: &Path, bytes: Zeroizing<Vec<u8>>, needles: &Needles) -> AllKnown {
    let mut remains = Remains::new();
    in_bytes(path, &bytes, needles, &mut remains);
    in_logs(path, needles, &mut remains);
    in_rows_or_left(path, needles, remains, |take| with_rows(path, bytes, take))
}

/// The values in the rows of a database, and the values that are in its bytes and in no row.
fn in_rows_or_left(
    path: &Path,
    needles: &Needles,
    mut remains: Remains,
    read: impl FnOnce(Take<'_>) -> Result<(), String>,
) -> AllKnown {
    let mut found = BTreeSet::new();
    // Unreadable rows were reported at the first look.
    let _ = read(&mut |cell| {
        needles.find(cell.bytes, &mut |hit| {
            let value = ValueId(hit.id.0);
            remains.remove(&value);
            let name = named(cell).or(cell.beside).map(str::to_owned);
            if found.len() <= HITS_MAX {
                let place = row(path, cell);
                found.insert(Known { value, place, name, slot: None, encoding: hit.encoding });
            }
        });
    });
    let left = remains.into_iter().map(|(value, (path, encoding))| {
        let place = Place::Remains { path };
        Known { value, place, name: None, slot: None, encoding }
    });
    AllKnown::of(found.into_iter().chain(left))
}
