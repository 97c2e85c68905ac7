//! Phrases that the glossary of docs/design/language.md rules out must not occur in documents or string literals.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::root;

/// Phrases that are never right in text for users; the glossary has the replacements.
const PHRASES: [&str; 29] = [
    "nobody explains",
    "no consumer explains",
    "unexplained",
    "let go",
    "lets go",
    "way back",
    "go back to",
    "goes back",
    "went back",
    "taken back",
    "takes back",
    "got out",
    "is told",
    "are told",
    "was told",
    "file of prints",
    "prints file",
    "taken in",
    "become of",
    "became of",
    "cannot be told",
    "stand still",
    "stands still",
    "switch off",
    "switched off",
    "whoever sits",
    "lie around",
    "kept no more",
    "gave their word",
];

/// Documents that must quote the phrases, or describe former versions.
const EXEMPT: [&str; 2] = ["docs/design/language.md", "CHANGELOG.md"];

/// Reports every phrase.
pub(crate) fn check(wrong: &mut Vec<String>) -> Result<(), String> {
    for path in texts()? {
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if EXEMPT.contains(&shown.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
        let text = if shown.ends_with(".rs") { literals(&text) } else { joined(&text) };
        wrong.extend(phrases(&text).iter().map(|phrase| format!("{shown}: says '{phrase}'")));
    }
    Ok(())
}

/// The phrases in a text, once for each occurrence. A phrase begins at the beginning of a word.
fn phrases(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let whole = |phrase: &str, at: usize| {
        let letter = |c: char| c.is_alphanumeric();
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + phrase.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(letter) && !after.is_some_and(letter)
    };
    let of = |phrase: &'static str| {
        text.match_indices(phrase).filter(|(at, _)| whole(phrase, *at)).map(|_| phrase).collect::<Vec<_>>()
    };
    PHRASES.into_iter().flat_map(of).collect()
}

/// A document with its lines joined, so that a phrase across a line break is found.
fn joined(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The string literals of a source without its tests at the end, one per line.
fn literals(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or(source);
    let mut all = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, from) = rest.split_at(at);
        rest = if let Some(comment) = from.strip_prefix("//") {
            comment.find('\n').and_then(|end| comment.get(end..)).unwrap_or_default()
        } else if let Some(text) = from.strip_prefix('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let raw = before.trim_end_matches('#').ends_with('r');
            let end = if raw { text.find(&format!("\"{}", "#".repeat(hashes))) } else { closing(text) };
            let (text, after) = text.split_at(end.unwrap_or(text.len()));
            all.push_str(&joined(&text.replace("\\\n", "\n")));
            all.push('\n');
            after.get(1..).unwrap_or_default()
        } else {
            // A character or a lifetime: `'"'` must not open a text.
            ["'\"'", "'\\\"'", "'/'", "'\\''"]
                .iter()
                .find_map(|quoted| from.strip_prefix(quoted))
                .unwrap_or_else(|| from.get(1..).unwrap_or_default())
        };
    }
    all
}

/// The end of a quoted text.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return Some(at),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// The documents at the top and below docs, and the sources of the rooms without their test programs.
fn texts() -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    let mut folders = vec![(root().join("docs"), "md"), (root().join("crates"), "rs")];
    for entry in entries(&root())? {
        if entry.is_file() && entry.extension().is_some_and(|ending| ending == "md") {
            all.push(entry);
        }
    }
    while let Some((folder, ending)) = folders.pop() {
        for entry in entries(&folder)? {
            let left_out =
                ["tests", "benches", "examples", "target"].iter().any(|name| entry.ends_with(name));
            if entry.is_dir() && !left_out {
                folders.push((entry, ending));
            } else if entry.extension().is_some_and(|found| found == ending) {
                all.push(entry);
            }
        }
    }
    all.sort();
    Ok(all)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{joined, literals, phrases};

    #[test]
    fn literals_are_found_and_comments_are_not() {
        let source = "// \"let go\"\nlet c = '\"';\nlet a = \"way \\\n   back\"; let l: &'static str = r#\"is \"told\"\"#;\n\
                      #[cfg(test)]\n\"got out\"";
        assert_eq!(literals(source), "way back\nis \"told\"\n");
        assert_eq!(literals("\"a\\\"b\" '/' \"c\""), "a\\\"b\nc\n");
    }

    #[test]
    fn a_phrase_is_found_between_words_and_over_lines() {
        assert_eq!(phrases(&joined("No Way\n  back, no way back.")), ["way back", "way back"]);
        assert!(phrases("outlet gone, is toldest").is_empty());
    }
}
