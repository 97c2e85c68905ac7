//! The environment and the credentials that a unit file sets for its service.

use std::path::{Path, PathBuf};

use keyroll_observe::read_small;
use keyroll_secret::SecretBytes;

use crate::words::{unescaped, without_specifiers, words};

/// The largest unit file that is read, bytes.
const UNIT_BYTES_MAX: usize = 1 << 20;

/// A line of a unit file that sets the environment or credentials.
pub struct UnitLine {
    /// The line number, from 1 on.
    pub line: u64,
    /// The setting in it.
    pub says: UnitSays,
}

/// A setting in a unit file.
pub enum UnitSays {
    /// `Environment=NAME=VALUE`; no value where it depends on a specifier (`%h`).
    Variable(String, Option<SecretBytes>),
    /// `Environment=`: earlier lines are reset.
    Reset,
    /// `LoadCredential=NAME:PATH`; of a name alone the path is the name.
    Credential(String, PathBuf),
    /// `LoadCredentialEncrypted=NAME:PATH`.
    Encrypted(String, PathBuf),
    /// `SetCredential=NAME:VALUE`; no value where it depends on a specifier.
    Set(String, Option<SecretBytes>),
}

/// A variable with its value.
pub(crate) type Variable = (String, SecretBytes);

/// The settings of a unit file or drop-in for the environment of its service, in their order.
///
/// # Errors It cannot be read.
pub fn unit_lines(path: &Path) -> std::io::Result<Vec<UnitLine>> {
    read_small(path, UNIT_BYTES_MAX).map(|text| lines_in(text.expose()))
}

fn lines_in(text: &[u8]) -> Vec<UnitLine> {
    let mut said = Vec::new();
    let (mut section, mut whole, mut first) = (Vec::new(), SecretBytes::new(Vec::new()), 1);
    for (line, at) in text.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if whole.is_empty() {
            first = at;
            if line.is_empty() || matches!(line.first(), Some(b'#' | b';')) {
                continue;
            }
        }
        let (part, goes_on) = line.strip_suffix(b"\\").map_or((line, false), |part| (part, true));
        whole = SecretBytes::new([whole.expose(), if whole.is_empty() { b"" } else { b" " }, part].concat());
        if goes_on {
            continue;
        }
        let line = std::mem::replace(&mut whole, SecretBytes::new(Vec::new()));
        if line.expose().first() == Some(&b'[') {
            section = line.expose().to_vec();
        } else if section == b"[Service]" {
            said.extend(says(line.expose()).into_iter().map(|says| UnitLine { line: first, says }));
        }
    }
    said
}

fn says(line: &[u8]) -> Vec<UnitSays> {
    let Some(at) = line.iter().position(|byte| *byte == b'=') else { return Vec::new() };
    let (key, value) =
        (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default().trim_ascii());
    let credential = || {
        let text = std::str::from_utf8(value).ok()?;
        let (name, path) = text.split_once(':').unwrap_or((text, text));
        Some((name.to_owned(), PathBuf::from(path)))
    };
    let set = || {
        let at = value.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(value.get(..at)?).into_owned();
        let read = SecretBytes::new(unescaped(value.get(at + 1..)?));
        Some(UnitSays::Set(name, without_specifiers(read.expose())))
    };
    match key.trim_ascii_end() {
        b"Environment" if value.is_empty() => vec![UnitSays::Reset],
        b"Environment" => {
            let all = words(value).into_iter().filter_map(variable);
            all.map(|(name, value)| UnitSays::Variable(name, without_specifiers(value.expose()))).collect()
        }
        b"LoadCredential" => {
            credential().map(|(name, path)| UnitSays::Credential(name, path)).into_iter().collect()
        }
        b"LoadCredentialEncrypted" => {
            credential().map(|(name, path)| UnitSays::Encrypted(name, path)).into_iter().collect()
        }
        b"SetCredential" => set().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// `NAME=VALUE`; `None` = the word is something else.
pub(crate) fn variable(word: Vec<u8>) -> Option<Variable> {
    let word = SecretBytes::new(word);
    let at = word.expose().iter().position(|byte| *byte == b'=')?;
    let (name, value) = (word.expose().get(..at)?, word.expose().get(at + 1..)?);
    let good = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    good.then(|| (String::from_utf8_lossy(name).into_owned(), SecretBytes::new(value.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_unit_file_are_told_with_their_numbers() {
        let text = "[Unit]\nEnvironment=NO=1\n# x\n[Service]\nEnvironment=A=1 'B=2 3' \\\n  C=%h D=5%%\n;\nEnvironment=\n\
                    LoadCredential=db:/etc/db\nLoadCredentialEncrypted=x:/etc/x.cred\n\
                    LoadCredential=stored\nSetCredential=y:a\\x20b:c\n";
        let told: Vec<String> = lines_in(text.as_bytes())
            .into_iter()
            .map(|one| match one.says {
                UnitSays::Variable(name, Some(value)) => {
                    format!("{} {name}={}", one.line, String::from_utf8_lossy(value.expose()))
                }
                UnitSays::Variable(name, None) => format!("{} {name}?", one.line),
                UnitSays::Reset => format!("{} reset", one.line),
                UnitSays::Credential(name, path) => format!("{} {name}:{}", one.line, path.display()),
                UnitSays::Encrypted(name, _) => format!("{} {name} encrypted", one.line),
                UnitSays::Set(name, value) => {
                    let value = value.unwrap();
                    format!("{} {name}:{} set", one.line, String::from_utf8_lossy(value.expose()))
                }
            })
            .collect();
        let first = ["5 A=1", "5 B=2 3", "5 C?", "5 D=5%", "8 reset", "9 db:/etc/db", "10 x encrypted"];
        assert_eq!(told, [&first[..], &["11 stored:stored", "12 y:a b:c set"]].concat());
    }
}
