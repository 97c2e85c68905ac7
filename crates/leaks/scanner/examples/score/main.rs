//! Scores keyroll's scanner, and others, by a labelled corpus: `cargo run -p keyroll-scanner --example score -- [--seed N]
//! [--part all|tuned|held] [--peers] [--places] [--keep FOLDER]`.
//!
//! Values are made for this run and thrown away. `--peers` runs the other scanners that are installed; `--places` lists what
//! was missed and what is wrong, by file and line; `--keep` leaves the filled corpus in a folder. No value is printed.

#![allow(clippy::disallowed_methods, reason = "a test or an example looks from outside")]
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod corpus;
mod fill;
mod judge;
mod keys;
mod not;
mod ours;
mod passwords;
mod peers;
mod place;
mod providers;
mod random;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::corpus::Part;
use crate::fill::Filled;
use crate::judge::judge;

/// What was asked for.
struct Asked {
    seed: u64,
    part: Part,
    peers: bool,
    places: bool,
    keep: Option<PathBuf>,
}

fn asked() -> Option<Asked> {
    let mut asked = Asked { seed: 1, part: Part::All, peers: false, places: false, keep: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => asked.seed = words.next()?.parse().ok()?,
            "--part" => {
                asked.part = match words.next()?.as_str() {
                    "all" => Part::All,
                    "tuned" => Part::Tuned,
                    "held" => Part::Held,
                    _ => return None,
                }
            }
            "--peers" => asked.peers = true,
            "--places" => asked.places = true,
            "--keep" => asked.keep = Some(PathBuf::from(words.next()?)),
            _ => return None,
        }
    }
    Some(asked)
}

fn main() -> ExitCode {
    let Some(asked) = asked() else {
        eprintln!("usage: score [--seed N] [--part all|tuned|held] [--peers] [--places] [--keep FOLDER]");
        return ExitCode::from(2);
    };
    let templates = corpus::templates(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"));
    let taken = templates.iter().filter(|one| one.is_in(asked.part));
    let files: Vec<Filled> = taken.map(|one| fill::fill(one, asked.seed)).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let root = asked.keep.as_deref().unwrap_or(folder.path());
    write(root, &files);
    table::corpus(&files, asked.seed, asked.part);
    let score = judge(&files, &ours::scan(root));
    table::score("keyroll", &score);
    table::details(&score, asked.places);
    for peer in asked.peers.then_some(peers::PEERS).into_iter().flatten() {
        match peer.scan(root) {
            Some(found) => {
                let score = judge(&files, &found);
                table::score(peer.name, &score);
                if asked.places {
                    table::details(&score, false);
                }
            }
            None => println!("{:<16} is not installed", peer.name),
        }
    }
    ExitCode::SUCCESS
}

fn write(root: &Path, files: &[Filled]) {
    for file in files {
        let path = root.join(&file.path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, &file.text).expect("a file");
    }
}
