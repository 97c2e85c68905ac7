//! The truth about a scene, which only the scorer knows.

use keyroll_testkit::alphanumeric;

use crate::scenes::stage::Scene;

/// One of the two versions that each scene's value has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Old,
    New,
}

use Version::{New, Old};

/// A scene.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The cause, by its number in docs/design/discovery.md, and what it is.
    pub cause: &'static str,
    /// The variable of the value, or the name of its file.
    #[allow(dead_code, reason = "shown where a scene is judged wrongly")]
    pub name: &'static str,
    /// Where each version stands, as `trace` shows it.
    pub copies: Vec<(String, Version)>,
    /// Which process uses which version.
    pub instances: Vec<Runs>,
    /// The line that names the cause.
    pub line: Line,
}

/// One process.
#[derive(Debug, Clone)]
pub struct Runs {
    pub pid: u32,
    /// The versions that it holds, in its start environment and its memory.
    pub holds: &'static [Version],
    /// The version that it would use if it were started again now; `None` if nothing on the machine shows that.
    pub next: Option<Version>,
}

/// The texts that one line must contain.
#[derive(Debug, Clone)]
pub struct Line {
    /// Of this instance.
    pub pid: u32,
    /// All of these. `OLD` and `NEW` are the labels of the versions.
    pub says: Vec<String>,
}

impl Truth {
    /// Whether it is one of the causes, and not something that only looks like one.
    pub fn is_numbered(&self) -> bool {
        self.cause.starts_with(|letter: char| letter.is_ascii_digit())
    }
}

impl Line {
    pub fn of(pid: u32, says: &[&str]) -> Self {
        Self { pid, says: says.iter().map(|one| (*one).to_owned()).collect() }
    }

    /// Whether a text is one line with all of it.
    pub fn is_in(&self, text: &str) -> bool {
        !text.contains('\n') && self.says.iter().all(|part| text.contains(part))
    }

    /// With the scene's folder in the place of `@/`.
    pub fn within(mut self, scene: &Scene<'_>) -> Self {
        self.says.iter_mut().for_each(|text| *text = text.replace("@/", &scene.at("")));
        self
    }
}

impl Runs {
    pub fn new(pid: u32, holds: &'static [Version], next: Version) -> Self {
        Self { pid, holds, next: Some(next) }
    }

    /// The true verdict; `None` if it cannot be known.
    pub fn verdict(&self) -> Option<&'static str> {
        let next = self.next?;
        Some(match self.holds {
            [only] if *only == next => "current",
            holds if holds.contains(&next) => "mixed",
            _ => "stale",
        })
    }
}

/// The values of a scene.
#[derive(Debug, Clone)]
pub struct Values {
    pub old: String,
    pub new: String,
}

impl Values {
    pub fn new() -> Self {
        Self { old: alphanumeric(32), new: alphanumeric(32) }
    }

    /// `{old}` and `{new}` in a text, and `{old:base64}`.
    pub fn fill(&self, text: &str) -> String {
        let base64 = |value: &str| base64(value.as_bytes());
        text.replace("{old:base64}", &base64(&self.old))
            .replace("{new:base64}", &base64(&self.new))
            .replace("{old}", &self.old)
            .replace("{new}", &self.new)
    }

    pub fn of(&self, version: Version) -> &str {
        match version {
            Old => &self.old,
            New => &self.new,
        }
    }
}

/// As `base64` writes it.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().enumerate().fold(0_u32, |all, (at, byte)| all | u32::from(*byte) << (16 - 8 * at));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
