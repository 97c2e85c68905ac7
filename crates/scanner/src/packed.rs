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
    /// It is named, and not opened.
    Other(&'static str),
}

/// How many first bytes tell it.
pub(crate) const HEAD_BYTES: usize = 4 << 10;

/// Where tar has its magic, bytes.
const TAR_AT: usize = 257;

impl Packed {
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        if head.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
            return Some(Self::Tar);
        }
        let begins: [(&[u8], Self); 9] = [
            (b"\x1f\x8b\x08", Self::Gzip),
            (b"PK\x03\x04", Self::Zip),
            (b"PK\x05\x06", Self::Zip),
            (b"\x28\xb5\x2f\xfd", Self::Zstandard),
            (b"BZh91AY&SY", Self::Other("bzip2")),
            (b"\xfd7zXZ\0", Self::Other("xz")),
            (b"7z\xbc\xaf\x27\x1c", Self::Other("7-Zip")),
            (b"Rar!\x1a\x07", Self::Other("RAR")),
            (b"\x04\x22\x4d\x18", Self::Other("LZ4")),
        ];
        begins.into_iter().find(|(begin, _)| head.starts_with(begin)).map(|(_, packed)| packed)
    }
}
