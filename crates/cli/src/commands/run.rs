use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use keyroll_redact::{Report, ShieldWriter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{ioctl_fionread, retry_on_intr};

use crate::args::RunArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::relay::Relay;
use crate::shielding::{Shielding, replaced};
use crate::ui::raw;

/// What is read at once, bytes.
const READ_BYTES: usize = 64 * 1024;

/// The end of a program that a signal ended, as shells tell it.
const SIGNAL_BASE: i32 = 128;

/// Runs a program, and shows what it writes without the values of secrets that keyroll knows and without what looks like a
/// credential. Ends as the program does; where not all that it wrote could be shown, never as one that has done its work.
pub(super) fn run(args: &RunArgs, context: &mut Context) -> Result<ExitCode, Problem> {
    let shielding = Shielding::open(args.known, context)?;
    let Some((program, words)) = args.command.split_first() else {
        return Err(Problem::new("K0932", "run a program").because("none is named"));
    };
    // Heard before there is a program, so that none is left behind.
    let relay = Relay::listen()
        .map_err(|error| Problem::new("K0932", "listen for what the program is told").because_of(&error))?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        Problem::new("K0932", "run the program")
            .because_of(&error)
            .help("its name is looked for in PATH; write it behind -- as you would without keyroll")
    })?;
    let (report, shown) = shielded(&mut child, &relay, &shielding);
    let looked = shielding.end();
    let ended =
        child.wait().map_err(|error| Problem::new("K0932", "wait for the program").because_of(&error))?;
    // With --json a note would stand in what the program wrote.
    if !report.is_empty() && !context.ui.look.json {
        context.ui.note(replaced(&report));
    }
    let code = ended.code().or_else(|| ended.signal().map(|signal| SIGNAL_BASE + signal)).unwrap_or(1);
    let mut code = u8::try_from(code).unwrap_or(1);
    for problem in [shown.map_err(|error| cut_off(&error)).err(), looked.err()].into_iter().flatten() {
        context.ui.problem(&problem);
        code = code.max(Exit::Failed.number());
    }
    Ok(ExitCode::from(code))
}

fn cut_off(error: &io::Error) -> Problem {
    Problem::new("K0886", "write all that the program wrote")
        .because_of(error)
        .help("make room where its output goes; see what the program did before you run it again")
}

/// Both of its outputs at once: one that is not read would stop it.
fn shielded(child: &mut Child, relay: &Relay, shielding: &Shielding<'_>) -> (Report, io::Result<()>) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let err = scope.spawn(|| err.map(|from| pass(Piped::new(from, relay), raw::err(), shielding)));
        let out = scope.spawn(|| out.map(|from| pass(Piped::new(from, relay), raw::out(), shielding)));
        relay.until_ended(child);
        let mut all = (Report::default(), Ok(()));
        for (report, shown) in [out, err].into_iter().filter_map(|one| one.join().ok().flatten()) {
            all.0.add(&report);
            all.1 = all.1.and(shown);
        }
        all
    })
}

/// What is written into a pipe, until all have closed it; or once it is enough, what is in it then.
struct Piped<'r, P> {
    from: P,
    enough: &'r PipeReader,
    left_bytes: Option<u64>,
}

impl<'r, P: Read + AsFd> Piped<'r, P> {
    fn new(from: P, relay: &'r Relay) -> Self {
        Self { from, enough: relay.enough(), left_bytes: None }
    }

    /// Until something is there to read, or it is enough.
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

impl<P: Read + AsFd> Read for Piped<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left_bytes.is_none() {
            self.wait()?;
        }
        let Some(left) = self.left_bytes else { return self.from.read(buffer) };
        let read = self.from.by_ref().take(left).read(buffer)?;
        self.left_bytes = Some(left.saturating_sub(u64::try_from(read).unwrap_or(left)));
        Ok(read)
    }
}

/// A reader who went away ends it as it would without this: the pipe is closed, and the program is told. So does what cannot be
/// written, and it is an error.
fn pass(from: impl Read, to: impl Write, shielding: &Shielding<'_>) -> (Report, io::Result<()>) {
    let mut seen = 0;
    let mut shield = ShieldWriter::new(to, &shielding.sought(&mut seen));
    let copied = copy(from, &mut shield, shielding, &mut seen).and_then(|()| shield.finish());
    let shown = match copied {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown,
    };
    (shield.shield().take_report(), shown)
}

fn copy(
    mut from: impl Read,
    to: &mut ShieldWriter<impl Write>,
    shielding: &Shielding<'_>,
    seen: &mut u64,
) -> io::Result<()> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; READ_BYTES]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                if let Some(sought) = shielding.added(seen) {
                    to.shield().look_for_sought(&sought);
                }
                to.write_all(buffer.get(..length).unwrap_or_default())?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
