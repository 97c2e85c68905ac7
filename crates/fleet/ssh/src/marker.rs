//! The lines of the boot script, found among whatever else a login shell prints before it.

use std::io;
use std::str::SplitAsciiWhitespace;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use crate::error::ReachError;
use crate::said::{cleaned, unassigned};

/// How a line of the boot script begins, with the version of the script.
const MARKER: &str = "KEYROLL-HOST 1 ";
/// How much is read before a line of the boot script, bytes.
const NOISE_BYTES_MAX: u64 = 64 * 1024;
/// How long the name of a kind of machine may be, bytes.
const MACHINE_BYTES_MAX: usize = 32;

/// How far the boot script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It awaits the program.
    Need,
    /// It becomes the program.
    Ready,
    OtherMachine,
    NoCache,
    NoSpace,
    WrongSum,
    NoExec,
}

/// As whom `keyroll-host` runs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sudo {
    /// As the user of the connection: sudo is not configured.
    NotAsked,
    /// As root, who needs no sudo.
    Root,
    /// As root, by sudo.
    Yes,
    /// As the user of the connection: sudo is configured, and refuses or wants a password.
    Refused,
}

/// A line of the boot script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) state: State,
    /// What `uname -m` says there.
    pub(crate) machine: String,
    /// `None` as long as sudo is not tried yet.
    pub(crate) sudo: Option<Sudo>,
    pub(crate) free_kib: Option<u64>,
}

impl Marker {
    /// Whether the program starts, and as whom; else why not.
    pub(crate) fn ready(&self) -> Result<Sudo, ReachError> {
        match (self.state, self.sudo) {
            (State::Ready, Some(sudo)) => Ok(sudo),
            (State::Ready, None) => Err(ReachError::Noise("it is ready, and has not tried sudo".to_owned())),
            (State::Need, _) => Err(ReachError::Noise("it asks for keyroll-host twice".to_owned())),
            (State::OtherMachine, _) => Err(ReachError::NoProgramFor(self.machine.clone())),
            (State::NoCache, _) => Err(ReachError::NoCache),
            (State::NoSpace, _) => Err(ReachError::NoSpace { free_kib: self.free_kib }),
            (State::WrongSum, _) => Err(ReachError::WrongSum),
            (State::NoExec, _) => Err(ReachError::NoExec),
        }
    }
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Marker(Marker),
    /// Too much that is no marker, or a marker that is none of these: the last line.
    Noise(String),
    /// The end, and the last line before it.
    End(String),
}

/// Reads up to the end of the next marker, and not a byte further: frames follow it.
pub(crate) async fn next(output: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Heard> {
    let mut left = NOISE_BYTES_MAX;
    let mut last = String::new();
    loop {
        let mut bytes = Vec::new();
        let read = (&mut *output).take(left).read_until(b'\n', &mut bytes).await?;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
        let line = String::from_utf8_lossy(&bytes);
        // A profile that prints no line end stands in front of it.
        if let (Some((_, words)), true) = (line.split_once(MARKER), line.ends_with('\n')) {
            return Ok(parsed(words)
                .map_or_else(|| Heard::Noise(cleaned(&format!("{MARKER}{words}"))), Heard::Marker));
        }
        let shown = unassigned(&line);
        if !shown.is_empty() {
            last = shown;
        }
        if left == 0 {
            return Ok(Heard::Noise(last));
        }
        if read == 0 {
            return Ok(Heard::End(last));
        }
    }
}

fn parsed(line: &str) -> Option<Marker> {
    let mut words = line.split_ascii_whitespace();
    let state = match field(&mut words, "state")? {
        "need" => State::Need,
        "ready" => State::Ready,
        "other-machine" => State::OtherMachine,
        "no-cache" => State::NoCache,
        "no-space" => State::NoSpace,
        "wrong-sum" => State::WrongSum,
        "no-exec" => State::NoExec,
        _ => return None,
    };
    let machine = field(&mut words, "machine")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if machine.is_empty() || machine.len() > MACHINE_BYTES_MAX || !machine.bytes().all(plain) {
        return None;
    }
    let sudo = match field(&mut words, "sudo")? {
        "no" => Some(Sudo::NotAsked),
        "root" => Some(Sudo::Root),
        "yes" => Some(Sudo::Yes),
        "refused" => Some(Sudo::Refused),
        "asked" => None,
        _ => return None,
    };
    let free_kib = field(&mut words, "free")?.parse().ok();
    Some(Marker { state, machine: machine.to_owned(), sudo, free_kib })
}

/// The value of the next word, which must have this name.
fn field<'t>(words: &mut SplitAsciiWhitespace<'t>, name: &str) -> Option<&'t str> {
    words.next()?.strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "KEYROLL-HOST 1 state=ready machine=x86_64 sudo=no free=1234\n";

    fn ready() -> Marker {
        let machine = "x86_64".to_owned();
        Marker { state: State::Ready, machine, sudo: Some(Sudo::NotAsked), free_kib: Some(1234) }
    }

    /// What is heard, and what is left to be read.
    async fn heard(text: &str) -> (Heard, String) {
        let mut left = text.as_bytes();
        let heard = next(&mut left).await.unwrap();
        (heard, String::from_utf8(left.to_owned()).unwrap())
    }

    #[tokio::test]
    async fn a_marker_is_found_after_other_lines_and_nothing_is_read_after_it() {
        for before in ["", "Welcome to web-1\n\n", "no line end"] {
            let (heard, left) = heard(&format!("{before}{READY}\0\0\0\x05frame")).await;
            assert_eq!(heard, Heard::Marker(ready()), "{before}");
            assert_eq!(left, "\0\0\0\x05frame");
        }
    }

    #[tokio::test]
    async fn the_end_tells_the_last_line() {
        let text = "hello\nThis account is currently not available.\n\n";
        let said = "This account is currently not available.".to_owned();
        assert_eq!(heard(text).await.0, Heard::End(said));
        assert_eq!(heard("").await.0, Heard::End(String::new()));
        // Half a marker is none.
        let (half, _) = READY.split_at(READY.len() - 1);
        assert_eq!(heard(half).await.0, Heard::End("KEYROLL-HOST 1 state=…".to_owned()));
    }

    #[tokio::test]
    async fn what_a_profile_prints_has_a_limit() {
        let max = usize::try_from(NOISE_BYTES_MAX).unwrap();
        for noise in ["x".repeat(2 * max), "x\n".repeat(max), "\n".repeat(max)] {
            let (heard, left) = heard(&format!("{noise}{READY}")).await;
            assert!(matches!(heard, Heard::Noise(_)), "{heard:?}");
            assert_eq!(left.len(), noise.len() + READY.len() - max);
        }
        let (heard, _) = heard(&format!("{}{READY}", "x\n".repeat((max - READY.len()) / 2))).await;
        assert_eq!(heard, Heard::Marker(ready()));
    }

    #[tokio::test]
    async fn a_marker_that_is_not_understood_is_noise() {
        for (part, other) in [
            ("state=ready", "state=odd"),
            ("state=ready", "ready"),
            ("machine=x86_64", "machine=x86;64"),
            ("machine=x86_64", "machine="),
            ("sudo=no", "sudo=maybe"),
            ("free=1234", ""),
        ] {
            let line = READY.replace(part, other);
            assert_eq!(heard(&line).await.0, Heard::Noise(line.trim().to_owned()));
        }
        // Of another version of the script: it is not taken for one of this.
        let line = READY.replace("HOST 1", "HOST 2");
        assert_eq!(heard(&line).await.0, Heard::End("KEYROLL-HOST 2 state=…".to_owned()));
    }

    #[tokio::test]
    async fn what_a_profile_assigns_is_not_told() {
        let said = |text: &str| Heard::End(text.to_owned());
        assert_eq!(heard("API_KEY=a-value\n").await.0, said("API_KEY=…"));
        // Nor what it prints before a marker that is not understood.
        let odd = READY.replace("ready", "odd");
        let told = Heard::Noise(odd.trim().to_owned());
        assert_eq!(heard(&format!("API_KEY=a-value {odd}")).await.0, told);
    }

    #[test]
    fn each_state_is_an_outcome_of_its_own() {
        let at = |state, sudo| Marker { state, sudo, ..ready() }.ready();
        assert_eq!(at(State::Ready, Some(Sudo::Refused)).unwrap(), Sudo::Refused);
        assert!(matches!(at(State::Ready, None), Err(ReachError::Noise(_))));
        assert!(matches!(at(State::Need, None), Err(ReachError::Noise(_))));
        assert!(matches!(at(State::OtherMachine, None), Err(ReachError::NoProgramFor(of)) if of == "x86_64"));
        assert!(matches!(at(State::NoCache, None), Err(ReachError::NoCache)));
        assert!(matches!(at(State::NoSpace, None), Err(ReachError::NoSpace { free_kib: Some(1234) })));
        assert!(matches!(at(State::WrongSum, None), Err(ReachError::WrongSum)));
        assert!(matches!(at(State::NoExec, None), Err(ReachError::NoExec)));
    }
}
