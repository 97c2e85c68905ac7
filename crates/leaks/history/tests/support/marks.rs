//! Marks that are planted in texts, and a brute-force search for them. Whether a mark counts depends on the text around
//! it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use keyroll_history::{Blob, HIT_BYTES_MAX, Hit, HitSink, Inspector, ObjectId};

use super::random::{Change, Random, edit};

/// How far before a mark its word may stand, bytes.
const NEAR: usize = 64;

/// A piece of a text: words, and marks that may or may not count at their position.
pub(crate) fn piece(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.below(9) {
        match random.below(16) {
            0 | 1 => out.extend(format!("TK{}", random.below(1000)).bytes()),
            2 => out.extend(b"near"),
            3 => out.extend(b"pw:\n  "),
            4 => out.extend(b"pw:"),
            5 => out.extend(b"ZQ"),
            6 => out.push(b';'),
            7 if random.one_in(400) => out.extend(b"-----BEGIN X-----\nAbc\n"),
            8 if random.one_in(8) => out.extend(b"-----END"),
            9 if random.one_in(10) => out.extend([0, 0xff, b'\r', b'\n']),
            10 if random.one_in(30) => out.extend(vec![b'='; random.below(9000)]),
            _ => out.extend((0..1 + random.below(12)).map(|_| b"abcdefg hi"[random.below(10)])),
        }
        if random.one_in(2) {
            out.push(b' ');
        }
    }
    out
}

/// A text of so many pieces.
pub(crate) fn text(random: &mut Random, pieces: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..pieces {
        out.extend(piece(random));
        // Some texts have very long lines.
        out.push(if random.one_in(40) { b',' } else { b'\n' });
    }
    out
}

/// A history of random files.
pub(crate) fn history(seed: u64, files: usize, commits: usize) -> Vec<Change> {
    let mut random = Random(seed);
    let mut texts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut changes = Vec::new();
    for number in 0..commits {
        let mut changed = Vec::new();
        for _ in 0..1 + random.below(3) {
            let name = format!("d{}/f{}.txt", random.below(4), random.below(files));
            let length = 20 + random.below(400);
            let mut text = texts.get(&name).cloned().unwrap_or_else(|| text(&mut random, length));
            if random.one_in(40) {
                texts.remove(&name);
                changed.push((name, None));
                continue;
            }
            if random.one_in(6) {
                text = text
                    .iter()
                    .map(|byte| if *byte == b'\n' && seed % 3 == 1 { b' ' } else { *byte })
                    .collect();
            }
            edit(&mut random, &mut text, &mut piece);
            texts.insert(name.clone(), text.clone());
            changed.push((name, Some(text)));
        }
        changes.push(Change {
            files: changed,
            message: [b"near TK77 of ".as_slice(), &piece(&mut random)].concat(),
            time: 1_700_000_000 + number as u64 * 60,
            branch: "main",
            from: None,
            merges: Vec::new(),
        });
    }
    changes
}

/// Looks for marks, in the windows alone.
#[derive(Default)]
pub(crate) struct Marks {
    /// Whether to ignore the windows and search everything.
    pub(crate) everything: bool,
}

impl Inspector for Marks {
    fn inspect(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>) {
        let mut before = 0;
        for window in blob.windows {
            assert!(window.start < window.end && window.end <= blob.bytes.len());
            assert!(before == 0 || window.start > before, "windows are apart");
            before = window.end;
        }
        if self.everything {
            return hits.extend(marks(blob.bytes, &(0..blob.bytes.len())));
        }
        for window in blob.windows {
            hits.extend(marks(blob.bytes, window));
        }
    }
}

/// All marks that are completely in a window, judged by the text around them.
pub(crate) fn marks(bytes: &[u8], window: &Range<usize>) -> Vec<Hit> {
    let mut found = Vec::new();
    for start in window.clone() {
        let rest = &bytes[start..];
        let line = bytes[start.saturating_sub(NEAR)..start].iter().rposition(|byte| *byte == b'\n');
        let before = match line {
            Some(at) => &bytes[start.saturating_sub(NEAR) + at + 1..start],
            None => &bytes[start.saturating_sub(NEAR)..start],
        };
        let run = |from: usize, of: fn(&u8) -> bool| rest[from..].iter().take_while(|byte| of(byte)).count();
        let (tag, length) = if rest.starts_with(b"TK") && before.windows(4).any(|word| word == b"near") {
            (1, 2 + run(2, u8::is_ascii_digit))
        } else if rest.starts_with(b"pw:\n") {
            let blanks = run(4, |byte| *byte == b' ');
            let word = run(4 + blanks, u8::is_ascii_lowercase);
            if word == 0 {
                continue;
            }
            (2, 4 + blanks + word)
        } else if rest.starts_with(b"ZQ") && rest.get(2) == Some(&b';') && before.last() != Some(&b'a') {
            (3, 2)
        } else if rest.starts_with(b"-----BEGIN") {
            let Some(end) = rest[..rest.len().min(16 * 1024)].windows(8).position(|word| word == b"-----END")
            else {
                continue;
            };
            (4, end + 8)
        } else if before.is_empty() && (start == 0 || bytes[start - 1] == b'\n') && rest.starts_with(b"a") {
            // The beginning of a line.
            (5, 1)
        } else if rest.starts_with(b"a") && (rest.len() == 1 || rest[1] == b'\n') {
            // The end of a line.
            (6, 1)
        } else {
            continue;
        };
        let bounded = tag == 4 || length <= HIT_BYTES_MAX;
        if bounded && start + length <= window.end {
            found.push(Hit { span: start..start + length, tag });
        }
    }
    found
}

/// Keeps all hits, and refuses an object that is reported twice.
#[derive(Default)]
pub(crate) struct Kept(Mutex<BTreeMap<ObjectId, Vec<Hit>>>);

impl HitSink for Kept {
    fn found(&self, blob: &Blob<'_>, hits: &[Hit]) {
        assert!(hits.windows(2).all(|two| two[0] != two[1]), "each hit once");
        let before = self.0.lock().unwrap().insert(blob.id, hits.to_vec());
        assert!(before.is_none(), "{} was told twice", blob.id);
    }
}

impl Kept {
    pub(crate) fn all(self) -> BTreeMap<ObjectId, Vec<Hit>> {
        self.0.into_inner().unwrap()
    }
}
