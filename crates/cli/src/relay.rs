//! What keyroll is told while it runs a program, the program is told, too.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, PipeReader};
use std::process::Child;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process, waitid};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{self, SignalKind, signal};

use crate::harden;

/// What is told further; the last three a terminal sends to all that run in its foreground.
const RELAYED: [Signal; 7] =
    [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::INT, Signal::QUIT, Signal::WINCH];

/// What ends keyroll once the program has ended.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT];

/// What is heard so soon after the program's end was told to both, and may be what ended it.
const TOLD_BOTH_MS: Duration = Duration::from_millis(200);

/// From here on keyroll goes on until the program has ended, whatever it is told: what the program writes last is shown too. Which of
/// them was ignored when keyroll was started stays so, for the program too.
pub(crate) struct Relay {
    begins: Sender<Pid>,
    ended: Ended,
    enough: PipeReader,
}

/// When it was seen that the program has ended. It is told under this lock, and waited for only after its end stands here: until
/// then its number is no other's.
type Ended = Arc<Mutex<Option<Instant>>>;

impl Relay {
    /// # Errors
    /// There is nothing to listen with.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let inside = runtime.enter();
        let listened = |told: Signal| Ok((told, signal(SignalKind::from_raw(told.as_raw()))?));
        let heard = RELAYED.into_iter().filter(|told| !harden::ignores(*told)).map(listened);
        let heard = heard.collect::<io::Result<Vec<_>>>()?;
        // Who ignores it cannot wait for a program (waitpid(2)). Heard once it is never ignored again, and by the program as usual.
        drop(signal(SignalKind::child())?);
        drop(inside);
        let (begins, begun) = channel();
        let (enough, until) = io::pipe()?;
        let ended = Ended::default();
        let seen = Arc::clone(&ended);
        let tell = move || {
            // Where no program began nobody is told anything.
            if let Ok(program) = begun.recv() {
                runtime.block_on(tell(program, heard, &seen));
            }
            drop(until);
        };
        thread::Builder::new().name("signals".into()).spawn(tell)?;
        Ok(Self { begins, ended, enough })
    }

    /// Tells this program each of them, as often as keyroll is told, until it has ended. It is still to be waited for then.
    pub(crate) fn until_ended(&self, child: &Child) {
        let program = Pid::from_child(child);
        let _ = self.begins.send(program);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = retry_on_intr(|| waitid(WaitId::Pid(program), ended));
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// It is at its end once keyroll was told to end after the program had: others that it left behind may write for ever.
    pub(crate) fn enough(&self) -> &PipeReader {
        &self.enough
    }
}

/// Until keyroll is told to end after the program has.
async fn tell(program: Pid, mut heard: Vec<(Signal, unix::Signal)>, ended: &Mutex<Option<Instant>>) {
    loop {
        let told = poll_fn(|context| {
            let mut all = heard.iter_mut();
            let next = all.find_map(|(told, heard)| heard.poll_recv(context).is_ready().then_some(*told));
            next.map_or(Poll::Pending, Poll::Ready)
        });
        let told = told.await;
        let by_terminal = is_of_terminals(told) && in_foreground();
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        match *ended {
            None if by_terminal => {}
            None => {
                let _ = kill_process(program, told);
            }
            Some(since) if ENDING.contains(&told) && since.elapsed() >= TOLD_BOTH_MS => return,
            Some(_) => {}
        }
    }
}

fn is_of_terminals(told: Signal) -> bool {
    [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&told)
}

/// Whether a terminal has told the program already, which runs beside keyroll. Who told is not in a signal as it is heard here; so
/// what a person sends to keyroll alone by `kill -INT`, while it runs in the foreground of a terminal, is not told further: many
/// programs take a second Ctrl-C for another order than the first.
fn in_foreground() -> bool {
    let terminal = File::open("/dev/tty").and_then(|terminal| Ok(tcgetpgrp(&terminal)?));
    terminal.is_ok_and(|foreground| foreground == getpgrp())
}
