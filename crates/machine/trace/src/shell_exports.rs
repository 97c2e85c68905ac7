//! Whether a shell exports a value. Its memory also has the lines that were typed, and a typed value is no export:
//! `NAME=value program` gives it to one program alone.
//!
//! bash 5.2 keeps the value of a variable as an allocation of its own, and each export as the text `NAME=value` beside
//! it (variables.c, `make_variable_value`, `mk_env_string`). Of a typed line at most the second remains. Other shells keep
//! variables in another way, and another allocator has other bytes before a value: then nothing shows what is exported.
//! bash's own `IFS` shows whether its memory is as expected (variables.c, `initialize_shell_variables`).

use std::cell::RefCell;
use std::path::Path;

use keyroll_observe::{MemoryLimits, ProcessId, Search, image, memory_holds};
use keyroll_secret::SecretBytes;
use memchr::memmem::{self, Finder};

/// The longest value of a variable that is compared, bytes.
const VALUE_BYTES_MAX: usize = 4096;

/// The most different values of one name in one memory.
const VALUES_MAX: usize = 8;

/// The size before each allocation of glibc (malloc.c, `mchunk_size`): eight bytes, of which a small one uses two.
const HEADER_BYTES: usize = 8;
const SIZE_BYTES: usize = 2;

/// The program whose memory is understood.
const SHELL: &str = "bash";

/// The value that `IFS` has in each bash from its start on.
const IFS: &[u8] = b" \t\n";

/// What [`Kept`] finds: one of the values, or that of `IFS`.
const VALUE_ID: u32 = 0;
const IFS_ID: u32 = 1;

/// Whether a shell has a variable of this name with a value that holds this one, and exports it. `None` = its memory could
/// not be read to the end, or is not understood.
pub(crate) fn exports(
    shell: &ProcessId,
    (name, value): (&str, &SecretBytes),
    limits: MemoryLimits,
    left: &mut u64,
) -> Option<bool> {
    let is_bash = |program: &Path| program.file_name().is_some_and(|name| name == SHELL);
    if !image(shell).is_ok_and(|image| is_bash(&image.program.path)) {
        return None;
    }
    let finder = Finder::new(name.as_bytes());
    let entries = Entries { finder, value, found: RefCell::default() };
    let first = memory_holds(shell, &entries, limits);
    *left = left.saturating_sub(first.bytes_read);
    let found = entries.found.into_inner();
    let limits = MemoryLimits { bytes_max: *left, ..limits };
    let second = memory_holds(shell, &Kept { texts: &found }, limits);
    *left = left.saturating_sub(second.bytes_read);
    if second.found.contains_key(&VALUE_ID) {
        return Some(true);
    }
    // What was not found proves something only in a memory that was read to the end, and where such values are found.
    let whole = first.whole() && second.whole();
    (whole && second.found.contains_key(&IFS_ID)).then_some(false)
}

/// The values in texts `NAME=value` that stand alone.
struct Entries<'a> {
    finder: Finder<'a>,
    value: &'a SecretBytes,
    found: RefCell<Vec<SecretBytes>>,
}

impl Search for Entries<'_> {
    fn find(&self, bytes: &[u8], _: &mut dyn FnMut(u32, usize)) {
        for at in self.finder.find_iter(bytes) {
            let begins = at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&0);
            let rest = bytes.get(at + self.finder.needle().len()..).unwrap_or_default();
            let Some(rest) = rest.strip_prefix(b"=").filter(|_| begins) else { continue };
            let Some(end) = rest.iter().take(VALUE_BYTES_MAX).position(|byte| *byte == 0) else { continue };
            let text = rest.get(..end).unwrap_or_default();
            let mut found = self.found.borrow_mut();
            let known = found.iter().any(|one| one.expose() == text);
            if !known && found.len() < VALUES_MAX && memmem::find(text, self.value.expose()).is_some() {
                found.push(SecretBytes::new(text.to_vec()));
            }
        }
    }

    fn longest(&self) -> usize {
        self.finder.needle().len() + VALUE_BYTES_MAX + 2
    }
}

/// Texts that are an allocation of their own.
struct Kept<'a> {
    texts: &'a [SecretBytes],
}

impl Search for Kept<'_> {
    fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize)) {
        let values = self.texts.iter().map(|text| (VALUE_ID, text.expose()));
        for (id, text) in values.chain([(IFS_ID, IFS)]) {
            for at in memmem::find_iter(bytes, text).filter(|at| is_alone(bytes, *at, text.len())) {
                hit(id, at);
            }
        }
    }

    fn longest(&self) -> usize {
        HEADER_BYTES + VALUE_BYTES_MAX + 1
    }
}

/// Whether a text of this length is all that an allocation of glibc has.
fn is_alone(bytes: &[u8], at: usize, length: usize) -> bool {
    let header = at.checked_sub(HEADER_BYTES).and_then(|start| bytes.get(start..at));
    let Some((size, rest)) = header.and_then(|all| all.split_at_checked(SIZE_BYTES)) else { return false };
    let sized = size.iter().any(|byte| *byte != 0) && rest.iter().all(|byte| *byte == 0);
    sized && bytes.get(at + length) == Some(&0)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use keyroll_observe::process;

    use super::*;

    /// What is told of `ACME_API_KEY` in a shell that has run a text.
    fn told(shell: &str, text: &str, value: &str) -> Option<bool> {
        let text = format!("{text}; /bin/true; echo ready; read -r line; :");
        let mut command = Command::new(shell);
        command.args(["-c", &text]).env_remove("ACME_API_KEY").env("GIVEN", value);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let id = process(child.id()).unwrap().id;
        let secret = SecretBytes::from(value.to_owned());
        let mut left = u64::MAX;
        let told = exports(&id, ("ACME_API_KEY", &secret), MemoryLimits::default(), &mut left);
        child.kill().unwrap();
        child.wait().unwrap();
        told
    }

    /// A shell whose memory is not understood is not said to export nothing.
    #[test]
    fn only_a_memory_that_is_understood_shows_that_nothing_is_exported() {
        let value = keyroll_testkit::alphanumeric(24);
        assert_eq!(told("bash", "export ACME_API_KEY=$GIVEN", &value), Some(true));
        assert_eq!(told("bash", "OTHER=$GIVEN", &value), Some(false));
        assert_eq!(told("bash", "IFS=:; OTHER=$GIVEN", &value), None, "its IFS was changed");
        let dash = ["/bin/dash", "/usr/bin/dash"].into_iter().find(|path| Path::new(path).exists());
        for text in ["export ACME_API_KEY=$GIVEN", "OTHER=$GIVEN"] {
            assert_eq!(dash.and_then(|dash| told(dash, text, &value)), None, "{text}");
        }
    }
}
