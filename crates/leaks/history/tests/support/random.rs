//! Repositories of random files with a seed, as a stream for `git fast-import`.

/// Numbers from a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// A commit of a stream: each file with its new bytes, or nothing if it goes.
pub(crate) struct Change {
    pub(crate) files: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) message: Vec<u8>,
    pub(crate) time: u64,
    /// The branch, and the numbers of commits that are merged (from 1).
    pub(crate) branch: &'static str,
    pub(crate) from: Option<usize>,
    pub(crate) merges: Vec<usize>,
}

/// What `git fast-import` reads.
pub(crate) fn stream(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        write(&mut out, number + 1, change);
    }
    out.extend(b"done\n");
    out
}

/// One commit of a stream.
pub(crate) fn write(out: &mut Vec<u8>, number: usize, change: &Change) {
    let person = format!("Person {} <p{}@example.org>", number % 7, number % 7);
    out.extend(format!("commit refs/heads/{}\nmark :{number}\n", change.branch).bytes());
    out.extend(format!("author {person} {} +0000\n", change.time).bytes());
    out.extend(format!("committer {person} {} +0000\n", change.time).bytes());
    data(out, &change.message);
    if let Some(from) = change.from {
        out.extend(format!("from :{from}\n").bytes());
    }
    for merged in &change.merges {
        out.extend(format!("merge :{merged}\n").bytes());
    }
    for (path, bytes) in &change.files {
        match bytes {
            Some(bytes) => {
                out.extend(format!("M 100644 inline {path}\n").bytes());
                data(out, bytes);
            }
            None => out.extend(format!("D {path}\n").bytes()),
        }
    }
    out.push(b'\n');
}

fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(format!("data {}\n", bytes.len()).bytes());
    out.extend(bytes);
    out.push(b'\n');
}

/// Edits a text at random: what an editor does, and what a merge or a formatter does.
pub(crate) fn edit(random: &mut Random, text: &mut Vec<u8>, piece: &mut dyn FnMut(&mut Random) -> Vec<u8>) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(text.len() + 1);
        let line = |at: usize, text: &[u8]| {
            text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        match random.below(8) {
            // A few bytes within a line.
            0 => drop(text.splice(at..at, piece(random))),
            // New lines.
            1 | 2 => {
                let at = line(at, text);
                let mut lines = Vec::new();
                for _ in 0..1 + random.below(5) {
                    lines.extend(piece(random));
                    lines.push(b'\n');
                }
                drop(text.splice(at..at, lines));
            }
            // A range goes.
            3 => {
                let end = (at + random.below(120)).min(text.len());
                text.drain(at..end);
            }
            // A range moves.
            4 => {
                let end = (at + random.below(400)).min(text.len());
                let moved: Vec<u8> = text.drain(at..end).collect();
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, moved));
            }
            // A range is written again elsewhere.
            5 => {
                let end = (at + random.below(300)).min(text.len());
                let again = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, again));
            }
            // A line is joined to the next, or cut.
            6 => match text[at..].iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    text.remove(at + end);
                }
                None => text.push(b'\n'),
            },
            _ => text.insert(at, b'\n'),
        }
    }
}
