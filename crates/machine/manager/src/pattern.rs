//! Patterns of file names, as glob(3) reads them: `*`, `?` and `[…]`, which never stand for `/` or a leading dot.

use std::path::{Component, Path, PathBuf};

/// The most files of one pattern.
const FILES_MAX: usize = 1_024;

/// Whether a path is a pattern, and not a name.
pub(crate) fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The files of a pattern, in the order of their names.
pub fn files_of(pattern: &Path) -> Vec<PathBuf> {
    let mut all = vec![PathBuf::new()];
    for part in pattern.components() {
        let Component::Normal(name) = part else {
            all.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        if !is_pattern(Path::new(name)) {
            all.iter_mut().for_each(|path| path.push(name));
            continue;
        }
        let inside = |folder: &PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
            let named = entries.filter(|entry| {
                let (name, pattern) = (entry.file_name(), name.as_encoded_bytes());
                let (name, hidden) = (name.as_encoded_bytes(), pattern.first() == Some(&b'.'));
                (hidden || name.first() != Some(&b'.')) && matches(pattern, name)
            });
            let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
            found.sort();
            found
        };
        all = all.iter().flat_map(inside).take(FILES_MAX).collect();
    }
    all.retain(|path| path.exists());
    all
}

/// Whether a name matches a pattern. Only the last `*` is tried again, so that no pattern takes long.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut on, mut star) = (0, 0, None);
    while let Some(byte) = name.get(on) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, on));
                at += 1;
                continue;
            }
            Some(_) => {
                if let Some(next) = one(pattern, at, *byte) {
                    (at, on) = (next, on + 1);
                    continue;
                }
            }
            None => {}
        }
        let Some((from, taken)) = star else { return false };
        star = Some((from, taken + 1));
        (at, on) = (from + 1, taken + 1);
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// The index after the element at `at`, if the element matches this byte.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => {
            let rest = pattern.get(at + 1..)?;
            let not = rest.first().is_some_and(|first| matches!(first, b'!' | b'^'));
            let from = usize::from(not);
            // A `]` that stands first is one of the bytes.
            let end = from + 1 + rest.get(from + 1..)?.iter().position(|byte| *byte == b']')?;
            let class = rest.get(from..end)?;
            let mut taken = class.contains(&byte);
            taken |= class.windows(3).any(|three| match three {
                [first, b'-', last] => (first..=last).contains(&&byte),
                _ => false,
            });
            (taken != not).then_some(at + 2 + end)
        }
        b'\\' => (pattern.get(at + 1)? == &byte).then_some(at + 2),
        plain => (*plain == byte).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_the_files_that_glob_finds() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.env", "a/1.env", "a/10.env", "a/.3.env", "a/x.conf", "c/1.env"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let of = |pattern: &str| -> Vec<String> {
            let found = files_of(&folder.path().join(pattern));
            let inside = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            found.iter().map(inside).collect()
        };
        assert_eq!(of("*/*.env"), ["a/1.env", "a/10.env", "b/2.env", "c/1.env"]);
        assert_eq!(of("[ab]/?.env"), ["a/1.env", "b/2.env"]);
        assert_eq!(of("[!a-b]/*"), ["c/1.env"]);
        assert_eq!(of("a/.*"), ["a/.3.env"]);
        assert_eq!(of("a/1*0.env"), ["a/10.env"]);
        assert_eq!(of("a/x.conf"), ["a/x.conf"]);
        assert_eq!(of("none/*"), [""; 0]);
        assert!(!matches(b"*a*a*a*a*a*a*a*b", "a".repeat(200).as_bytes()));
    }
}
