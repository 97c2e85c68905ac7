//! What keyroll is told while it runs a program, the program is told, too.

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

/// What is told further; the last three a terminal sends to all that run in its foreground.
const RELAYED: [Signal; 7] =
    [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::INT, Signal::QUIT, Signal::WINCH];

/// What ends keyroll once the program has ended.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT];

/// What is heard so soon after the program's end was told to both, and may be what ended it.
const TOLD_BOTH_MS: Duration = Duration::from_millis(200);

/// So long whoever reads has to take what is there, before another signal ends keyroll at once.
const LAST_WORDS_MS: Duration = Duration::from_secs(1);

/// The end of a program that a signal ended, as shells tell it.
const SIGNAL_BASE: i32 = 128;

type Heard = SignalsInfo<WithRawSiginfo>;

/// From here on keyroll goes on until the program has ended, whatever it is told: what the program writes last is shown too. Which of
/// them was ignored when keyroll was started stays so, for the program too.
pub(crate) struct Relay {
    begins: Sender<Pid>,
    ended: Ended,
    enough: PipeReader,
}

/// That it was seen that the program has ended. It is told under this lock, and waited for only after its end stands here: until
/// then its number is no other's.
type Ended = Arc<Mutex<Option<End>>>;

#[derive(Clone, Copy)]
struct End {
    at: Instant,
    code: u8,
}

impl Relay {
    /// `over` ends the process, given how the program ended: something in it may wait for ever for a reader who takes nothing.
    ///
    /// # Errors
    /// There is nothing to listen with.
    pub(crate) fn listen(over: impl FnOnce(u8) + Send + 'static) -> io::Result<Self> {
        let listened = RELAYED.into_iter().filter(|told| !harden::ignores(*told));
        // Who ignores SIGCHLD cannot wait for a program (waitpid(2)). Heard once it is never ignored again, and by the program as usual.
        let heard = Heard::new(listened.chain([Signal::CHILD]).map(Signal::as_raw))?;
        let (begins, begun) = channel();
        let (enough, until) = io::pipe()?;
        let ended = Ended::default();
        let seen = Arc::clone(&ended);
        let tell = move || tell(begun.recv().ok(), heard, &seen, until, over);
        thread::Builder::new().name("signals".into()).spawn(tell)?;
        Ok(Self { begins, ended, enough })
    }

    /// Tells this program each of them, as often as keyroll is told, until it has ended. It is still to be waited for then.
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

    /// It is at its end once keyroll was told to end after the program had: others that it left behind may write for ever.
    pub(crate) fn enough(&self) -> &PipeReader {
        &self.enough
    }
}

/// How a program ended, as shells tell it.
pub(crate) fn code(exit: Option<i32>, signal: Option<i32>) -> u8 {
    let code = exit.or_else(|| signal.map(|signal| SIGNAL_BASE + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Failed.number())
}

/// Until keyroll is told a second time to end after the program has. Where none began nobody is told, and it has ended.
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
        // What is read ends with the first of them, what is written with the next.
        if until.take().is_none() {
            return over(end.code);
        }
    }
}

fn is_of_terminals(told: Signal) -> bool {
    [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&told)
}

/// Whether no process sent it (sigaction(2)): then a terminal did, to all in its foreground, and the program was told already. Many
/// programs take a second Ctrl-C for another order than the first.
fn is_of_kernel(si_code: i32) -> bool {
    si_code > 0
}
