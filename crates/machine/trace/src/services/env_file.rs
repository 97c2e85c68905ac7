use std::io::ErrorKind;
use std::path::Path;

use keyroll_copy::{CopyError, DotenvReader, Format};
use keyroll_observe::{read_below, read_small};
use keyroll_secret::SecretBytes;

use super::source::{Assignment, Source};

/// The largest file of variables that is read, bytes.
const BYTES_MAX: usize = 1 << 20;

/// Why a spelling does not show the value.
const DOUBTFUL: &str = "its readers take the spelling apart in different ways";

/// A file of lines `NAME=value` as a source, whoever reads it. A missing file has no entries.
pub(crate) fn source(what: impl Into<String>, path: &Path) -> Source {
    source_of(what, path, None)
}

/// The same, as one reader reads it.
pub(crate) fn source_for(what: impl Into<String>, path: &Path, reader: DotenvReader) -> Source {
    source_of(what, path, Some(reader))
}

fn source_of(what: impl Into<String>, path: &Path, reader: Option<DotenvReader>) -> Source {
    let mut source = Source { each_start: true, ..Source::of_file(what, path) };
    let file = match read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return source,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return source.closed("this user may not read it");
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => return source.closed("it does not answer"),
        Err(_) => return source.closed("it is no file that can be read"),
    };
    let read = match reader {
        Some(reader) => Format::Dotenv.variables_for(file.expose(), reader),
        None => Format::Dotenv.variables(file.expose()),
    };
    match read {
        Ok(variables) => {
            for (name, value) in variables {
                let line = line_of(file.expose(), &name);
                let value =
                    value.map_err(
                        |error| {
                            if let CopyError::Ambiguous { why, .. } = error { why } else { DOUBTFUL }
                        },
                    );
                source.entries.insert(name, Assignment { value, line, secret: false });
            }
            source
        }
        Err(_) => source.closed("it is no file of variables"),
    }
}

/// The same for an optional file: if it is missing, the chain shows that.
pub(crate) fn optional(what: impl Into<String>, path: &Path, reader: DotenvReader) -> Source {
    let source = source_for(what, path, reader);
    let missing = source.says_nothing() && std::fs::metadata(path).is_err();
    Source { missing, ..source }
}

/// The bytes of a regular file, which may be behind a link. Pipes and devices are not opened.
pub(crate) fn read(path: &Path) -> std::io::Result<SecretBytes> {
    read_small(path, BYTES_MAX)
}

/// The same for a file below a folder that a container can fill too: no link leads out of the folder.
pub(crate) fn read_in(folder: &Path, rest: &Path) -> std::io::Result<SecretBytes> {
    read_below(folder, rest, BYTES_MAX)
}

/// The value that a file is.
pub(crate) fn whole_file(path: &Path) -> Option<SecretBytes> {
    read(path).ok().map(|file| whole(&file))
}

/// The content of a file that is one value, without the line end after it.
pub(crate) fn whole(file: &SecretBytes) -> SecretBytes {
    let bytes = file.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    SecretBytes::new(bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec())
}

/// The last line that assigns something to this name, from 1 on; line 1 if there is none.
pub(crate) fn line_of(file: &[u8], name: &str) -> u64 {
    let gives = |line: &[u8]| {
        let line = line.trim_ascii_start();
        let line = line.strip_prefix(b"export ").unwrap_or(line);
        let line = line.strip_prefix(b"- ").unwrap_or(line).trim_ascii_start();
        let line = line.strip_prefix(b"\"").or_else(|| line.strip_prefix(b"'")).unwrap_or(line);
        let behind = line.strip_prefix(name.as_bytes()).map(<[u8]>::trim_ascii_start);
        behind.is_some_and(|rest| matches!(rest.first(), Some(b'=' | b':' | b'"' | b'\'')))
    };
    let lines = file.split(|byte| *byte == b'\n').zip(1..);
    lines.filter(|(line, _)| gives(line)).last().map_or(1, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_variables_says_what_its_last_lines_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "KEY=one\nexport KEY='two'\nODD=\"a$b\"\n").unwrap();
        let read = source("x", &path);
        assert!(read.value("KEY").is_some_and(|value| value.expose() == b"two"));
        assert_eq!(read.entries["KEY"].line, 2);
        assert!(read.entries["ODD"].value.is_err(), "some readers expand it");
        assert!(source("x", &folder.path().join("none")).says_nothing());
        assert!(source("x", folder.path()).closed.is_some());
    }

    #[test]
    fn a_line_that_its_reader_does_not_see_is_doubtful() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        std::fs::write(&path, "A = one\nexport B=two\nC=three # note\nD=four\n").unwrap();
        let known = |reader| -> Vec<String> {
            let entries = source_for("x", &path, reader).entries.into_iter();
            entries.filter(|(_, entry)| entry.value.is_ok()).map(|(name, _)| name).collect()
        };
        assert_eq!(known(DotenvReader::Sh), ["B", "C", "D"]);
        assert_eq!(known(DotenvReader::Systemd), ["A", "D"]);
        assert_eq!(known(DotenvReader::Python), ["A", "B", "C", "D"]);
    }
}
