//! Passwords as people and programs make them, and keys of one's own that have no form.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::providers::uuid;
use super::random::{self, Random};

/// Of which people make passwords.
const WORDS: [&str; 40] = [
    "river", "copper", "lantern", "otter", "marble", "pepper", "violin", "harbor", "meadow", "rocket",
    "tulip", "walnut", "falcon", "ginger", "hammer", "island", "jacket", "kettle", "lemon", "magnet",
    "needle", "orchid", "pirate", "quartz", "rabbit", "saddle", "turtle", "umbrella", "velvet", "winter",
    "yellow", "zipper", "anchor", "bamboo", "cactus", "dolphin", "ember", "forest", "galaxy", "honey",
];

/// A password; `None` for a kind that is not known here.
pub fn value(kind: &str, random: &mut Random) -> Option<String> {
    let symbols = [random::BASE62, "!@%^*-_=+.~?"].concat();
    Some(match kind {
        // Of a password manager, without what quotes or shells would take apart.
        "strong" => random.mixed(random::BASE62, 20),
        "symbols" => symbolic(random, &symbols, 18),
        "short" => random.mixed(random::BASE62, 10),
        "weak" => weak(random),
        "phrase" => {
            [random.one(&WORDS), random.one(&WORDS), random.one(&WORDS), random.one(&WORDS)].join("-")
        }
        // openssl rand -hex 16, and 32.
        "hex" => random.letters(random::HEX, 32),
        "hex40" => random.letters(random::HEX, 40),
        "hex128" => random.letters(random::HEX, 128),
        "hex64" => random.letters(random::HEX, 64),
        // openssl rand -base64 32.
        "base64" => STANDARD.encode(random.bytes(32)),
        "token" => random.mixed(random::BASE62, 32),
        "urlsafe" => URL_SAFE_NO_PAD.encode(random.bytes(32)),
        "uuid" => uuid(random),
        // What stands behind `Basic`.
        "login64" => STANDARD.encode(format!("{}:{}", random.one(&WORDS), random.mixed(random::BASE62, 16))),
        _ => return None,
    })
}

fn symbolic(random: &mut Random, letters: &str, count: usize) -> String {
    // No mark at its ends, where a reader would not know whether it belongs to it.
    let head = random.letters(random::BASE62, 1);
    let tail = random.letters(random::BASE62, 1);
    format!("{head}{}{tail}", random.mixed(letters, count - 2))
}

/// Words, a number, a mark.
fn weak(random: &mut Random) -> String {
    let (one, two) = (random.one(&WORDS), random.one(&WORDS));
    let capital = format!("{}{}", one[..1].to_uppercase(), &one[1..]);
    let number = random.below(98) + 2;
    let year = 1980 + random.below(46);
    match random.below(5) {
        0 => format!("{capital}{year}!"),
        1 => format!("{capital}{two}{number}"),
        2 => format!("{capital}_{two}{number}"),
        3 => format!("{}@{year}", capital.replace('e', "3").replace('o', "0")),
        _ => format!("{one}{number}{two}#"),
    }
}
