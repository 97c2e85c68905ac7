//! A command of keyroll that ends by itself, in a process of its own.
//!
//! The process leads a group, which is ended as a whole when nobody waits for it any more: also what it started. What was
//! taken for it, such as one of a number of places, is given back only when it has ended.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::server::Server;

/// The most that is kept of stdout, and of stderr, bytes.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 20;

/// What a command wrote, and how it ended.
pub(super) struct Output {
    pub(super) out: Text,
    pub(super) err: Text,
    pub(super) status: ExitStatus,
}

/// What a command wrote to one stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    /// There was more.
    pub(super) cut: bool,
}

/// Runs it, and returns the events that it wrote, as far as `L` knows them, and how it ended. Whoever does not wait for it
/// ends it.
pub(super) async fn lines<L: DeserializeOwned>(
    server: &Server,
    words: &[&str],
) -> io::Result<(Vec<L>, ExitStatus)> {
    let ended = lines_within(server, words, Duration::MAX, ()).await?;
    ended.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// The same; none if it took longer than `limit`, and was ended. `held` is dropped once it has ended.
pub(super) async fn lines_within<L: DeserializeOwned, H: Send + 'static>(
    server: &Server,
    words: &[&str],
    limit: Duration,
    held: H,
) -> io::Result<Option<(Vec<L>, ExitStatus)>> {
    let mut command = server.drives.command();
    command.args(words);
    let Some(Output { out, status, .. }) = output(command, limit, held).await? else { return Ok(None) };
    let lines = out.bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok(Some((lines, status)))
}

/// The same for who is told in a sentence why there is nothing; `what` is called so: `the plan`.
///
/// # Errors
/// It took too long, or could not be started.
pub(crate) async fn said_within<L: DeserializeOwned, H: Send + 'static>(
    server: &Server,
    what: &str,
    words: &[&str],
    limit: Duration,
    held: H,
) -> Result<(Vec<L>, ExitStatus), String> {
    match lines_within(server, words, limit, held).await {
        Ok(Some(ended)) => Ok(ended),
        Ok(None) => Err(format!("{what} took more than {} s", limit.as_secs())),
        Err(error) => Err(format!("{what} could not be started: {error}")),
    }
}

/// Runs a command without stdin, and returns what it wrote; stderr only if the command has it piped. None if it took longer
/// than `limit`, and was ended. Whoever does not wait for it ends it. `held` is dropped once it has ended.
pub(super) async fn output<H: Send + 'static>(
    command: Command,
    limit: Duration,
    held: H,
) -> io::Result<Option<Output>> {
    let (waits, gone) = oneshot::channel::<()>();
    // A caller that goes away drops this future, and not the task.
    let work = tokio::spawn(async move {
        let ended = run(command, limit, gone).await;
        drop(held);
        ended
    });
    let ended = work.await;
    drop(waits);
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// As [`output`]; `gone` ends when nobody waits any more.
async fn run(
    mut command: Command,
    limit: Duration,
    gone: oneshot::Receiver<()>,
) -> io::Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    // Dropped before the child is: until then its id is its own.
    let group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (out, err) = tokio::join!(text(stdout), text(stderr));
        (out, err, child.wait().await)
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = tokio::time::sleep(limit) => None,
        _ = gone => None,
    };
    if let Some((out, err, status)) = ended {
        group.disarm();
        return Ok(Some(Output { out, err, status: status? }));
    }
    drop(group);
    child.wait().await?;
    Ok(None)
}

/// The process group of a command. Dropping it ends the group.
struct Group(Option<Pid>);

impl Group {
    /// Of a child that was started as the leader of one.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Its leader was waited for, so the id may be another one's now.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The text of a stream, as much as is kept. Then the stream is closed, and the command goes on without it.
async fn text(stream: Option<impl AsyncRead + Unpin>) -> Text {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let most = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
        // What was read before an error is shown.
        let _ = stream.take(most.saturating_add(1)).read_to_end(&mut bytes).await;
    }
    let cut = bytes.len() > TEXT_BYTES_MAX;
    bytes.truncate(TEXT_BYTES_MAX);
    Text { bytes, cut }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Instant;

    use tokio::sync::Semaphore;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const LOOK: Duration = Duration::from_millis(20);

    /// A shell with a child of its own, whose id is in the file once both run.
    fn command(file: &Path) -> Command {
        let script = "sleep 1000 & echo $! > \"$0.new\"; mv \"$0.new\" \"$0\"; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(file);
        command
    }

    async fn until(what: &str, mut so: impl FnMut() -> bool) {
        let end = Instant::now() + LONG;
        while !so() {
            assert!(Instant::now() < end, "{what}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ended, also if nobody has waited for it.
    fn has_ended(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    }

    #[tokio::test]
    async fn a_command_that_nobody_waits_for_ends_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let waits = tokio::spawn(output(command(&file), LONG, place));
        until("it runs", || file.exists()).await;
        let child = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        assert!(!has_ended(&child) && places.available_permits() == 0);
        waits.abort();
        until("its child has ended", || has_ended(&child)).await;
        until("its place is free", || places.available_permits() == 1).await;
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let ended = output(command(&folder.path().join("pid")), Duration::from_millis(50), ()).await;
        assert!(ended.unwrap().is_none());
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]).stderr(Stdio::piped());
        let Output { out, err, status } = output(command, LONG, ()).await.unwrap().unwrap();
        assert_eq!((out.bytes.as_slice(), err.bytes.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(status.code(), Some(3));
    }

    #[tokio::test]
    async fn a_long_output_is_cut() {
        let Text { bytes, cut } = text(Some(tokio::io::repeat(b'x'))).await;
        assert_eq!((bytes.len(), cut), (TEXT_BYTES_MAX, true));
        assert_eq!(text(Some(&b"ab"[..])).await, Text { bytes: b"ab".to_vec(), cut: false });
        assert_eq!(text(None::<&[u8]>).await, Text { bytes: Vec::new(), cut: false });
    }
}
