//! Forwards the signals that keyroll receives to the program that it runs.

use std::io::{self, PipeReader, PipeWriter};
use std::process::Child;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_app::exit::Exit;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use crate::harden;

/// The signals that are forwarded. A terminal sends the last three to every process in its foreground.
const RELAYED: [Signal; 7] =
    [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::INT, Signal::QUIT, Signal::WINCH];

/// The signals that end keyroll after the program has ended.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT];

/// A signal that arrives within this time after the program's end was probably sent to both, and may be what ended the
/// program.
const TOLD_BOTH_MS: Duration = Duration::from_millis(200);

/// How long the reader has to take the rest of the output before another signal ends keyroll at once.
const LAST_WORDS_MS: Duration = Duration::from_secs(1);

/// Added to the number of the signal that ended a program, as shells do.
const SIGNAL_BASE: i32 = 128;

type Heard = SignalsInfo<WithRawSiginfo>;

/// The signal listener. While it exists, a signal does not end keyroll before the program has ended, so the program's
/// last output is shown too. Signals that were ignored when keyroll started stay ignored, for the program too.
pub(crate) struct Relay {
    begins: Sender<Pid>,
    ended: Ended,
    enough: PipeReader,
}

/// The program's end, once it was seen. Signals are forwarded under this lock, and the program is reaped only after its
/// end is recorded here: until then no other process can have its process id.
type Ended = Arc<Mutex<Option<End>>>;

#[derive(Clone, Copy)]
struct End {
    at: Instant,
    code: u8,
}

impl Relay {
    /// `over` ends this process with the program's exit code; it is needed because a thread may wait for ever for a
    /// reader.
    ///
    /// # Errors
    /// The listener cannot be set up.
    pub(crate) fn listen(over: impl FnOnce(u8) + Send + 'static) -> io::Result<Self> {
        let listened = RELAYED.into_iter().filter(|told| !harden::ignores(*told));
        // A process that ignores SIGCHLD cannot wait for a program (waitpid(2)). Listening for it ends the ignoring,
        // also for the program.
        let heard = Heard::new(listened.chain([Signal::CHILD]).map(Signal::as_raw))?;
        let (begins, begun) = channel();
        let (enough, until) = io::pipe()?;
        let ended = Ended::default();
        let seen = Arc::clone(&ended);
        let tell = move || tell(begun.recv().ok(), heard, &seen, until, over);
        thread::Builder::new().name("signals".into()).spawn(tell)?;
        Ok(Self { begins, ended, enough })
    }

    /// Forwards every signal to this program until it has ended. The caller must still reap it.
    pub(crate) fn until_ended(&self, child: &Child) {
        let program = Pid::from_child(child);
        let _ = self.begins.send(program);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = retry_on_intr(|| waitid(WaitId::Pid(program), ended)).ok().flatten();
        let (exit, signal) =
            status.map_or((None, None), |status| (status.exit_status(), status.terminating_signal()));
        let end = End { at: Instant::now(), code: code(exit, signal) };
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// A pipe that is closed by a request to end after the program has ended: processes that it left behind may write
    /// for ever.
    pub(crate) fn enough(&self) -> &PipeReader {
        &self.enough
    }
}

/// The exit code of a program, as in shells.
pub(crate) fn code(exit: Option<i32>, signal: Option<i32>) -> u8 {
    let code = exit.or_else(|| signal.map(|signal| SIGNAL_BASE + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Failed.number())
}

/// Forwards signals until keyroll is asked a second time to end after the program has ended. If no program was started,
/// it counts as ended.
fn tell(
    program: Option<Pid>,
    mut heard: Heard,
    ended: &Mutex<Option<End>>,
    until: PipeWriter,
    over: impl FnOnce(u8),
) {
    let none = End { at: Instant::now(), code: Exit::Failed.number() };
    let (mut until, mut since) = (Some(until), None::<Instant>);
    for told in heard.forever() {
        let Some(signal) = RELAYED.into_iter().find(|signal| signal.as_raw() == told.si_signo) else {
            continue;
        };
        let seen = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let end = match (*seen, program) {
            (None, Some(program)) => {
                if !(is_of_terminals(signal) && is_of_kernel(told.si_code)) {
                    let _ = kill_process(program, signal);
                }
                continue;
            }
            (None, None) => none,
            (Some(end), _) => end,
        };
        drop(seen);
        let (from, least) = since.map_or((end.at, TOLD_BOTH_MS), |since| (since, LAST_WORDS_MS));
        if !ENDING.contains(&signal) || from.elapsed() < least {
            continue;
        }
        since = Some(Instant::now());
        // The first such signal ends the reading, the next one the writing.
        if until.take().is_none() {
            return over(end.code);
        }
    }
}

fn is_of_terminals(told: Signal) -> bool {
    [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&told)
}

/// Whether the kernel sent the signal and not a process (sigaction(2)). Then it came from the terminal, and the program
/// has received it too; many programs treat a second Ctrl-C differently from the first.
fn is_of_kernel(si_code: i32) -> bool {
    si_code > 0
}
