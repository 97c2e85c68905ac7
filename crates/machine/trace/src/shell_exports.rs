//! Whether a shell exports a value. Its memory also has the lines that were typed, and a typed value is no export:
//! `NAME=value program` gives it to one program alone.
//!
//! bash 5.2 keeps the value of a variable as an allocation of its own, and each export as the text `NAME=value` beside
//! it (variables.c, `make_variable_value`, `mk_env_string`). Of a typed line at most the second remains.

use std::cell::RefCell;

use keyroll_observe::{MemoryLimits, ProcessId, Search, memory_holds};
use keyroll_secret::SecretBytes;
use memchr::memmem::{self, Finder};

/// The longest value of a variable that is compared, bytes.
const VALUE_BYTES_MAX: usize = 4096;

/// The most different values of one name in one memory.
const VALUES_MAX: usize = 8;

/// The size before each allocation of glibc (malloc.c, `mchunk_size`): eight bytes, of which a small one uses two.
const HEADER_BYTES: usize = 8;
const SIZE_BYTES: usize = 2;

/// Whether a shell has a variable of this name with a value that holds this one, and exports it. `None` = its memory could
/// not be read to the end.
pub(crate) fn exports(
    shell: &ProcessId,
    (name, value): (&str, &SecretBytes),
    limits: MemoryLimits,
    left: &mut u64,
) -> Option<bool> {
    let finder = Finder::new(name.as_bytes());
    let entries = Entries { finder, value, found: RefCell::default() };
    let report = memory_holds(shell, &entries, limits);
    *left = left.saturating_sub(report.bytes_read);
    let found = entries.found.into_inner();
    if found.is_empty() {
        return report.whole().then_some(false);
    }
    let limits = MemoryLimits { bytes_max: *left, ..limits };
    let kept = Kept { texts: &found };
    let report = memory_holds(shell, &kept, limits);
    *left = left.saturating_sub(report.bytes_read);
    if report.found.is_empty() { report.whole().then_some(false) } else { Some(true) }
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
        for text in self.texts {
            for at in memmem::find_iter(bytes, text.expose()) {
                let header = at.checked_sub(HEADER_BYTES).and_then(|start| bytes.get(start..at));
                let Some((size, rest)) = header.and_then(|all| all.split_at_checked(SIZE_BYTES)) else {
                    continue;
                };
                let alone = size.iter().any(|byte| *byte != 0) && rest.iter().all(|byte| *byte == 0);
                if alone && bytes.get(at + text.len()) == Some(&0) {
                    hit(0, at);
                }
            }
        }
    }

    fn longest(&self) -> usize {
        HEADER_BYTES + VALUE_BYTES_MAX + 1
    }
}
