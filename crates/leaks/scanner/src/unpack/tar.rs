//! Reads tar archives block by block: readers differ in what they skip, so everything is scanned.

use std::io::{self, ErrorKind, Read};

use tar::{EntryType, Header};
use zeroize::Zeroizing;

use crate::error_text::why;
use crate::scan::{Location, Worker};
use crate::stream::window::fill;
use crate::unpack::format::{TAR_BYTES, is_tar_header};
use crate::unpack::{Budget, MEMBERS_MAX, named};

/// The longest metadata entry that is kept, bytes.
const ABOUT_BYTES_MAX: u64 = 64 << 10;

/// The offset in a further header of a sparse file of the flag for one more header. Source: GNU tar, "Basic Tar
/// Format".
const MORE_HOLES_AT: usize = 504;

/// Solaris' variant of POSIX's `x`.
const SOLARIS: u8 = b'X';

/// The metadata before a member.
#[derive(Default)]
struct MemberMetadata {
    name: Option<Vec<u8>>,
    /// In bytes. Takes precedence over the member's own header. Source: POSIX.1-2001, pax.
    size: Option<u64>,
}

/// A parsed header.
struct TarHeader {
    name: Vec<u8>,
    size: u64,
    kind: EntryType,
    more_holes: bool,
}

impl TarHeader {
    fn of(block: &[u8; TAR_BYTES]) -> io::Result<Self> {
        if !is_tar_header(block) {
            return Err(ErrorKind::InvalidData.into());
        }
        let header = Header::from_byte_slice(block);
        let (kind, size) = (header.entry_type(), header.entry_size()?);
        let more_holes = kind.is_gnu_sparse() && header.as_gnu().is_some_and(|gnu| gnu.is_extended());
        Ok(Self { name: header.path_bytes().into_owned(), size, kind, more_holes })
    }

    fn is_posix(&self) -> bool {
        self.kind.is_pax_local_extensions() || self.kind.as_byte() == SOLARIS
    }

    /// Whether it is metadata of the next member.
    fn is_about(&self) -> bool {
        self.is_posix() || self.kind.is_gnu_longname()
    }

    /// Whether it is not a member.
    fn is_beside(&self) -> bool {
        self.is_about() || self.kind.is_gnu_longlink() || self.kind.is_pax_global_extensions()
    }
}

impl Worker<'_> {
    /// Scans its members, and those of another archive after its end mark. Returns the last bytes that belong to none
    /// of them: at a break, or after the end.
    pub(crate) fn tar(
        &mut self,
        at: Location<'_>,
        from: &mut dyn Read,
        depth: usize,
        budget: &Budget,
    ) -> Zeroizing<Vec<u8>> {
        let (mut about, mut any, mut ended) = (MemberMetadata::default(), false, false);
        let rest = loop {
            let mut block = Zeroizing::new([0_u8; TAR_BYTES]);
            let (length, broken) = fill(from, block.as_mut());
            let rest = block.get(..length).unwrap_or_default();
            if let Some(error) = broken {
                self.skip(at, why(&error));
                break Zeroizing::new(rest.to_vec());
            }
            if length == 0 {
                break Zeroizing::default();
            }
            let whole = length == TAR_BYTES;
            if whole && rest.iter().all(|byte| *byte == 0) {
                ended = true;
                continue;
            }
            let entry = match whole {
                true => TarHeader::of(&block),
                false => Err(ErrorKind::UnexpectedEof.into()),
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    // Anything may follow the end mark.
                    if !ended {
                        self.skip(at, why(&error));
                    }
                    break Zeroizing::new(rest.to_vec());
                }
            };
            if !budget.member() {
                self.skip(at, format!("it has more than {MEMBERS_MAX} members"));
                break Zeroizing::new(rest.to_vec());
            }
            (any, ended) = (true, false);
            if let Err(error) = self.entry(at, from, &entry, &mut about, (depth, budget)) {
                self.skip(at, why(&error));
                break Zeroizing::default();
            }
        };
        if !any {
            self.count(1, 0);
        }
        rest
    }

    /// Scans one entry, and the padding of its last block.
    fn entry(
        &mut self,
        at: Location<'_>,
        from: &mut dyn Read,
        entry: &TarHeader,
        about: &mut MemberMetadata,
        (depth, budget): (usize, &Budget),
    ) -> io::Result<()> {
        let mut more = entry.more_holes;
        while more {
            let mut block = [0; TAR_BYTES];
            from.read_exact(&mut block)?;
            more = block.get(MORE_HOLES_AT) == Some(&1);
        }
        let own = if entry.is_beside() { MemberMetadata::default() } else { std::mem::take(about) };
        let size = own.size.unwrap_or(entry.size);
        let inside = named(at, own.name.as_ref().unwrap_or(&entry.name));
        let at = Location { inside: &inside, ..at };
        let mut content = (&mut *from).take(size);
        if entry.is_about() {
            let mut first = Zeroizing::new(Vec::new());
            let read = content.by_ref().take(ABOUT_BYTES_MAX).read_to_end(&mut first);
            about.add(&first, entry);
            // A broken reader is not read again.
            let more = if read.is_ok() { u64::MAX } else { 0 };
            let bytes = self.part(at, &mut first.as_slice().chain(content.by_ref().take(more)));
            self.count(0, bytes);
            read?;
        } else if size > 0 {
            // Whatever its type: content is scanned. Holes are not filled.
            self.peeked(at, &mut content, depth + 1, budget);
        }
        io::copy(&mut content, &mut io::sink())?;
        if content.limit() > 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut last = Zeroizing::new([0_u8; TAR_BYTES]);
        let filled = usize::try_from(size % TAR_BYTES as u64).ok().filter(|filled| *filled > 0);
        let fills = last.get_mut(filled.unwrap_or(TAR_BYTES)..).unwrap_or_default();
        from.read_exact(fills)?;
        if fills.iter().any(|byte| *byte != 0) {
            let bytes = self.part(at, &mut &*fills);
            self.count(0, bytes);
        }
        Ok(())
    }
}

impl MemberMetadata {
    fn add(&mut self, bytes: &[u8], entry: &TarHeader) {
        if entry.kind.is_gnu_longname() {
            self.name = bytes.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
            return;
        }
        for (key, value) in records(bytes) {
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => self.size = str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
        }
    }
}

/// The records `LENGTH KEY=VALUE` of POSIX, with a line end each, up to the first malformed one.
fn records(mut left: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let blank = memchr::memchr(b' ', left)?;
        let length: usize = str::from_utf8(left.get(..blank)?).ok()?.parse().ok()?;
        let record = left.get(blank + 1..length)?;
        left = left.get(length..)?;
        let equals = memchr::memchr(b'=', record)?;
        let value = record.get(equals + 1..)?;
        Some((record.get(..equals)?, value.strip_suffix(b"\n").unwrap_or(value)))
    })
}
