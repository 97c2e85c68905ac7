use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use keyroll_redact::{Report, ShieldWriter};

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
    relay.to(&child);
    let (report, shown) = shielded(&mut child, &shielding);
    drop(shielding);
    let ended =
        child.wait().map_err(|error| Problem::new("K0932", "wait for the program").because_of(&error))?;
    // With --json a note would stand in what the program wrote.
    if !report.is_empty() && !context.ui.look.json {
        context.ui.note(replaced(&report));
    }
    let code = ended.code().or_else(|| ended.signal().map(|signal| SIGNAL_BASE + signal)).unwrap_or(1);
    let mut code = u8::try_from(code).unwrap_or(1);
    if let Err(error) = shown {
        context.ui.problem(&cut_off(&error));
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
fn shielded(child: &mut Child, shielding: &Shielding<'_>) -> (Report, io::Result<()>) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let beside = scope.spawn(|| err.map(|from| pass(from, raw::err(), shielding)));
        let out = out.map(|from| pass(from, raw::out(), shielding));
        let mut all = (Report::default(), Ok(()));
        for (report, shown) in [out, beside.join().ok().flatten()].into_iter().flatten() {
            all.0.add(&report);
            all.1 = all.1.and(shown);
        }
        all
    })
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
