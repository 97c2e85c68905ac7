//! Makes a bare repository with a real one's shape from a seed: files like source text, most of them small, each with
//! many versions that differ in a few lines.
//!
//! `make FOLDER BLOBS SEED`: about so many blobs, of 60 KiB on average. Git packs them with its usual settings.

#![allow(clippy::disallowed_methods, reason = "a test or an example looks from outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};

#[path = "../tests/support/random.rs"]
#[allow(dead_code)]
mod random;

use random::{Change, Random, write};

/// How many blobs a file has on average.
const VERSIONS: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, blobs, seed] = arguments.as_slice() else { panic!("make FOLDER BLOBS SEED") };
    let (blobs, seed): (usize, u64) = (blobs.parse().unwrap(), seed.parse().unwrap());
    git(&[], &["init", "-q", "--bare", "-b", "main", folder]);
    let mut import = Command::new("git")
        .args(["-C", folder, "fast-import", "--quiet", "--done"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = BufWriter::new(import.stdin.take().unwrap());
    let mut random = Random(seed);
    let words: Vec<String> = (0..4000).map(|_| word(&mut random)).collect();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let (mut written, mut commit, mut bytes) = (0, 0, 0_u64);
    while written < blobs {
        commit += 1;
        let mut changed = Vec::new();
        for _ in 0..1 + random.below(6) {
            if files.len() * VERSIONS < written.max(40) {
                let name =
                    format!("crates/m{}/src/d{}/f{}.rs", random.below(40), random.below(6), files.len());
                let length = length(&mut random);
                let mut text = Vec::with_capacity(length);
                while text.len() < length {
                    text.extend(line(&mut random, &words));
                }
                files.push((name, text));
                let (name, text) = files.last().unwrap();
                changed.push((name.clone(), Some(text.clone())));
            } else {
                // Some files are changed far more often than others.
                let share = random.below(1000) * random.below(1000) * random.below(1000);
                let at = files.len() * share / 1_000_000_000;
                let (name, text) = &mut files[at];
                change(&mut random, text, &words);
                changed.push((name.clone(), Some(text.clone())));
            }
        }
        changed.sort_by(|a, b| a.0.cmp(&b.0));
        changed.dedup_by(|a, b| a.0 == b.0);
        written += changed.len();
        bytes += changed.iter().map(|(_, text)| text.as_ref().map_or(0, Vec::len) as u64).sum::<u64>();
        let change = Change {
            files: changed,
            message: line(&mut random, &words),
            time: 1_500_000_000 + commit as u64 * 600,
            branch: "main",
            from: None,
            merges: Vec::new(),
        };
        let mut out = Vec::new();
        write(&mut out, commit, &change);
        to.write_all(&out).unwrap();
    }
    to.write_all(b"done\n").unwrap();
    drop(to);
    assert!(import.wait().unwrap().success());
    println!("{written} blobs, {bytes} bytes, {} files, {commit} commits", files.len());
    git(&["-C", folder], &["repack", "-qadf", "--depth=50", "--window=10"]);
}

fn git(before: &[&str], words: &[&str]) {
    assert!(Command::new("git").args(before).args(words).status().unwrap().success());
}

/// How long a new file is, bytes: most are small, a few are very large.
fn length(random: &mut Random) -> usize {
    match random.below(100) {
        0..60 => 1_000 + random.below(15_000),
        60..85 => 16_000 + random.below(60_000),
        85..98 => 76_000 + random.below(150_000),
        _ => 226_000 + random.below(800_000),
    }
}

fn word(random: &mut Random) -> String {
    let letters = b"etaoinshrdlucmfwygpbvk";
    (0..3 + random.below(9)).map(|_| letters[random.below(22).min(random.below(22))] as char).collect()
}

fn line(random: &mut Random, words: &[String]) -> Vec<u8> {
    let mut out = vec![b' '; 4 * random.below(5)];
    for _ in 0..1 + random.below(7) {
        let word = &words[random.below(words.len()).min(random.below(words.len()))];
        out.extend(word.bytes());
        out.extend([" ", "_", "(", ").", ", ", " = ", "::", "; "][random.below(8)].bytes());
    }
    if random.one_in(50) {
        out.extend(format!("{:016x}{:016x}", random.next(), random.next()).bytes());
    }
    out.push(b'\n');
    out
}

/// Changes a few places of a text: adds, removes or rewrites lines.
fn change(random: &mut Random, text: &mut Vec<u8>, words: &[String]) {
    for _ in 0..1 + random.below(6) {
        let at = random.below(text.len() + 1);
        let at = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut end = at;
        for _ in 0..random.below(8) {
            end += text[end..].iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        }
        let mut new = Vec::new();
        for _ in 0..random.below(9) {
            new.extend(line(random, words));
        }
        drop(text.splice(at..end, new));
    }
}
