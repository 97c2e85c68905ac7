//! SQLite's write-ahead log, applied to a copy of its database in memory. To open the database itself would take locks
//! and write beside it. Source: "WAL-mode File Format" of SQLite's documentation.

const HEADER_BYTES: usize = 32;

const FRAME_HEADER_BYTES: usize = 24;

/// The header of a log begins with this; the last bit gives the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;

const PAGE_BYTES_MAX: usize = 65_536;

/// Writes every committed page of a log into the database, and makes it one that needs no log. Returns how many pages
/// there were.
///
/// Frames after the first one with a wrong checksum were written before the log began anew: they are no part of the
/// database.
pub(crate) fn apply(database: &mut Vec<u8>, log: &[u8]) -> usize {
    // A database is never larger than the two files together that it was read from.
    let most = database.len().saturating_add(log.len());
    let applied = committed(log, page_bytes(database), most).map_or(0, |(frames, pages)| {
        let count = frames.len();
        for (number, page) in frames {
            let start = (number - 1) * page.len();
            let end = start + page.len();
            if database.len() < end {
                database.resize(end, 0);
            }
            if let Some(place) = database.get_mut(start..end) {
                place.copy_from_slice(page);
            }
        }
        let length = pages.saturating_mul(page_bytes(database));
        if count > 0 && length <= database.len() {
            database.truncate(length);
        }
        count
    });
    // The versions of the format for writers and readers: 1 is a database without a log.
    for at in [18, 19] {
        if let Some(byte) = database.get_mut(at).filter(|byte| **byte == 2) {
            *byte = 1;
        }
    }
    applied
}

/// The bytes of a page, as the header of the database says.
fn page_bytes(database: &[u8]) -> usize {
    match database.get(16..18) {
        Some([0, 1]) => PAGE_BYTES_MAX,
        Some([high, low]) => usize::from(*high) << 8 | usize::from(*low),
        Some(_) | None => 0,
    }
}

/// The number of a page and its bytes.
type Frame<'l> = (usize, &'l [u8]);

/// The frames up to the last commit, and how many pages the database has then.
fn committed(log: &[u8], page_bytes: usize, most: usize) -> Option<(Vec<Frame<'_>>, usize)> {
    let header = log.get(..HEADER_BYTES)?;
    let magic = word(header, 0)?;
    let big = magic & 1 == 1;
    let same = usize::try_from(word(header, 8)?).ok()? == page_bytes;
    let mut sum = checksum(header.get(..24)?, big, (0, 0));
    if magic & !1 != MAGIC || !same || page_bytes < 512 || (word(header, 24)?, word(header, 28)?) != sum {
        return None;
    }
    let salts = header.get(16..24)?;
    let (mut frames, mut kept, mut pages) = (Vec::new(), 0, 0);
    let mut rest = log.get(HEADER_BYTES..)?;
    while let Some((frame, behind)) = rest.split_at_checked(FRAME_HEADER_BYTES + page_bytes) {
        let (head, page) = frame.split_at_checked(FRAME_HEADER_BYTES)?;
        sum = checksum(page, big, checksum(head.get(..8)?, big, sum));
        let number = usize::try_from(word(head, 0)?).ok()?;
        let far = number == 0 || number.saturating_mul(page_bytes) > most;
        if head.get(8..16)? != salts || (word(head, 16)?, word(head, 20)?) != sum || far {
            break;
        }
        frames.push((number, page));
        let size = word(head, 4)?;
        if size > 0 {
            kept = frames.len();
            pages = usize::try_from(size).ok()?;
        }
        rest = behind;
    }
    frames.truncate(kept);
    Some((frames, pages))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

fn checksum(bytes: &[u8], big: bool, from: (u32, u32)) -> (u32, u32) {
    let words = bytes.as_chunks::<4>().0;
    let read = |word: &[u8; 4]| if big { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) };
    words.as_chunks::<2>().0.iter().fold(from, |(one, two), [first, second]| {
        let one = one.wrapping_add(read(first)).wrapping_add(two);
        (one, two.wrapping_add(read(second)).wrapping_add(one))
    })
}
