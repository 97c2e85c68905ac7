use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::cast::Source;
use crate::folder::Folder;

/// The longest key, env file or URL that a worker accepts, in bytes.
const VALUE_BYTES_MAX: u64 = 4_096;

/// A worker's key, from its source.
pub(crate) enum Value {
    /// Read once, at the start.
    Fixed(Arc<SecretBytes>),
    /// Read again when the file was replaced or changed.
    File { path: PathBuf, read: Mutex<Option<(Stamp, Arc<SecretBytes>)>> },
}

/// The state of a file, to detect changes: device, inode, size, change time in ns.
type Stamp = (u64, u64, u64, i64, i64);

impl Value {
    pub(crate) fn open(folder: &Folder, source: Source) -> Result<Self, Failure> {
        let missing = |what: &str| {
            Failure::new(Class::Permanent, Code::DemoFailed, format!("find the worker's key in {what}"))
        };
        let fixed = |key: SecretBytes| Self::Fixed(Arc::new(key));
        match source {
            Source::Variable(name) => variable(name).map(fixed).ok_or_else(|| missing(name)),
            Source::UrlVariable(name) => {
                variable(name).and_then(|url| password(url.expose())).map(fixed).ok_or_else(|| missing(name))
            }
            Source::Inherited(name) => inherited(name).map(fixed).ok_or_else(|| missing("standard input")),
            Source::File(relative) => {
                let value = Self::File { path: folder.join(relative), read: Mutex::new(None) };
                value.get().ok_or_else(|| missing(relative))?;
                Ok(value)
            }
        }
    }

    /// The present key, and whether it was read again since the last call. `None`: it cannot be read.
    pub(crate) fn get(&self) -> Option<(Arc<SecretBytes>, bool)> {
        let (path, read) = match self {
            Self::Fixed(key) => return Some((Arc::clone(key), false)),
            Self::File { path, read } => (path, read),
        };
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = fs::File::open(path).ok()?;
        let about = file.metadata().ok()?;
        let stamp = (about.dev(), about.ino(), about.size(), about.ctime(), about.ctime_nsec());
        if let Some((seen, key)) = read.as_ref()
            && *seen == stamp
        {
            return Some((Arc::clone(key), false));
        }
        let bytes = bounded(&mut file)?;
        let key = Arc::new(SecretBytes::new(bytes.trim_ascii_end().to_vec()));
        *read = Some((stamp, Arc::clone(&key)));
        Some((key, true))
    }
}

fn variable(name: &str) -> Option<SecretBytes> {
    std::env::var_os(name).map(|value| SecretBytes::new(value.into_vec())).filter(|value| !value.is_empty())
}

/// A whole small file, read into one buffer of the full size.
fn bounded(file: &mut impl Read) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(VALUE_BYTES_MAX).ok()?));
    file.take(VALUE_BYTES_MAX - 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// One variable of an env file on standard input.
fn inherited(name: &str) -> Option<SecretBytes> {
    let bytes = bounded(&mut std::io::stdin().lock())?;
    let value = bytes
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?
        .trim_ascii();
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(SecretBytes::new(quoted.unwrap_or(value).to_vec()))
}

/// The password of `scheme://user:password@host…`, percent-decoded (RFC 3986, 3.2.1).
fn password(url: &[u8]) -> Option<SecretBytes> {
    let text = std::str::from_utf8(url).ok()?;
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (_, encoded) = authority.rsplit_once('@')?.0.split_once(':')?;
    let mut bytes = encoded.bytes();
    let mut decoded = Vec::with_capacity(encoded.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            _ => byte,
        });
    }
    Some(SecretBytes::new(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_decoded() {
        let decoded = |url: &str| password(url.as_bytes()).map(|value| value.expose().to_vec());
        assert_eq!(decoded("http://svc:a%2Fb%2bc@127.0.0.1:1/v1").as_deref(), Some(&b"a/b+c"[..]));
        assert_eq!(decoded("http://svc:a%2@127.0.0.1:1/v1"), None);
        assert_eq!(decoded("http://127.0.0.1:1/v1"), None);
    }

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(folder.path());
        folder.write("key", b"one\n", 0o600).unwrap();
        let value = Value::open(&folder, Source::File("key")).unwrap();
        assert_eq!(
            value.get().map(|(key, changed)| (key.expose().to_vec(), changed)),
            Some((b"one".to_vec(), false))
        );
        folder.write("key", b"two\n", 0o600).unwrap();
        assert_eq!(
            value.get().map(|(key, changed)| (key.expose().to_vec(), changed)),
            Some((b"two".to_vec(), true))
        );
        assert!(!value.get().unwrap().1);
    }
}
