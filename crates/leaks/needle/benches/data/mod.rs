//! The data of the benchmarks: source code, the memory of a process, and values like those of providers.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;

/// The size of each benchmark's data, bytes; if the machine has less, that is shown.
pub const DATA_BYTES: usize = 200_000_000;

/// All regular files under these folders, one after the other, up to [`DATA_BYTES`].
pub fn source() -> Vec<u8> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut folders: Vec<PathBuf> = home.iter().map(|home| home.join("registry/src")).collect();
    folders.extend(["/usr/lib/python3", "/usr/lib/python3.11", "/usr/include"].map(PathBuf::from));
    let mut data = Vec::with_capacity(DATA_BYTES);
    folders.iter().for_each(|folder| append_files(folder, &mut data));
    data.truncate(DATA_BYTES);
    data
}

fn append_files(folder: &Path, data: &mut Vec<u8>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    for path in paths {
        if data.len() >= DATA_BYTES {
            return;
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => append_files(&path, data),
            Ok(metadata) if metadata.is_file() => data.extend(fs::read(&path).unwrap_or_default()),
            Ok(_) | Err(_) => {}
        }
    }
}

/// A program that fills its heap as programs do: modules, objects, text, numbers, tables, buffers.
const PROGRAM: &str = r#"
import asyncio, email, http.client, json, logging, random, sqlite3, sys, unittest, urllib.request, xml.dom.minidom
random.seed(1)
kept = []
def record(n):
    return {"id": n, "name": "user-%d" % n, "mail": "u%d@example.org" % n, "score": random.random(),
            "tags": [random.choice(["red", "green", "blue"]) for _ in range(4)], "path": "/srv/app/%x/%x" % (n, n * 7),
            "token": "%032x" % random.getrandbits(128)}
for n in range(175000):
    r = record(n)
    kept.append(r)
    if n % 3 == 0: kept.append(json.dumps(r))
    if n % 50 == 0: kept.append(bytearray(2048))
    if n % 100 == 0: kept.append(random.randbytes(4096))
print("ready", flush=True)
sys.stdin.read()
"#;

/// Ends the process when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The readable memory of a Python process with a full heap, up to [`DATA_BYTES`]; of this process where there is no
/// Python. Returns whose memory it is.
pub fn process_memory() -> (&'static str, Vec<u8>) {
    let started = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Ended);
    let Ok(mut child) = started else { return ("this process", dump("self")) };
    let mut line = String::new();
    if let Some(out) = child.0.stdout.take() {
        let _ = BufReader::new(out).read_line(&mut line);
    }
    match dump(&child.0.id().to_string()) {
        data if data.is_empty() => ("this process", dump("self")),
        data => ("a Python process", data),
    }
}

fn dump(pid: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(DATA_BYTES);
    let (Ok(maps), Ok(memory)) =
        (fs::read_to_string(format!("/proc/{pid}/maps")), File::open(format!("/proc/{pid}/mem")))
    else {
        return data;
    };
    for line in maps.lines().filter(|line| line.contains(" r")) {
        let bounds =
            line.split([' ', '-']).take(2).map(|bound| usize::from_str_radix(bound, 16).unwrap_or(0));
        let [start, end] = bounds.collect::<Vec<_>>()[..] else { continue };
        let length = end.saturating_sub(start).min(DATA_BYTES - data.len());
        let before = data.len();
        data.resize(before + length, 0);
        if memory.read_exact_at(&mut data[before..], start as u64).is_err() {
            data.truncate(before);
        }
    }
    data
}

/// A generator whose numbers come from its seed alone (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn text(&mut self, prefix: &str, alphabet: &str, length: usize) -> Vec<u8> {
        let letter = |number: u64| alphabet.as_bytes()[number as usize % alphabet.len()];
        prefix.bytes().chain((prefix.len()..length).map(|_| letter(self.next()))).collect()
    }
}

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Values of 16 bytes and more, shaped like those of real providers: with shared prefixes, hexadecimal, base64,
/// passwords with signs that encodings escape.
pub fn values(count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let signs = format!("{LETTERS}!#$%&*+/<=>?@^~");
    let base64 = format!("{LETTERS}+/");
    let value = |number: usize| match number % 8 {
        0 => random.text("sk-proj-", LETTERS, 56),
        1 => random.text("ghp_", LETTERS, 40),
        2 => random.text("", "0123456789abcdef", 32),
        3 => random.text("", &base64, 44),
        4 => random.text("", &signs, 24),
        5 => random.text("SG.", LETTERS, 69),
        6 => random.text("", LETTERS, 16),
        _ => random.text("xoxb-", LETTERS, 50),
    };
    (0..count).map(value).collect()
}

/// The values as needles, in all encodings or plain alone.
pub fn needles(values: &[Vec<u8>], raw_only: bool) -> Needles {
    let mut builder = Needles::builder();
    for (number, value) in (0..).zip(values) {
        builder = builder.add(NeedleId(number), &SecretBytes::new(value.clone()));
    }
    if raw_only { builder.raw_only() } else { builder }.build().expect("values of 16 bytes and more")
}
