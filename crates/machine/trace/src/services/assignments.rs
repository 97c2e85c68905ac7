//! What the lines of a file give to names.

use std::path::Path;

use keyroll_copy::Format;
use keyroll_manager::Variables;
use keyroll_secret::SecretBytes;

use super::env_file;
use super::shell_text::{Around, Step, steps};

/// What a file of variables, or a shell text that sets some (`.bashrc`, `.envrc`, `secrets.sh`), gives each name: the last
/// literal value.
pub(crate) fn assignments(path: &Path) -> Variables {
    let Ok(text) = env_file::read(path) else { return Variables::new() };
    let Ok(read) = Format::Dotenv.variables(text.expose()) else { return as_shell_text(&text, path) };
    let (mut all, mut doubtful) = (Variables::new(), Vec::new());
    for (name, value) in read {
        match value {
            Ok(value) => drop(all.insert(name, value)),
            Err(_) => doubtful.push(name),
        }
    }
    if !doubtful.is_empty() {
        let shell = as_shell_text(&text, path).into_iter();
        all.extend(shell.filter(|(name, _)| doubtful.contains(name)));
    }
    all
}

/// Whether a shell that sources a file gives each name the value that a library reads there.
pub(crate) fn is_same_for_shells(path: &Path) -> bool {
    let Ok(text) = env_file::read(path) else { return false };
    let shell = as_shell_text(&text, path);
    let same = |(name, value): &(String, Result<SecretBytes, _>)| match value {
        Ok(value) => shell.get(name) == Some(value),
        // Readers differ, and a shell may compute it.
        Err(_) => false,
    };
    let all = Format::Dotenv.variables(text.expose());
    all.is_ok_and(|all| all.iter().all(same)) && text.expose().split(|byte| *byte == b'\n').all(is_harmless)
}

fn as_shell_text(text: &SecretBytes, path: &Path) -> Variables {
    let folder = path.parent().unwrap_or(path);
    let around = Around { folder, script: Some(path), home: None };
    let mut all = Variables::new();
    for step in steps(&String::from_utf8_lossy(text.expose()), &around) {
        match step {
            Step::Sets { name, value, perhaps: false, .. } => drop(all.insert(name, value)),
            Step::Sets { name, .. } | Step::Hidden { name: Some(name), .. } => drop(all.remove(&name)),
            Step::Hidden { name: None, .. } | Step::Reads { .. } => {}
        }
    }
    all
}

/// Whether a line only assigns a value, or does nothing: a shell would carry out any other.
fn is_harmless(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return true;
    }
    let line = line.strip_prefix(b"export ").unwrap_or(line);
    let name = line.split(|byte| *byte == b'=').next().unwrap_or_default();
    let is_name = std::str::from_utf8(name).is_ok_and(super::is_variable) && name.len() < line.len();
    is_name && !line.iter().any(|byte| matches!(byte, b'`' | b'$' | b';' | b'&' | b'|' | b'<' | b'>' | b'('))
}
