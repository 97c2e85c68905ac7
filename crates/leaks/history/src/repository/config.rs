//! Reads the storage format from a repository's configuration. Reads nothing else, follows no include, runs nothing.

use crate::repository::regular_file::lines;

/// The longest configuration that is read, bytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// The storage format of a repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StorageFormat {
    /// `core.repositoryformatversion`.
    pub(crate) version: Option<Vec<u8>>,
    /// `extensions.objectFormat`.
    pub(crate) objects: Option<Vec<u8>>,
    /// `extensions.refStorage`.
    pub(crate) references: Option<Vec<u8>>,
    /// Whether it is a partial clone: `extensions.partialClone`, or a remote that is a `promisor`.
    pub(crate) partial: bool,
}

/// Parses a configuration. Skips lines that it does not understand.
pub(crate) fn form(text: &[u8]) -> StorageFormat {
    let mut form = StorageFormat::default();
    let mut section = Vec::new();
    for line in lines(text) {
        let mut line = line.trim_ascii();
        if let Some(rest) = line.strip_prefix(b"[") {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { continue };
            let (name, behind) = rest.split_at(end);
            section =
                name.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default().to_ascii_lowercase();
            line = behind.get(1..).unwrap_or_default().trim_ascii();
        }
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let key = parts.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let value = plain(parts.next().unwrap_or(b"true"));
        match (section.as_slice(), key.as_slice()) {
            (b"core", b"repositoryformatversion") => form.version = Some(value),
            (b"extensions", b"objectformat") => form.objects = Some(value),
            (b"extensions", b"refstorage") => form.references = Some(value),
            (b"extensions", b"partialclone") => form.partial = true,
            (b"remote", b"promisor") => form.partial = form.partial || value == b"true",
            _ => {}
        }
    }
    form
}

/// A value in lower case, without comment, spaces and quotes.
fn plain(value: &[u8]) -> Vec<u8> {
    let end = value.iter().position(|byte| matches!(byte, b'#' | b';')).unwrap_or(value.len());
    let value = value.get(..end).unwrap_or_default().trim_ascii();
    value.iter().filter(|byte| **byte != b'"').map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_read_and_nothing_else() {
        let text = b"[core]\n\trepositoryformatversion = 1 ; one\n fsmonitor = /bin/false\n[extensions] objectFormat = \"SHA256\"\n\
            \tpartialClone=origin\n[remote \"origin\"]\n\tpromisor\n[broken\n";
        let read = form(text);
        assert_eq!(read.version.as_deref(), Some(b"1".as_slice()));
        assert_eq!(read.objects.as_deref(), Some(b"sha256".as_slice()));
        assert_eq!((read.references, read.partial), (None, true));
    }
}
