use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::redaction_sources::{RedactionSources, replaced};
use keyroll_codes::Code;
use keyroll_redact::{RedactingWriter, Report};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{ioctl_fionread, retry_on_intr};

use crate::args::RunArgs;
use crate::context::Context;
use crate::relay;
use crate::relay::Relay;
use crate::ui::{Look, Ui, raw};

/// How much is read at once, bytes.
const READ_BYTES: usize = 64 * 1024;

/// How much is written at once, bytes: a pipe takes this much completely or not at all (PIPE_BUF, pipe(7)).
const WRITE_BYTES_MAX: usize = 4096;

/// How long to try to show why keyroll ends early: stderr itself may be what nobody reads.
const SAY_MS_MAX: Duration = Duration::from_secs(2);

/// Runs a program, and redacts the known secrets and everything that looks like a credential from its output. Exits
/// with the program's exit code, but never with success if a part of the output could not be shown.
#[expect(clippy::disallowed_methods, reason = "starts the operator's program")]
pub(super) fn run(args: &RunArgs, context: &mut Context) -> Result<ExitCode, Problem> {
    let look = context.ui.look;
    let shielding = RedactionSources::open(args.known, &context.installation, &mut context.ui)?;
    let Some((program, words)) = args.command.split_first() else {
        return Err(Problem::new(Code::ProgramNotStarted, "run a program").because("none is named"));
    };
    let left = Arc::new(<[Left; 2]>::default());
    let not_taken = Arc::clone(&left);
    // Listen for signals before the program starts, so that a signal cannot end keyroll alone.
    let relay = Relay::listen(move |code| give_up(look, not_taken.as_slice(), code)).map_err(|error| {
        Problem::new(Code::ProgramNotStarted, "receive signals for the program").because_of(&error)
    })?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        Problem::new(Code::ProgramNotStarted, "run the program")
            .because_of(&error)
            .help("keyroll searches PATH for it; write the command after -- as you would without keyroll")
    })?;
    let (report, shown) = shielded(&mut child, &relay, &shielding, &left);
    let looked = shielding.end();
    let ended = child
        .wait()
        .map_err(|error| Problem::new(Code::ProgramNotStarted, "wait for the program").because_of(&error))?;
    // With --json a note would be part of the program's output.
    if !report.is_empty() && !context.ui.look.json {
        context.ui.note(replaced(&report));
    }
    let mut code = relay::code(ended.code(), ended.signal());
    for problem in [shown.map_err(|error| cut_off(&error)).err(), looked.err()].into_iter().flatten() {
        context.ui.problem(&problem);
        code = code.max(Exit::Failed.number());
    }
    Ok(ExitCode::from(code))
}

fn cut_off(error: &io::Error) -> Problem {
    Problem::new(Code::OutputNotWritten, "write the program's complete output")
        .because_of(error)
        .help("free space for its output; check what the program did before you run it again")
}

/// Ends keyroll at once, wherever it waits: a signal asked it to end, and nobody reads its output.
fn give_up(look: Look, left: &[Left], code: u8) {
    let bytes: u64 = left.iter().map(Left::bytes).sum();
    let problem = Problem::new(Code::OutputNotWritten, "write the program's complete output")
        .because(format!("at least {bytes} bytes had not been read when keyroll was asked to end"))
        .help("check what the program did before you run it again");
    let (says, said) = channel::<()>();
    let say = move || {
        // With --json the problem would go to stdout, which may be what nobody reads.
        Ui::new(Look { json: false, ..look }).problem(&problem);
        drop(says);
    };
    let _ = thread::Builder::new().name("problem".into()).spawn(say);
    let _ = said.recv_timeout(SAY_MS_MAX);
    std::process::exit(i32::from(code.max(Exit::Failed.number())))
}

/// The bytes that the program wrote to one of its outputs and that nobody has read yet, without those that the
/// redaction holds back.
#[derive(Default)]
struct Left {
    /// Dropped when the copying ends.
    pipe: OnceLock<Weak<OwnedFd>>,
    ready_bytes: AtomicUsize,
}

impl Left {
    fn bytes(&self) -> u64 {
        let pipe = self.pipe.get().and_then(Weak::upgrade);
        let piped = pipe.and_then(|pipe| ioctl_fionread(&pipe).ok()).unwrap_or_default();
        let ready = u64::try_from(self.ready_bytes.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        piped.saturating_add(ready)
    }
}

/// Copies both outputs at the same time: an output that nobody reads would block the program.
fn shielded(
    child: &mut Child,
    relay: &Relay,
    shielding: &RedactionSources<'_>,
    left: &[Left; 2],
) -> (Report, io::Result<()>) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let [of_out, of_err] = left;
    thread::scope(|scope| {
        let err = scope.spawn(|| {
            err.map(|from| pass(Piped::new(from.into(), relay, of_err), Taken(raw::err(), of_err), shielding))
        });
        let out = scope.spawn(|| {
            out.map(|from| pass(Piped::new(from.into(), relay, of_out), Taken(raw::out(), of_out), shielding))
        });
        relay.until_ended(child);
        let mut all = (Report::default(), Ok(()));
        for (report, shown) in [out, err].into_iter().filter_map(|one| one.join().ok().flatten()) {
            all.0.add(&report);
            all.1 = all.1.and(shown);
        }
        all
    })
}

/// Reads a pipe until every writer has closed it. After a request to end, reads only the bytes that are in it then.
struct Piped<'r> {
    from: Arc<OwnedFd>,
    enough: &'r PipeReader,
    left_bytes: Option<u64>,
}

impl<'r> Piped<'r> {
    fn new(from: OwnedFd, relay: &'r Relay, left: &Left) -> Self {
        let from = Arc::new(from);
        let _ = left.pipe.set(Arc::downgrade(&from));
        Self { from, enough: relay.enough(), left_bytes: None }
    }

    /// Waits for input, or for a request to end.
    fn wait(&mut self) -> io::Result<()> {
        let mut both = [PollFd::new(&self.from, PollFlags::IN), PollFd::new(self.enough, PollFlags::IN)];
        retry_on_intr(|| poll(&mut both, None))?;
        let [_, enough] = both;
        if !enough.revents().is_empty() {
            self.left_bytes = Some(ioctl_fionread(&self.from)?);
        }
        Ok(())
    }
}

impl Read for Piped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left_bytes.is_none() {
            self.wait()?;
        }
        let Some(left) = self.left_bytes else { return Ok(rustix::io::read(&self.from, buffer)?) };
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = rustix::io::read(&self.from, buffer.get_mut(..length).unwrap_or_default())?;
        self.left_bytes = Some(left.saturating_sub(u64::try_from(read).unwrap_or(left)));
        Ok(read)
    }
}

/// A writer that counts the bytes it has not written yet.
struct Taken<'l, W>(W, &'l Left);

impl<W: Write> Write for Taken<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self(to, left) = self;
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            // Write whole lines, because another program may write to the same file.
            let near = rest.get(..WRITE_BYTES_MAX).unwrap_or(rest);
            let lines = near.iter().rposition(|byte| *byte == b'\n').map_or(near.len(), |last| last + 1);
            let piece = if near.len() < rest.len() { near.get(..lines).unwrap_or(near) } else { rest };
            left.ready_bytes.store(bytes.len().saturating_sub(written), Ordering::Relaxed);
            match to.write(piece) {
                Ok(length) => {
                    written += length;
                    if length < piece.len() {
                        break;
                    }
                }
                // The error occurs again at the next call.
                Err(_) if written > 0 => break,
                Err(error) => {
                    left.ready_bytes.store(0, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        left.ready_bytes.store(bytes.len().saturating_sub(written), Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Copies one output. If the reader closes the pipe, the program's pipe is closed too, as without keyroll. Any other
/// write error also closes it, and is returned.
fn pass(from: impl Read, to: impl Write, shielding: &RedactionSources<'_>) -> (Report, io::Result<()>) {
    let mut seen = 0;
    let mut shield = RedactingWriter::new(to, &shielding.sought(&mut seen));
    let copied = copy(from, &mut shield, shielding, &mut seen).and_then(|()| shield.finish());
    let shown = match copied {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown,
    };
    (shield.stream().take_report(), shown)
}

fn copy(
    mut from: impl Read,
    to: &mut RedactingWriter<impl Write>,
    shielding: &RedactionSources<'_>,
    seen: &mut u64,
) -> io::Result<()> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; READ_BYTES]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                if let Some(sought) = shielding.added(seen) {
                    to.stream().set_patterns(&sought);
                }
                to.write_all(buffer.get(..length).unwrap_or_default())?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
