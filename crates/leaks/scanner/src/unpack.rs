pub(crate) mod format;
pub(crate) mod lz4;
pub(crate) mod tar;
pub(crate) mod utf16;
pub(crate) mod zstandard;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use bzip2::read::MultiBzDecoder;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use lzma_rust2::XzReader;
use zeroize::Zeroizing;
use zip::read::{Config, ZipReadOptions};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

use crate::error_text::{FAR_MORE, why, zip_error_text};
use crate::scan::{Location, Worker};
use crate::stream::window::fill;
use crate::unpack::format::{HEAD_BYTES, PackedFormat, Utf16Start, is_pdf, utf16_start};
use crate::unpack::lz4::Lz4;
use crate::unpack::utf16::Utf16;
use crate::unpack::zstandard::{SKIPPED_HEAD_BYTES, Zstandard, skipped_bytes};

/// The most memory of one xz stream, KiB: `xz -9` needs a little more than 64 MiB.
const XZ_MEMORY_KIB_MAX: u32 = 72 << 10;

/// The deepest nesting of archives that are opened.
const DEPTH_MAX: usize = 4;

/// The most bytes that one file may unpack to, with nested archives, plus a multiple of its own length: ordinary
/// archives shrink their content to a tenth at best.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;
const UNPACKED_TIMES_MAX: u64 = 20;

/// The most members of all archives in one file.
pub(crate) const MEMBERS_MAX: u64 = 200_000;

/// The largest zip inside another archive, bytes: its directory is at its end, so it is held in memory.
const INNER_ZIP_BYTES_MAX: u64 = 64 << 20;

/// How much raw UTF-16 inside another file is scanned, bytes: it is held in memory until then.
const INNER_UTF16_BYTES_MAX: u64 = 64 << 20;

/// The longest member name that is kept, bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// For a PDF.
const PDF: &str = "compressed parts of a PDF are not opened";

/// For malformed files.
pub(crate) const AS_RAW_BYTES: &str = "scanned as raw bytes";

/// What one file may still unpack to.
pub(crate) struct Budget {
    first: u64,
    bytes: Cell<u64>,
    members: Cell<u64>,
}

impl Budget {
    /// For a file of this length; 0 for a stream.
    fn new(length: u64) -> Self {
        let bytes = UNPACKED_BYTES_MAX.saturating_add(length.saturating_mul(UNPACKED_TIMES_MAX));
        Self { first: bytes, bytes: Cell::new(bytes), members: Cell::new(MEMBERS_MAX) }
    }

    /// Counts unpacked bytes. Returns false beyond the limit.
    pub(crate) fn bytes(&self, count: u64) -> bool {
        let left = self.bytes.get();
        self.bytes.set(left.saturating_sub(count));
        left >= count
    }

    /// The number of unpacked bytes.
    fn spent(&self) -> u64 {
        self.first - self.bytes.get()
    }

    /// Counts a member. Returns false beyond the limit.
    pub(crate) fn member(&self) -> bool {
        let left = self.members.get();
        self.members.set(left.saturating_sub(1));
        left > 0
    }
}

/// Fails when the budget is exceeded.
struct Metered<'b, R> {
    from: R,
    budget: &'b Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        match self.budget.bytes(read as u64) {
            true => Ok(read),
            false => Err(io::Error::other(FAR_MORE)),
        }
    }
}

impl Worker<'_> {
    /// Scans a file with everything packed in it.
    pub(crate) fn file(&mut self, at: Location<'_>, mut file: File) {
        if !self.opens_archives() {
            return self.text(at, &mut file);
        }
        let mut head = std::mem::take(&mut self.head);
        head.resize(HEAD_BYTES, 0);
        match fill(&mut file, &mut head) {
            (_, Some(error)) => self.skip(at, why(&error)),
            (length, None) => self.begun(at, head.get(..length).unwrap_or_default(), file),
        }
        self.head = head;
    }

    /// Scans a file after its first bytes were read.
    fn begun(&mut self, at: Location<'_>, head: &[u8], file: File) {
        let Some(packed) = PackedFormat::of(head) else {
            self.pdf(at, head);
            return match utf16_start(head) {
                Some(start) => self.utf16_file(at, file, start),
                None if head.len() < HEAD_BYTES => self.text(at, &mut &*head),
                None => self.text(at, &mut head.chain(file)),
            };
        };
        let bytes = file.metadata().map_or(0, |meta| meta.len());
        let budget = Budget::new(bytes);
        if packed == PackedFormat::Sqlite {
            return self.database_file(at, head, file, bytes, &budget);
        }
        let first = self.found();
        if packed == PackedFormat::Zip {
            // Its directory is at its end.
            self.zip(at, &file, 0, &budget);
        } else {
            self.known(at, head, &mut head.chain(&file), 0, &budget);
        }
        if packed.has_more() {
            self.all_of(at, first, file);
        }
    }

    /// Like [`Self::plain`], for any length.
    fn utf16_file(&mut self, at: Location<'_>, mut file: File, start: Utf16Start) {
        let first = self.found();
        match file.seek(SeekFrom::Start(start.mark_bytes as u64)) {
            Ok(_) => self.text(at, &mut Utf16::new(&file, start.big)),
            Err(error) => return self.skip(at, why(&error)),
        }
        self.all_of(at, first, file);
    }

    fn all_of(&mut self, at: Location<'_>, first: usize, mut file: File) {
        match file.rewind() {
            Ok(()) => self.more_of(at, first, &mut file),
            Err(error) => self.skip(at, why(&error)),
        }
    }

    /// Scans a text in memory as a file. `commit` is its commit, if known. Returns the number of unpacked bytes.
    pub(crate) fn whole(&mut self, at: Location<'_>, bytes: &[u8], commit: Option<&str>) -> u64 {
        self.commit = commit.map(str::to_owned);
        let head = bytes.get(..bytes.len().min(HEAD_BYTES)).unwrap_or_default();
        let (budget, first) = (Budget::new(bytes.len() as u64), self.found());
        let packed = PackedFormat::of(head).filter(|_| self.opens_archives());
        match packed {
            Some(PackedFormat::Zip) => self.zip_in_memory(at, bytes, 0, &budget),
            Some(PackedFormat::Sqlite) => self.database_in_memory(at, bytes, 0, &budget),
            _ if self.opens_archives() => self.known(at, head, &mut &*bytes, 0, &budget),
            _ => self.text(at, &mut &*bytes),
        }
        if packed.is_some_and(|packed| packed.has_more() && packed != PackedFormat::Zip) {
            self.more_of(at, first, &mut &*bytes);
        }
        self.commit = None;
        budget.spent()
    }

    /// Scans a stream with everything packed in it.
    pub(crate) fn opened(&mut self, at: Location<'_>, from: &mut dyn Read) {
        match self.opens_archives() {
            true => self.peeked(at, from, 0, &Budget::new(0)),
            false => self.text(at, from),
        }
    }

    pub(crate) fn peeked(&mut self, at: Location<'_>, from: &mut dyn Read, depth: usize, budget: &Budget) {
        let mut head = Zeroizing::new([0_u8; HEAD_BYTES]);
        let (length, broken) = fill(from, head.as_mut());
        let head = head.get(..length).unwrap_or_default();
        match broken {
            // The text before a read error is scanned, then the error is recorded.
            Some(error) => self.known(at, head, &mut head.chain(FailingReader(Some(error))), depth, budget),
            None => self.known(at, head, &mut head.chain(from), depth, budget),
        }
    }

    fn known(&mut self, at: Location<'_>, head: &[u8], from: &mut dyn Read, depth: usize, budget: &Budget) {
        let Some(packed) = PackedFormat::of(head) else { return self.plain(at, head, from) };
        if depth >= DEPTH_MAX {
            return self.skip(at, format!("nested archives are opened {DEPTH_MAX} levels deep"));
        }
        match packed {
            PackedFormat::Gzip => {
                let mut plain = Metered { from: MultiGzDecoder::new(from), budget };
                self.peeked(at, &mut plain, depth + 1, budget);
            }
            PackedFormat::Zlib => {
                let mut plain = Metered { from: ZlibDecoder::new(from), budget };
                self.peeked(at, &mut plain, depth + 1, budget);
            }
            PackedFormat::Bzip2 => {
                let mut plain = Metered { from: MultiBzDecoder::new(from), budget };
                self.peeked(at, &mut plain, depth + 1, budget);
            }
            PackedFormat::Xz => {
                // The decoder reads single bytes.
                let plain = XzReader::new_mem_limit(BufReader::new(from), true, XZ_MEMORY_KIB_MAX);
                self.peeked(at, &mut Metered { from: plain, budget }, depth + 1, budget);
            }
            PackedFormat::Lz4 => {
                self.peeked(at, &mut Metered { from: Lz4::new(from), budget }, depth + 1, budget);
            }
            PackedFormat::Sqlite => self.inner_database(at, from, depth, budget),
            PackedFormat::Zstandard => {
                self.peeked(at, &mut Metered { from: Zstandard::new(from), budget }, depth + 1, budget);
            }
            PackedFormat::Skipped => self.skipped(at, from, depth, budget),
            PackedFormat::Tar => {
                let first = self.found();
                // Anything may follow its end, or a broken entry.
                let rest = self.tar(at, from, depth, budget);
                self.more_of(at, first, &mut rest.as_slice().chain(from));
            }
            PackedFormat::Zip => self.inner_zip(at, from, depth, budget),
            PackedFormat::Other(name) => {
                self.skip(at, format!("it is packed with {name}, which keyroll does not open"));
                let read = self.part(at, from);
                self.count(0, read);
            }
        }
    }

    /// Scans skippable frames before frames of LZ4 and Zstandard as raw bytes.
    fn skipped(&mut self, at: Location<'_>, from: &mut dyn Read, depth: usize, budget: &Budget) {
        loop {
            let mut head = [0; SKIPPED_HEAD_BYTES];
            let (length, broken) = fill(from, &mut head);
            if let Some(error) = broken {
                return self.skip(at, why(&error));
            }
            let Some(bytes) = skipped_bytes(&head).filter(|_| length == SKIPPED_HEAD_BYTES) else {
                let mut rest = head.get(..length).unwrap_or_default();
                // Scan a rest that is too short for a header as text, so that it is not tested as a header again.
                return match length < SKIPPED_HEAD_BYTES {
                    true => self.text(at, &mut rest),
                    false => self.peeked(at, &mut rest.chain(from), depth, budget),
                };
            };
            if bytes > 0 {
                let read = self.part(at, &mut from.take(bytes));
                self.count(0, read);
            }
        }
    }

    /// Scans plain text: UTF-8 or UTF-16. Raw bytes of UTF-16 are scanned too, because some
    /// programs append other encodings.
    fn plain(&mut self, at: Location<'_>, head: &[u8], from: &mut dyn Read) {
        self.pdf(at, head);
        let Some(start) = utf16_start(head) else { return self.text(at, from) };
        let (first, mut whole) = (self.found(), Zeroizing::new(Vec::new()));
        let read = from.take(INNER_UTF16_BYTES_MAX + 1).read_to_end(&mut whole);
        let rest = whole.get(start.mark_bytes..).unwrap_or_default();
        // A broken reader is not read again.
        let more = if read.is_ok() { u64::MAX } else { 0 };
        self.text(at, &mut Utf16::new(rest.chain(from.take(more)), start.big));
        self.more_of(at, first, &mut whole.as_slice());
        match read {
            Ok(length) if length as u64 > INNER_UTF16_BYTES_MAX => {
                let mib = INNER_UTF16_BYTES_MAX >> 20;
                self.skip(
                    at,
                    format!("the raw bytes of UTF-16 inside another file are scanned up to {mib} MiB"),
                );
            }
            Ok(_) => {}
            Err(error) => self.skip(at, why(&error)),
        }
    }

    /// Names a PDF, whose raw bytes are scanned. It stops no commit: many repositories have some.
    fn pdf(&mut self, at: Location<'_>, head: &[u8]) {
        if is_pdf(head) {
            self.skip_part(at, format!("{PDF}: {AS_RAW_BYTES}"));
        }
    }

    fn inner_zip(&mut self, at: Location<'_>, from: &mut dyn Read, depth: usize, budget: &Budget) {
        let mut whole = Zeroizing::new(Vec::new());
        match from.take(INNER_ZIP_BYTES_MAX + 1).read_to_end(&mut whole) {
            Ok(length) if length as u64 > INNER_ZIP_BYTES_MAX => {
                let mib = INNER_ZIP_BYTES_MAX >> 20;
                self.skip(at, format!("a zip archive inside another file is opened up to {mib} MiB"));
            }
            Ok(_) => self.zip_in_memory(at, &whole, depth, budget),
            Err(error) => self.skip(at, why(&error)),
        }
    }

    fn zip_in_memory(&mut self, at: Location<'_>, mut whole: &[u8], depth: usize, budget: &Budget) {
        let first = self.found();
        self.zip(at, Cursor::new(whole), depth, budget);
        self.more_of(at, first, &mut whole);
    }

    /// Reads its directory without keeping it: it may be long, and contain a name twice.
    fn zip(&mut self, at: Location<'_>, from: impl Read + Seek, depth: usize, budget: &Budget) {
        // It is scanned as raw bytes in any case.
        let broken = |worker: &mut Self, error: &ZipError| {
            worker.skip(at, format!("{}: {AS_RAW_BYTES}", zip_error_text(error)));
            worker.count(1, 0);
        };
        let mut archive = match ZipIterable::try_new(from, Config::default()) {
            Ok(archive) => archive,
            Err(error) => return broken(self, &error),
        };
        let members = match archive.files() {
            Ok(members) => members,
            Err(error) => return broken(self, &error),
        };
        while let Some(member) = members.next() {
            if !budget.member() {
                return self.skip(at, format!("it has more than {MEMBERS_MAX} members"));
            }
            let member = match member {
                Ok(member) => member,
                Err(error) => return broken(self, &error),
            };
            let inside = named(at, member.name().unwrap_or_default().as_bytes());
            let at = Location { inside: &inside, ..at };
            if member.is_dir() && member.size() == 0 {
                continue;
            }
            match member.with_reader(members.reader_mut(), ZipReadOptions::new()) {
                Ok(mut member) => {
                    self.peeked(at, &mut Metered { from: &mut member, budget }, depth + 1, budget);
                }
                Err(error) => self.skip(at, zip_error_text(&error)),
            }
        }
    }
}

pub(crate) fn named(at: Location<'_>, name: &[u8]) -> Vec<String> {
    let name = String::from_utf8_lossy(name.get(..name.len().min(NAME_BYTES_MAX)).unwrap_or(name));
    at.inside.iter().cloned().chain([name.into_owned()]).collect()
}

/// Ends with the error that ended the input.
struct FailingReader(Option<io::Error>);

impl Read for FailingReader {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use keyroll_secret::FingerprintKey;

    use super::*;
    use crate::{Detector, KnownValues, Scan};

    fn made(script: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("bash").args(["-euc", script]).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{script}");
        made.stdout
    }

    /// The skipped items of an input with these limits.
    fn named_of(from: &mut dyn Read, bytes: u64, members: u64) -> Vec<String> {
        let detector = Detector::new(KnownValues::default(), FingerprintKey::new(&[1; 32]));
        let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
        let mut worker = Worker::new(&scan);
        let budget = Budget { first: bytes, bytes: Cell::new(bytes), members: Cell::new(members) };
        worker.peeked(Location { source: Some("it"), path: None, inside: &[] }, from, 0, &budget);
        drop(worker);
        scan.finish().skipped.into_iter().map(|one| one.why).collect()
    }

    #[test]
    fn what_unpacks_to_too_much_is_named_whatever_packed_it() {
        let packed = ["gzip -c", "bzip2 -c", "xz -c", "lz4 -qc", "zstd -qc"]
            .map(|program| format!("head -c 100000 /dev/zero | {program}"));
        let zip = "head -c 100000 /dev/zero > a; python3 -m zipfile -c a.zip a; cat a.zip".to_owned();
        for script in packed.into_iter().chain([zip]) {
            let whole = made(&script);
            assert_eq!(named_of(&mut &*whole, 200_000, 9), [""; 0], "{script}");
            assert_eq!(named_of(&mut &*whole, 50_000, 9), [FAR_MORE], "{script}");
        }
    }

    #[test]
    fn members_are_opened_up_to_a_number() {
        for archive in ["tar -cf - 1 2 3", "python3 -m zipfile -c a.zip 1 2 3; cat a.zip"] {
            let whole = made(&format!("for i in 1 2 3; do echo $i > $i; done; {archive}"));
            assert_eq!(named_of(&mut &*whole, 99_999, 3), [""; 0], "{archive}");
            let many = format!("it has more than {MEMBERS_MAX} members");
            assert_eq!(named_of(&mut &*whole, 99_999, 2), [many], "{archive}");
        }
    }

    #[test]
    fn what_must_be_held_whole_is_opened_up_to_a_size() {
        for (head, says) in [
            (b"PK\x03\x04".as_slice(), "a zip archive inside another file is opened up to 64 MiB"),
            (
                b"SQLite format 3\0".as_slice(),
                "the rows of a database inside another file are read up to 64 MiB",
            ),
        ] {
            let named = named_of(&mut head.chain(io::repeat(0).take(INNER_ZIP_BYTES_MAX)), 99_999, 9);
            assert!(named.len() == 1 && named[0].starts_with(says), "{named:?}");
        }
    }
}
