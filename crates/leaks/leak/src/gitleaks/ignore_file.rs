use std::collections::BTreeSet;

/// The findings in a `.gitleaksignore`, by location.
#[derive(Default)]
pub struct IgnoreFile {
    /// `path:rule:line` or `commit:path:rule:line`, with `/` in paths.
    known: BTreeSet<String>,
    unread: Vec<usize>,
}

impl IgnoreFile {
    /// Parses the lines: `path:rule:line` for files and any commit, or `commit:path:rule:line`; `#` begins a comment.
    /// For other lines see [`IgnoreFile::unread`].
    pub fn read(text: &str) -> Self {
        let mut all = Self::default();
        for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parts: Vec<&str> = line.split(':').collect();
            let last = parts.last().is_some_and(|last| last.parse::<u64>().is_ok());
            if last && matches!(parts.len(), 3 | 4) {
                all.known.insert(line.replace('\\', "/"));
            } else {
                all.unread.push(number + 1);
            }
        }
        all
    }

    /// The numbers of lines that are not understood, from 1 on. Betterleaks 2 writes hashes of values, which are not
    /// used.
    pub fn unread(&self) -> &[usize] {
        &self.unread
    }

    /// Whether a finding is listed. Lines count from 1, in the file of that commit; gitleaks uses the line where the
    /// match begins.
    pub fn contains(&self, commit: Option<&str>, path: &str, rule: &str, line: usize) -> bool {
        let path = path.replace('\\', "/");
        let anywhere = format!("{path}:{rule}:{line}");
        let here = || commit.is_some_and(|commit| self.known.contains(&format!("{commit}:{anywhere}")));
        self.known.contains(&anywhere) || here()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_known_by_its_place_in_any_commit_or_in_one() {
        let text =
            "# known\n\n  src/a.py:aws:12  \nabc123:src\\b.py:aws:3\r\nsrc/a.py:aws\nx:y:z:1:2\na:b:c\n";
        let ignored = IgnoreFile::read(text);
        assert_eq!(ignored.unread(), [5, 6, 7]);
        for commit in [None, Some("abc123"), Some("def")] {
            assert!(ignored.contains(commit, "src/a.py", "aws", 12));
            assert!(ignored.contains(commit, r"src\a.py", "aws", 12));
        }
        assert!(ignored.contains(Some("abc123"), "src/b.py", "aws", 3));
        assert!(!ignored.contains(None, "src/b.py", "aws", 3));
        assert!(!ignored.contains(Some("def"), "src/b.py", "aws", 3));
        assert!(!ignored.contains(None, "src/a.py", "aws", 1) && !ignored.contains(None, "a.py", "aws", 12));
        assert!(!ignored.contains(None, "src/a.py", "gcp", 12));
    }
}
