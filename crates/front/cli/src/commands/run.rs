mod below;
mod given;
mod restarts;

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::redaction_sources::{RedactionSources, replaced};
use keyroll_codes::Code;
use keyroll_redact::{RedactingWriter, Report};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionread, retry_on_intr};
use rustix::process::{Signal, ioctl_tiocsctty, set_parent_process_death_signal, setsid};

use self::below::{Below, EXEC_FAILED, NOT_FOUND};
use self::given::{Source, Versions, file_of, not_started};
use self::restarts::Restarts;
use crate::args::{BelowArgs, Globals, RunArgs};
use crate::context::Context;
use crate::program_terminal::{Handing, ProgramTerminal};
use crate::relay;
use crate::relay::Relay;
use crate::ui::{Look, Ui, aside, put_terminal_back, raw};

/// What ends so soon after the program is not named as left behind.
const ENDS_TOO: Duration = Duration::from_secs(1);

/// How long the last output of a program may take before the terminal is as it was.
const LAST_OUTPUT_MAX: Duration = Duration::from_millis(200);

/// This program, also after its file was replaced.
const OWN: &str = "/proc/self/exe";

/// How much is read at once, bytes.
const READ_BYTES: usize = 64 * 1024;

/// How much is written at once, bytes: a pipe takes this much completely or not at all (PIPE_BUF, pipe(7)).
const WRITE_BYTES_MAX: usize = 4096;

/// How long to try to show why keyroll ends early: stderr itself may be what nobody reads.
const SAY_MS_MAX: Duration = Duration::from_secs(2);

/// Runs a program, and redacts the known secrets and everything that looks like a credential from its output. Exits
/// with the program's exit code, but never with success if a part of the output could not be shown.
pub(super) fn run(args: &RunArgs, context: &mut Context) -> Result<ExitCode, Problem> {
    let look = context.ui.look;
    let Some(program) = args.command.first() else {
        return Err(Problem::new(Code::ProgramNotStarted, "run a program").because("none is named"));
    };
    let source = match (!args.variables.is_empty()).then(|| file_of(program)) {
        Some(Ok(file)) => Some(Source::of(args, file)?),
        Some(Err((problem, code))) => {
            context.ui.problem(&problem);
            return Ok(code.into());
        }
        None => None,
    };
    let values = source.as_ref().map(Source::all).transpose()?.unwrap_or_default();
    let hidden = source.as_ref().map(|source| source.hidden(&values)).unwrap_or_default();
    let shielding = RedactionSources::open(args.known, hidden, &context.installation, &mut context.ui)?;
    let left = Arc::new(<[Left; 2]>::default());
    let not_taken = Arc::clone(&left);
    let failed = |what: &'static str| {
        move |error: io::Error| Problem::new(Code::ProgramNotStarted, what).because_of(&error)
    };
    let terminal = match args.no_terminal {
        true => None,
        false => ProgramTerminal::of_this().map_err(failed("use the terminal"))?.map(Arc::new),
    };
    // Listen for signals before the program starts, so that a signal cannot end keyroll alone.
    let relay =
        Relay::listen(terminal.clone(), move |code| give_up(look, not_taken.as_slice(), code)).map(Arc::new);
    let relay = relay.map_err(failed("receive signals for the program"))?;
    let mut command = command(args, terminal.as_deref(), &context.globals);
    let unwatched = failed("watch the program and its values");
    let (grace, splay) = (Duration::from_secs(args.grace.into()), Duration::from_secs(args.splay.into()));
    let below = source.as_ref().map(|_| Below::adopt(grace)).transpose().map_err(unwatched)?;
    let restarts = match source {
        Some(source) if args.restart => {
            Some(Restarts::begin(source, values, &relay, (grace, splay), look).map_err(unwatched)?)
        }
        Some(source) => {
            source.set(&values, &mut command);
            None
        }
        None => None,
    };
    let ran = Ran {
        command,
        terminal: terminal.as_deref(),
        restarts,
        below,
        relay: &relay,
        shielding: &shielding,
        left: &left,
        look,
    };
    let (report, shown, mut code) = ran.until_its_end()?;
    let looked = shielding.end();
    // With --json a note would be part of the program's output.
    if !report.is_empty() && !context.ui.look.json {
        context.ui.note(replaced(&report));
    }
    for problem in [shown.map_err(|error| cut_off(&error)).err(), looked.err()].into_iter().flatten() {
        context.ui.problem(&problem);
        code = code.max(Exit::Failed.number());
    }
    Ok(ExitCode::from(code))
}

/// The program, with pipes. It must not outlive this process, which redacts its output and says who has its values: keyroll
/// itself is started below this process, and becomes the program.
#[expect(clippy::disallowed_methods, reason = "starts the operator's program")]
fn command(args: &RunArgs, terminal: Option<&ProgramTerminal>, globals: &Globals) -> Command {
    let flags = [
        (globals.json, "--json"),
        (globals.plain, "--plain"),
        (terminal.is_some_and(ProgramTerminal::has_keys), "--terminal"),
    ];
    let mut command = Command::new(OWN);
    command.arg("below").args(flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)));
    command.arg(std::process::id().to_string()).arg("--").args(&args.command);
    piped(&mut command);
    command
}

/// Closes what a command was given for the outputs of an earlier program, too.
fn piped(command: &mut Command) {
    command.stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// Becomes the program. Returns why it did not, and the exit code that says so in shells.
pub(super) fn below(args: &BelowArgs) -> (Problem, u8) {
    let error = executed(args);
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { EXEC_FAILED };
    let program = args.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    (not_started().because(format!("{program}: {error}")), code)
}

/// Becomes the program. It is killed when its parent ends, however that ends; only a program with more rights than its
/// user is not (prctl(2), PR_SET_PDEATHSIG).
#[expect(clippy::disallowed_methods, reason = "becomes the operator's program")]
fn executed(args: &BelowArgs) -> io::Error {
    if args.terminal
        && let Err(error) = setsid().and_then(|_| ioctl_tiocsctty(io::stdin()))
    {
        return error.into();
    }
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent.and_then(|parent| u32::try_from(parent).ok()) != Some(args.parent) {
        return io::Error::other("the keyroll that started it has ended");
    }
    let Some((program, words)) = args.command.split_first() else {
        return io::Error::from(io::ErrorKind::NotFound);
    };
    Command::new(program).args(words).exec()
}

/// The program, and what reads its output.
struct Ran<'r, 'c> {
    command: Command,
    /// None: it is given pipes.
    terminal: Option<&'r ProgramTerminal>,
    restarts: Option<Restarts>,
    /// If it has values.
    below: Option<Below>,
    relay: &'r Relay,
    shielding: &'r RedactionSources<'c>,
    left: &'r [Left; 2],
    look: Look,
}

/// The program while it runs.
struct Running<'r> {
    child: Child,
    /// Closed when what is left has been ended: that may hold its outputs open for ever.
    over: (PipeReader, PipeWriter),
    /// The other side of its terminal, if it has one.
    terminal: Option<(Arc<OwnedFd>, Handing<'r>)>,
}

impl<'r> Ran<'r, '_> {
    /// Starts it; `None` if a signal asked to end before.
    fn start(&mut self) -> io::Result<Option<Running<'r>>> {
        let over = io::pipe()?;
        let terminal = self.terminal.map(|terminal| terminal.open(&mut self.command)).transpose()?;
        let started = self.relay.start(&mut self.command);
        // After its end its terminal must not be open here.
        piped(&mut self.command);
        Ok(started?.map(|child| Running { child, over, terminal }))
    }

    /// Runs it, and starts it again as often as needed. Returns what was redacted, whether all was shown, and its exit code.
    fn until_its_end(mut self) -> Result<(Report, io::Result<()>, u8), Problem> {
        let (mut all, mut shown) = (Report::default(), Ok(()));
        let (mut versions, mut first) = (Versions::new(), true);
        loop {
            if let Some(restarts) = &self.restarts {
                let (now, hidden) = restarts.set(&mut self.command);
                self.shielding.add(hidden)?;
                versions = now;
            }
            let running = match self.start() {
                Ok(Some(running)) => running,
                Ok(None) => return Ok((all, shown, self.relay.asked_code())),
                Err(error) => {
                    let Some(restarts) = self.restarts.as_mut().filter(|_| !first) else {
                        return Err(not_started().because_of(&error));
                    };
                    let wait = restarts.backoff();
                    restarts.say(&format!(
                        "the program could not be started, and is again in {} s: {error}",
                        wait.as_secs()
                    ));
                    self.relay.pause(wait, || false);
                    continue;
                }
            };
            first = false;
            if let Some(restarts) = &self.restarts {
                restarts.started(&running.child, &versions);
            }
            let (report, ended) = self.shielded(running);
            all.add(&report);
            shown = shown.and(ended.shown);
            let status = ended.status.map_err(|error| {
                Problem::new(Code::ProgramNotStarted, "wait for the program").because_of(&error)
            })?;
            let code = relay::code(status.code(), status.signal());
            match &mut self.restarts {
                Some(restarts) if ended.again => restarts.replaced(versions.clone(), ended.lived),
                Some(restarts) if restarts.fails(&versions, ended.lived, code) && self.relay.again() => {
                    let wait = restarts.failed(&versions, ended.lived, code);
                    self.relay.pause(wait, || restarts.is_newer(&versions));
                }
                Some(_) | None => {
                    self.stay();
                    return Ok((all, shown, code));
                }
            }
        }
    }

    /// Stays as long as something below has the values: who has which is known of this process alone.
    fn stay(&self) {
        if let Some(below) = &self.below {
            below.stay(self.relay);
        }
    }

    /// Names what the program left behind, unless that ends in a moment.
    fn name_left(&self, below: &Below) {
        if !below.is_alone_within(ENDS_TOO) {
            let named = below.named();
            aside(
                self.look,
                &format!(
                    "keyroll: the program has ended, but left {named} behind, which may have its values. keyroll stays until \
                     that has ended; TERM ends keyroll and what is left"
                ),
            );
        }
    }

    /// Copies both outputs at the same time: an output that nobody reads would block the program.
    fn shielded(&self, running: Running<'_>) -> (Report, Ended) {
        let Running { mut child, over: (over, until), terminal } = running;
        let (other, mut handing) = terminal.unzip();
        let out = child.stdout.take().map(|out| Arc::new(OwnedFd::from(out))).or(other);
        let err = child.stderr.take().map(|err| Arc::new(OwnedFd::from(err)));
        let ([of_out, of_err], shielding) = (self.left, self.shielding);
        let enough = [self.relay.enough(), &over];
        let (writes, written) = channel::<()>();
        thread::scope(|scope| {
            let err = scope.spawn(|| {
                err.map(|from| pass(Piped::new(from, enough, of_err), Taken(raw::err(), of_err), shielding))
            });
            let out = scope.spawn(|| {
                let _writes = writes;
                out.map(|from| pass(Piped::new(from, enough, of_out), Taken(raw::out(), of_out), shielding))
            });
            let ended = self.until_ended(&mut child);
            if let Some(handing) = &mut handing {
                handing.close();
                let _ = written.recv_timeout(LAST_OUTPUT_MAX);
            }
            // What is left may hold the output open: from now on Ctrl-C is for keyroll.
            drop(handing);
            // Without restarts, what is left may write on, as without keyroll.
            let _until = self.restarts.is_none().then_some(until);
            let mut all = (Report::default(), ended);
            for (report, shown) in [out, err].into_iter().filter_map(|one| one.join().ok().flatten()) {
                all.0.add(&report);
                all.1.shown = all.1.shown.and(shown);
            }
            all
        })
    }

    /// Waits for the end of the program; with restarts, also of what it left behind.
    fn until_ended(&self, child: &mut Child) -> Ended {
        let since = Instant::now();
        let again = self.relay.until_ended(child);
        let lived = since.elapsed();
        let status = child.wait();
        match (&self.restarts, &self.below) {
            (Some(restarts), Some(below)) => restarts.ended(below),
            (None, Some(below)) => self.name_left(below),
            (_, None) => {}
        }
        Ended { shown: Ok(()), status, again, lived }
    }
}

fn cut_off(error: &io::Error) -> Problem {
    Problem::new(Code::OutputNotWritten, "write the program's complete output")
        .because_of(error)
        .help("free space for its output; check what the program did before you run it again")
}

/// Ends keyroll at once, wherever it waits: a signal asked it to end, and nobody reads its output.
fn give_up(look: Look, left: &[Left], code: u8) {
    put_terminal_back();
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
    pipe: Mutex<Weak<OwnedFd>>,
    ready_bytes: AtomicUsize,
}

impl Left {
    fn bytes(&self) -> u64 {
        let pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let piped = pipe.and_then(|pipe| ioctl_fionread(&pipe).ok()).unwrap_or_default();
        let ready = u64::try_from(self.ready_bytes.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        piped.saturating_add(ready)
    }
}

/// How one run of the program ended.
struct Ended {
    shown: io::Result<()>,
    status: io::Result<ExitStatus>,
    /// It is to be started again.
    again: bool,
    lived: Duration,
}

/// Reads a pipe, or the other side of a terminal, until every writer has closed it. After a request to end, reads only the
/// bytes that are in it then.
struct Piped<'r> {
    from: Arc<OwnedFd>,
    enough: [&'r PipeReader; 2],
    left_bytes: Option<u64>,
}

impl<'r> Piped<'r> {
    fn new(from: Arc<OwnedFd>, enough: [&'r PipeReader; 2], left: &Left) -> Self {
        *left.pipe.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&from);
        Self { from, enough, left_bytes: None }
    }

    /// Waits for input, or for a request to end.
    fn wait(&mut self) -> io::Result<()> {
        let [one, other] = self.enough.map(|enough| PollFd::new(enough, PollFlags::IN));
        let mut all = [PollFd::new(&self.from, PollFlags::IN), one, other];
        retry_on_intr(|| poll(&mut all, None))?;
        let [_, one, other] = all;
        if !(one.revents() | other.revents()).is_empty() {
            self.left_bytes = Some(ioctl_fionread(&self.from)?);
        }
        Ok(())
    }
}

impl Read for Piped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.left_bytes.is_none() {
                self.wait()?;
            }
            let left = self.left_bytes.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
            let length = left.min(buffer.len());
            let read = match rustix::io::read(&self.from, buffer.get_mut(..length).unwrap_or_default()) {
                // A terminal: nothing has it open any more (EIO), or its bytes are not here yet.
                Err(Errno::IO) => 0,
                Err(Errno::AGAIN) if self.left_bytes.is_none() => continue,
                Err(Errno::AGAIN) => 0,
                read => read?,
            };
            if let Some(left) = &mut self.left_bytes {
                *left = left.saturating_sub(u64::try_from(read).unwrap_or(*left));
            }
            return Ok(read);
        }
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
