use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How much of the end of standard error is kept, bytes.
const TAIL_BYTES: usize = 8 * 1024;
/// How long a line may be that is shown, characters.
const LINE_CHARS_MAX: usize = 300;
/// How long the rest is awaited once ssh has ended: a connection that others share keeps it open.
const REST_WAIT: Duration = Duration::from_secs(1);

/// What ssh says of a key before its last line, "Host key verification failed.", which is the same for both.
const OF_KEYS: [&str; 2] = ["REMOTE HOST IDENTIFICATION HAS CHANGED", "host key is known for"];

/// The standard error of ssh: read all the time, so that ssh never waits, and forgotten but for its end.
pub(crate) struct Said {
    tail: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Said {
    pub(crate) fn by(mut errors: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let tail = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&tail);
        let reading = tokio::spawn(async move {
            let mut part = vec![0; TAIL_BYTES];
            while let Ok(read) = errors.read(&mut part).await {
                let part = part.get(..read).unwrap_or_default();
                if part.is_empty() {
                    break;
                }
                keep(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), part);
            }
        });
        Self { tail, reading }
    }

    /// What was said last, once ssh has ended. It is empty where ssh said nothing.
    pub(crate) async fn last(mut self) -> String {
        // What was read by then is told: it is a sentence for a person, and no more than that rests on it.
        let _ = timeout(REST_WAIT, &mut self.reading).await;
        told(&String::from_utf8_lossy(&self.tail.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn keep(tail: &mut Vec<u8>, part: &[u8]) {
    tail.extend_from_slice(part);
    let old = tail.len().saturating_sub(TAIL_BYTES);
    tail.drain(..old);
}

/// The last line, after the one that says what is wrong with the key of the host.
fn told(text: &str) -> String {
    let mut lines = text.lines().rev().map(unassigned).filter(|line| !line.is_empty());
    let Some(last) = lines.next() else { return String::new() };
    match lines.find(|line| OF_KEYS.iter().any(|words| line.contains(words))) {
        Some(why) => format!("{}; {last}", why.trim_matches(['@', ' ', '!', '.'])),
        None => last,
    }
}

/// A line as it may be shown: whatever the host says, it moves no cursor.
pub(crate) fn cleaned(line: &str) -> String {
    let shown: String = line.chars().filter(|one| !one.is_control()).take(LINE_CHARS_MAX).collect();
    shown.trim().to_owned()
}

/// A line of something else than the boot script, as it may be shown. A shell that traces itself, or a profile that prints
/// variables, assigns values in it: what is assigned is left out.
pub(crate) fn unassigned(line: &str) -> String {
    let line = cleaned(line);
    match line.split_once('=') {
        Some((name, _)) => format!("{name}=…"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGED: &str = "\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r
Host key for web-1 has changed and you have requested strict checking.\r
Host key verification failed.\r
";

    #[test]
    fn the_last_line_is_told_without_what_moves_the_cursor() {
        assert_eq!(told("one\n\u{1b}[2Jtwo\r\n\n \n"), "[2Jtwo");
        assert_eq!(told(""), "");
        assert_eq!(told("+ export API_KEY=one SECOND=two words"), "+ export API_KEY=…");
        assert_eq!(told(&"long ".repeat(1000)).chars().count(), LINE_CHARS_MAX - 1);
    }

    #[test]
    fn a_changed_key_and_an_unknown_one_are_told_apart() {
        assert_eq!(
            told(CHANGED),
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED; Host key verification failed."
        );
        let unknown = "No ED25519 host key is known for web-1 and you have requested strict checking.\r\n\
             Host key verification failed.\r\n";
        assert_eq!(
            told(unknown),
            "No ED25519 host key is known for web-1 and you have requested strict checking; \
             Host key verification failed."
        );
    }

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = Vec::new();
        for number in 0..10_000 {
            keep(&mut tail, format!("line {number}\n").as_bytes());
            assert!(tail.len() <= TAIL_BYTES);
        }
        keep(&mut tail, &vec![b'x'; 3 * TAIL_BYTES]);
        assert_eq!(tail, vec![b'x'; TAIL_BYTES]);
    }
}
