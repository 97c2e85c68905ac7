use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use keyroll_redact::{Report, ShieldWriter, Sought};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::RunArgs;
use crate::context::Context;
use crate::problem::Problem;
use crate::shielding::{replaced, sought};
use crate::ui::raw;

/// What is read at once, bytes.
const READ_BYTES: usize = 64 * 1024;

/// The end of a program that a signal ended, as shells tell it.
const SIGNAL_BASE: i32 = 128;

/// Runs a program, and shows what it writes without the values of secrets that keyroll knows and without what looks like a
/// credential. Ends as the program does.
pub(super) fn run(args: &RunArgs, context: &mut Context) -> Result<ExitCode, Problem> {
    let sought = sought(args.known, context)?;
    let Some((program, words)) = args.command.split_first() else {
        return Err(Problem::new("K0932", "run a program").because("none is named"));
    };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        Problem::new("K0932", "run the program")
            .because_of(&error)
            .help("its name is looked for in PATH; write it behind -- as you would without keyroll")
    })?;
    relay(&child);
    let report = shielded(&mut child, &sought);
    let ended =
        child.wait().map_err(|error| Problem::new("K0932", "wait for the program").because_of(&error))?;
    // With --json a note would stand in what the program wrote.
    if !report.is_empty() && !context.ui.look.json {
        context.ui.note(replaced(&report));
    }
    let code = ended.code().or_else(|| ended.signal().map(|signal| SIGNAL_BASE + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The program is told what keyroll is told to do, and keyroll goes on until it has ended: what it writes last is shown too.
/// Ctrl-C in a terminal reaches both by itself.
fn relay(child: &Child) {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    let listen = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let mut ended = signal(SignalKind::terminate())?;
            let mut hung_up = signal(SignalKind::hangup())?;
            let mut interrupted = signal(SignalKind::interrupt())?;
            loop {
                let told = tokio::select! {
                    _ = ended.recv() => Some(Signal::TERM),
                    _ = hung_up.recv() => Some(Signal::HUP),
                    _ = interrupted.recv() => None,
                };
                if let Some(told) = told {
                    let _ = kill_process(pid, told);
                }
            }
        })
    };
    // Without it keyroll ends at once when it is told to, as most programs do.
    let _ = thread::Builder::new().name("signals".into()).spawn(move || -> io::Result<()> { listen() });
}

/// Both of its outputs at once: one that is not read would stop it.
fn shielded(child: &mut Child, sought: &Sought) -> Report {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let beside = scope.spawn(|| err.map(|from| pass(from, raw::err(), sought)).unwrap_or_default());
        let mut report = out.map(|from| pass(from, raw::out(), sought)).unwrap_or_default();
        report.add(&beside.join().unwrap_or_default());
        report
    })
}

/// A reader who went away ends it as it would without this: the pipe is closed, and the program is told.
fn pass(mut from: impl Read, to: impl Write, sought: &Sought) -> Report {
    let mut shield = ShieldWriter::new(to, sought);
    let mut buffer = zeroize::Zeroizing::new(vec![0; READ_BYTES]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let piece = buffer.get(..length).unwrap_or_default();
                if shield.write_all(piece).and_then(|()| shield.flush()).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = shield.finish();
    shield.shield().take_report()
}
