//! What a driver says of its rotation: the events that it writes.

use keyroll_app::problem;
use keyroll_codes::Code;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::watch;

/// The longest line of a driver's output that is read, bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What is seen of a driver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// It has the turn.
    pub(crate) runs: bool,
    /// The rotation that it drives.
    pub(crate) rotation: Option<String>,
    /// Nothing is lost any more if the server ends: the key is sealed for the rotation, or nobody brought one.
    pub(crate) sealed: bool,
    /// How the rotation ended, or what it waits for.
    pub(crate) result: Option<String>,
    /// The rotation has ended.
    pub(crate) over: bool,
    /// The problem that it ended with.
    pub(crate) problem: Option<Told>,
    /// It has ended, and is not started again.
    pub(crate) ended: bool,
    /// It ended in another way than by itself and without a fault.
    pub(crate) failed: bool,
    /// The server stops, an emergency of the secret took its place, or an operator asked for something else.
    pub(crate) kept_from: bool,
}

impl Seen {
    /// No driver runs.
    pub(crate) fn ended() -> Self {
        Self { ended: true, sealed: true, ..Self::default() }
    }

    /// How the driver of this secret ended, for the log.
    pub(crate) fn sentence(&self, secret: &str) -> String {
        let rotation =
            self.rotation.as_deref().map_or("nothing was begun".to_owned(), |id| format!("rotation {id}"));
        let why = match (&self.problem, &self.result) {
            (Some(told), _) => {
                format!("could not {} ({}): {}", told.attempted, told.code, told.causes.join(": "))
            }
            (None, Some(result)) => result.clone(),
            (None, None) => "its driver has ended".to_owned(),
        };
        format!("{secret}: {rotation}: {why}")
    }
}

/// A problem, as a driver told it; its texts passed the driver's redactor.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Told {
    pub(crate) attempted: String,
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) causes: Vec<String>,
    pub(crate) help: Option<String>,
    pub(crate) exit: u8,
}

impl Told {
    /// What was attempted and why it failed, on one line.
    pub(crate) fn sentence(&self) -> String {
        problem::sentence(&self.attempted, &self.causes)
    }

    /// Whether it has this code.
    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code.as_str()
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Rotation {
        id: String,
    },
    Sealed {},
    Done {
        outcome: String,
    },
    Paused {
        reason: String,
    },
    Error(Told),
    #[serde(other)]
    Other,
}

/// Reads the events of a driver until it closes its output.
pub(crate) async fn read_lines(stdout: ChildStdout, tell: &watch::Sender<Seen>, known: impl Fn(&str)) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // The rest of a line that is too long, and a line of a newer keyroll, tell nothing.
        match serde_json::from_slice(&line) {
            Ok(Line::Rotation { id }) => {
                known(&id);
                tell.send_modify(|seen| seen.rotation = Some(id));
            }
            Ok(Line::Sealed {}) => tell.send_modify(|seen| seen.sealed = true),
            Ok(Line::Done { outcome }) => {
                tell.send_modify(|seen| (seen.result, seen.over) = (Some(outcome), true));
            }
            Ok(Line::Paused { reason }) => tell.send_modify(|seen| seen.result = Some(reason)),
            Ok(Line::Error(told)) => tell.send_modify(|seen| seen.problem = Some(told)),
            Ok(Line::Other) | Err(_) => {}
        }
    }
}
