use std::ops::{Range, RangeInclusive};

/// What a file is packed with, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    /// RFC 1952.
    Gzip,
    /// PKWARE's APPNOTE 4.3; also jar, whl, docx and many more.
    Zip,
    /// POSIX.1-1988 and later.
    Tar,
    /// RFC 8878.
    Zstandard,
    /// As bzip2 1.0 writes it.
    Bzip2,
    /// The .xz file format 1.2.
    Xz,
    /// The LZ4 frame format 1.6.
    Lz4,
    /// A database; "Database File Format" of SQLite's documentation.
    Sqlite,
    /// A frame that is passed over, before others of LZ4 or Zstandard.
    Skipped,
    /// It is named, and not opened.
    Other(&'static str),
}

/// How many first bytes tell it.
pub(crate) const HEAD_BYTES: usize = 4 << 10;

/// Where tar has its magic, bytes.
const TAR_AT: usize = 257;

/// The bytes of a header of tar, and where in it its sum stands.
pub(crate) const TAR_BYTES: usize = 512;
const TAR_SUM: Range<usize> = 148..156;

/// What a frame begins with that LZ4 and Zstandard pass over.
pub(crate) const SKIPPED_FIRST: RangeInclusive<u8> = 0x50..=0x5F;
pub(crate) const SKIPPED_REST: [u8; 3] = [0x2A, 0x4D, 0x18];

impl Packed {
    /// Whether it may have bytes that its format does not lead to: behind its end, or between its members.
    pub(crate) fn has_more(self) -> bool {
        matches!(self, Self::Tar | Self::Zip)
    }

    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        if head.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
            return Some(Self::Tar);
        }
        if is_tar_header(head) {
            return Some(Self::Tar);
        }
        if let [first, rest @ ..] = head
            && SKIPPED_FIRST.contains(first)
            && rest.starts_with(&SKIPPED_REST)
        {
            return Some(Self::Skipped);
        }
        let begins: [(&[u8], Self); 10] = [
            (b"\x1f\x8b\x08", Self::Gzip),
            (b"PK\x03\x04", Self::Zip),
            (b"PK\x05\x06", Self::Zip),
            (b"\x28\xb5\x2f\xfd", Self::Zstandard),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"SQLite format 3\0", Self::Sqlite),
            (b"7z\xbc\xaf\x27\x1c", Self::Other("7-Zip")),
            (b"Rar!\x1a\x07", Self::Other("RAR")),
            (b"\x04\x22\x4d\x18", Self::Lz4),
            (b"\x02\x21\x4c\x18", Self::Other("LZ4 in its first form")),
        ];
        // Behind the size of a block stands the magic of the first one, or of the end.
        let bzip2 = matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
            if rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90"));
        if bzip2 {
            return Some(Self::Bzip2);
        }
        begins.into_iter().find(|(begin, _)| head.starts_with(begin)).map(|(_, packed)| packed)
    }
}

/// Whether a header of tar begins so; before POSIX it had no magic. It is known by its sum, in octal, of all bytes with blanks in
/// its own place.
pub(crate) fn is_tar_header(head: &[u8]) -> bool {
    let Some(header) = head.get(..TAR_BYTES) else { return false };
    let written = header.get(TAR_SUM).unwrap_or_default();
    let fills = |byte: &u8| matches!(byte, b' ' | 0);
    let digits: Vec<u8> = written.iter().copied().filter(|byte| !fills(byte)).collect();
    let Some(sum) = str::from_utf8(&digits).ok().and_then(|digits| u32::from_str_radix(digits, 8).ok())
    else {
        return false;
    };
    let bytes = (0..).zip(header).map(|(at, byte)| if TAR_SUM.contains(&at) { b' ' } else { *byte });
    sum == bytes.map(u32::from).sum::<u32>()
}

/// In which order UTF-16 stands, where a text says by its first bytes that it is: `true` is the high byte first.
pub(crate) fn utf16_order(head: &[u8]) -> Option<bool> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    match head {
        // Letters that most texts are made of have a zero in UTF-16.
        [0xFF, 0xFE, rest @ ..] if rest.contains(&0) => Some(false),
        [0xFE, 0xFF, rest @ ..] if rest.contains(&0) => Some(true),
        _ => None,
    }
}
