//! Forwards the signals that keyroll receives to the program that it runs.

use std::io::{self, PipeReader, PipeWriter};
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_app::exit::Exit;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use crate::harden;
use crate::program_terminal::ProgramTerminal;

/// The signals that are forwarded. A terminal sends the last three to every process in its foreground.
const RELAYED: [Signal; 7] =
    [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::INT, Signal::QUIT, Signal::WINCH];

/// The signals by which a shell stops and continues keyroll, which then has a terminal to restore.
const STOPPING: [Signal; 2] = [Signal::TSTP, Signal::CONT];

/// The signals that end keyroll after the program has ended.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT];

/// A signal that arrives within this time after the program's end was probably sent to both, and may be what ended the
/// program.
const TOLD_BOTH_MS: Duration = Duration::from_millis(200);

/// How long the reader has to take the rest of the output before another signal ends keyroll at once.
const LAST_WORDS_MS: Duration = Duration::from_secs(1);

/// A program that ends so soon after it was told to was ended by that.
const PASSED: Duration = Duration::from_secs(10);

/// How often a pause looks whether it is over.
const PAUSE_LOOK: Duration = Duration::from_millis(100);

/// Added to the number of the signal that ended a program, as shells do.
const SIGNAL_BASE: i32 = 128;

type Heard = SignalsInfo<WithRawSiginfo>;

/// The signal listener. While it exists, a signal does not end keyroll before the program has ended, so the program's
/// last output is shown too. Signals that were ignored when keyroll started stay ignored, for the program too.
pub(crate) struct Relay {
    begins: Sender<()>,
    now: Arc<Mutex<Now>>,
    enough: PipeReader,
    terminal: Option<Arc<ProgramTerminal>>,
}

/// The program that runs now. Signals are forwarded under its lock, and a program is reaped only after its end is recorded
/// here: until then no other process can have its process id.
#[derive(Clone, Copy, Default)]
struct Now {
    state: State,
    /// The program is ended so that it is started again.
    again: bool,
    /// When a signal was passed on that ends most programs.
    passed: Option<(Instant, Signal)>,
    /// The signal that asked to end everything.
    asked: Option<Signal>,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Begins,
    Runs(Pid),
    /// It has ended, and is started again.
    Between,
    Ended(End),
}

#[derive(Clone, Copy)]
struct End {
    at: Instant,
    code: u8,
}

fn locked(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// `over` ends this process with the program's exit code; it is needed because a thread may wait for ever for a
    /// reader. `terminal` is what gives the program its terminals.
    ///
    /// # Errors
    /// The listener cannot be set up.
    pub(crate) fn listen(
        terminal: Option<Arc<ProgramTerminal>>,
        over: impl FnOnce(u8) + Send + 'static,
    ) -> io::Result<Self> {
        let stopping = STOPPING.into_iter().filter(|_| terminal.as_ref().is_some_and(|one| one.has_keys()));
        let listened = RELAYED.into_iter().chain(stopping).filter(|told| !harden::ignores(*told));
        // A process that ignores SIGCHLD cannot wait for a program (waitpid(2)). Listening for it ends the ignoring,
        // also for the program.
        let heard = Heard::new(listened.chain([Signal::CHILD]).map(Signal::as_raw))?;
        let (begins, begun) = channel();
        let (enough, until) = io::pipe()?;
        let now = Arc::<Mutex<Now>>::default();
        let (seen, its) = (Arc::clone(&now), terminal.clone());
        let tell = move || {
            // Signals that come before a program runs are its own.
            let _ = begun.recv();
            tell(heard, &seen, (until, its.as_deref()), over);
        };
        thread::Builder::new().name("signals".into()).spawn(tell)?;
        Ok(Self { begins, now, enough, terminal })
    }

    /// Starts the program; `None` if a signal asked to end while none ran.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&self, command: &mut Command) -> io::Result<Option<Child>> {
        let mut now = locked(&self.now);
        if now.asked.is_some() {
            return Ok(None);
        }
        let child = command.spawn()?;
        *now = Now { state: State::Runs(Pid::from_child(&child)), ..Now::default() };
        drop(now);
        let _ = self.begins.send(());
        Ok(Some(child))
    }

    /// Forwards every signal to this program until it has ended. The caller must still reap it. `true`: it is to be
    /// started again.
    pub(crate) fn until_ended(&self, child: &Child) -> bool {
        let program = Pid::from_child(child);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = retry_on_intr(|| waitid(WaitId::Pid(program), ended)).ok().flatten();
        let (exit, signal) =
            status.map_or((None, None), |status| (status.exit_status(), status.terminating_signal()));
        let end = End { at: Instant::now(), code: code(exit, signal) };
        let mut now = locked(&self.now);
        let typed = self.terminal.as_ref().and_then(|terminal| terminal.typed());
        if let Some((at, signal)) = now.passed.or(typed)
            && at.elapsed() < PASSED
        {
            now.asked = Some(signal);
        }
        let again = now.again && now.asked.is_none();
        now.state = if again { State::Between } else { State::Ended(end) };
        again
    }

    /// Sends this program a signal, after which it is started again; `false` if it does not run any more.
    pub(crate) fn end_for_another(&self, program: Pid, signal: Signal) -> bool {
        let mut now = locked(&self.now);
        if !matches!(now.state, State::Runs(runs) if runs == program) {
            return false;
        }
        now.again = true;
        let _ = kill_process(program, signal);
        true
    }

    /// Waits so long, or until `enough`; `false` if a signal asks to end before.
    pub(crate) fn pause(&self, wait: Duration, mut enough: impl FnMut() -> bool) -> bool {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.is_asked() {
                return false;
            }
            if left.is_zero() || enough() {
                return true;
            }
            thread::sleep(left.min(PAUSE_LOOK));
        }
    }

    /// The program that has ended by itself is started again, if nobody asked it to end.
    pub(crate) fn again(&self) -> bool {
        let mut now = locked(&self.now);
        if now.asked.is_none() {
            now.state = State::Between;
        }
        now.asked.is_none()
    }

    /// Whether a signal asked to end everything.
    pub(crate) fn is_asked(&self) -> bool {
        locked(&self.now).asked.is_some()
    }

    /// The code to end with when a signal asked to end while no program ran.
    pub(crate) fn asked_code(&self) -> u8 {
        code(None, locked(&self.now).asked.map(Signal::as_raw))
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
    mut heard: Heard,
    shared: &Mutex<Now>,
    (until, terminal): (PipeWriter, Option<&ProgramTerminal>),
    over: impl FnOnce(u8),
) {
    let none = End { at: Instant::now(), code: Exit::Failed.number() };
    let (mut until, mut since) = (Some(until), None::<Instant>);
    for told in heard.forever() {
        if let Some(terminal) = terminal {
            terminal.heard(told.si_signo);
        }
        let Some(signal) = RELAYED.into_iter().find(|signal| signal.as_raw() == told.si_signo) else {
            continue;
        };
        let mut now = locked(shared);
        let asks = ENDING.contains(&signal);
        let end = match now.state {
            State::Runs(program) => {
                // The program received it too if it is on keyroll's terminal.
                let sent = is_of_terminals(signal) && is_of_kernel(told.si_code);
                if !sent || terminal.is_some_and(|terminal| terminal.lacks(signal)) {
                    let _ = kill_process(program, signal);
                }
                if asks {
                    now.passed = Some((Instant::now(), signal));
                }
                // A program may go on after one of the others.
                if signal == Signal::TERM || now.again && asks {
                    now.asked = Some(signal);
                }
                continue;
            }
            State::Begins => none,
            State::Between => End { at: none.at, code: code(None, Some(signal.as_raw())) },
            State::Ended(end) => end,
        };
        if asks {
            now.asked = Some(signal);
        }
        drop(now);
        let (from, least) = since.map_or((end.at, TOLD_BOTH_MS), |since| (since, LAST_WORDS_MS));
        if !asks || from.elapsed() < least {
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

/// Whether the kernel sent the signal and not a process (sigaction(2)). Then it came from the terminal, which sends it to the
/// programs on it; many programs treat a second Ctrl-C differently from the first.
fn is_of_kernel(si_code: i32) -> bool {
    si_code > 0
}
