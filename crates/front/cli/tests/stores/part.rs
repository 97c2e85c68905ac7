//! What is done at the store by others than keyroll: this test program, started once more, so that the test's own process
//! never holds a value. The host of the service fetches with its own login; other people write with theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::hostile::worker::read_key;
use crate::stores::kind::Kind;
use crate::stores::{at_aws, at_kubernetes, at_vault, beside, reader};

/// The variable that names the part: a word, then `key=value` words. None of them is a value of the secret.
pub const PART: &str = "KEYROLL_TEST_STORE_PART";

/// The secret at the store, its key of the scenes, and another one.
pub const NAME: &str = "prod/ring";
pub const KEY: &str = "RING_KEY";
pub const OTHER_KEY: &str = "OTHER";

pub type Words<'a> = BTreeMap<&'a str, &'a str>;

/// Plays the part that the environment names, if it names one.
pub fn play() {
    let Ok(text) = std::env::var(PART) else { return };
    let mut words = text.split(' ');
    let part = words.next().unwrap_or_default();
    let words: Words<'_> = words.filter_map(|word| word.split_once('=')).collect();
    let kind = Kind::of(words["kind"]);
    if part == "read" {
        return reader::read(kind, &words);
    }
    match kind {
        Kind::Aws => at_aws::play(part, &words),
        Kind::Vault => at_vault::play(part, &words),
        Kind::Kubernetes => at_kubernetes::play(part, &words),
        Kind::File | Kind::Program => beside::play(kind, part, &words),
    }
}

/// Writes an env file with what is given out, as the script of a service does.
pub fn write_env(words: &Words<'_>, value: &str, other: &str) {
    let out = Path::new(words["out"]);
    // Whoever reads it reads all of it.
    let next = out.with_extension("next");
    fs::write(&next, format!("# From the store\n{OTHER_KEY}={other}\n{KEY}={value}\n")).unwrap();
    fs::rename(next, out).unwrap();
}

/// The value that somebody made by hand.
pub fn value(words: &Words<'_>) -> String {
    value_in(Path::new(words["copy"]))
}

/// The value of an env file.
pub fn value_in(file: &Path) -> String {
    read_key(file, &Words::from([("variable", KEY)]))
}
