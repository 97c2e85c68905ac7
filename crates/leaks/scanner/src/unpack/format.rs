use std::ops::{Range, RangeInclusive};

use flate2::{Decompress, FlushDecompress, Status};
use zeroize::Zeroizing;

/// A packed format, by the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackedFormat {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, without a container: git's loose objects, memory dumps of programs, `zlib-flate`.
    Zlib,
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
    /// The LZ4 frame format 1.6, and its legacy format, which kernels use.
    Lz4,
    /// A database; "Database File Format" of SQLite's documentation.
    Sqlite,
    /// A skippable frame before others of LZ4 or Zstandard.
    Skipped,
    /// Recognised, but not opened.
    Other(&'static str),
}

/// How many first bytes are needed.
pub(crate) const HEAD_BYTES: usize = 4 << 10;

/// The offset of tar's magic, bytes.
const TAR_AT: usize = 257;

/// The length of a tar header, and the location of its checksum, bytes.
pub(crate) const TAR_BYTES: usize = 512;
const TAR_SUM: Range<usize> = 148..156;

/// The magics of LZ4 frames and of the legacy format.
pub(crate) const LZ4: [u8; 4] = *b"\x04\x22\x4d\x18";
pub(crate) const LZ4_FIRST: [u8; 4] = *b"\x02\x21\x4c\x18";

/// The magic of skippable frames.
pub(crate) const SKIPPED_FIRST: RangeInclusive<u8> = 0x50..=0x5F;
pub(crate) const SKIPPED_REST: [u8; 3] = [0x2A, 0x4D, 0x18];

impl PackedFormat {
    /// Whether it may have bytes that its format does not cover: after its end, or between members.
    pub(crate) fn has_more(self) -> bool {
        matches!(self, Self::Tar | Self::Zip | Self::Zlib)
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
        let begins: [(&[u8], Self); 8] = [
            (b"\x1f\x8b\x08", Self::Gzip),
            (b"PK\x03\x04", Self::Zip),
            (b"PK\x05\x06", Self::Zip),
            (b"\x28\xb5\x2f\xfd", Self::Zstandard),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"SQLite format 3\0", Self::Sqlite),
            (&LZ4, Self::Lz4),
            (&LZ4_FIRST, Self::Lz4),
        ];
        // The block size is followed by the magic of the first block, or of the end.
        let bzip2 = matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
            if rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90"));
        if bzip2 {
            return Some(Self::Bzip2);
        }
        let known = begins.into_iter().find(|(begin, _)| head.starts_with(begin)).map(|(_, packed)| packed);
        known.or_else(|| other(head).map(Self::Other)).or_else(|| is_zlib(head).then_some(Self::Zlib))
    }
}

/// How a PDF begins. Most of its content is compressed.
pub(crate) fn is_pdf(head: &[u8]) -> bool {
    head.starts_with(b"%PDF-")
}

/// Whether what begins so is not scanned as plain text alone: it is packed, in UTF-16, or a PDF.
pub(crate) fn is_special(head: &[u8]) -> bool {
    PackedFormat::of(head).is_some() || utf16_start(head).is_some() || is_pdf(head)
}

/// The fewest bytes that are recognised as a zlib stream without its end.
const ZLIB_BYTES_MIN: usize = 256;

/// A zlib stream has no magic, only a header of two bytes, which a text may begin with (`x^`): it counts if it can be inflated.
fn is_zlib(head: &[u8]) -> bool {
    // The method deflate, no preset dictionary, and the check of both bytes.
    let is_header = matches!(head, [method @ (0x08 | 0x18 | 0x28 | 0x38 | 0x48 | 0x58 | 0x68 | 0x78), flags, ..]
        if flags & 0x20 == 0 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31));
    if !is_header {
        return false;
    }
    let mut plain = Zeroizing::new([0_u8; HEAD_BYTES]);
    match Decompress::new(true).decompress(head, plain.as_mut_slice(), FlushDecompress::None) {
        Ok(Status::StreamEnd) => true,
        Ok(Status::Ok | Status::BufError) => head.len() >= ZLIB_BYTES_MIN,
        Err(_) => false,
    }
}

/// Formats that are not opened, by their documented first bytes.
fn other(head: &[u8]) -> Option<&'static str> {
    let begins: [(&[u8], &'static str); 10] = [
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"Rar!\x1a\x07", "RAR"),
        (b"LZIP\x01", "lzip"),
        (b"\x89LZO\0\r\n\x1a\n", "lzop"),
        (b"LRZI\0", "lrzip"),
        (b"\xff\x06\0\0sNaPpY", "Snappy"),
        (b"MSCF\0\0\0\0", "Microsoft's CAB"),
        (b"\xed\xab\xee\xdb", "rpm"),
        (b"!<arch>\ndebian-binary", "dpkg"),
        (b"xar!\0\x1c", "xar"),
    ];
    if let Some((_, name)) = begins.into_iter().find(|(begin, _)| head.starts_with(begin)) {
        return Some(name);
    }
    match head {
        // The maximum code length; block mode.
        [0x1f, 0x9d, 0x89..=0x90, ..] => Some("compress"),
        // The usual properties; the dictionary size; an unknown length, or less than a terabyte.
        [0x5d, 0, 0, low, high, _, _, _, _, _, rest @ ..]
            if u16::from_le_bytes([*low, *high]).is_power_of_two()
                && (rest.starts_with(&[0; 3]) || rest.starts_with(&[0xff; 3])) =>
        {
            Some("LZMA")
        }
        [_, _, b'-', b'l', b'h', b'0'..=b'7' | b'd', b'-', ..] => Some("LHA"),
        // Version 4.
        [b'h', b's', b'q', b's', ..] if head.get(28..30).is_some_and(|version| version == [4, 0]) => {
            Some("squashfs")
        }
        _ => None,
    }
}

/// Whether a tar header is here. Old ones have no magic: the octal checksum decides, over all bytes with spaces in
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

/// How a text in UTF-16 begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Utf16Start {
    /// Whether it is big-endian.
    pub(crate) big: bool,
    /// The length of its byte order mark, bytes.
    pub(crate) mark_bytes: usize,
}

/// The length of a UTF-16 byte order mark.
const UTF16_MARK_BYTES: usize = 2;

/// The fewest first letters of UTF-16 without a mark, and the most that are looked at. Windows writes it so into pipes.
const UTF16_LETTERS: RangeInclusive<usize> = 8..=64;

/// UTF-16 by its mark, or without one, if it begins with a text of ASCII.
pub(crate) fn utf16_start(head: &[u8]) -> Option<Utf16Start> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    let marked = |big| Some(Utf16Start { big, mark_bytes: UTF16_MARK_BYTES });
    match head {
        // Common characters have a zero byte in UTF-16.
        [0xFF, 0xFE, rest @ ..] if rest.contains(&0) => marked(false),
        [0xFE, 0xFF, rest @ ..] if rest.contains(&0) => marked(true),
        [_, 0, ..] | [0, _, ..] => {
            let big = head.first() == Some(&0);
            let letter = |[first, second]: &[u8; 2]| {
                let (low, high) = if big { (*second, *first) } else { (*first, *second) };
                high == 0 && (low.is_ascii_graphic() || low.is_ascii_whitespace())
            };
            let (units, _) = head.as_chunks::<2>();
            let first = units.get(..units.len().min(*UTF16_LETTERS.end())).unwrap_or(units);
            let is_text = first.len() >= *UTF16_LETTERS.start() && first.iter().all(letter);
            is_text.then_some(Utf16Start { big, mark_bytes: 0 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_begins_with_a_mark_or_with_text() {
        let units = |text: &str, big: bool| -> Vec<u8> {
            let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            text.encode_utf16().flat_map(bytes).collect()
        };
        for big in [false, true] {
            for (text, mark_bytes) in [("\u{feff}a", 2), ("name = value\r\n", 0), (&"long ".repeat(99), 0)] {
                assert_eq!(utf16_start(&units(text, big)), Some(Utf16Start { big, mark_bytes }), "{text}");
            }
            for text in ["", "short", "\u{1}\u{2}a text of it", "stra\u{df}e, und mehr"] {
                assert_eq!(utf16_start(&units(text, big)), None, "{text}");
            }
        }
        assert_eq!(utf16_start(b"name = value\r\n"), None);
        assert_eq!(utf16_start(&[0; 64]), None);
    }
}
