//! What keyroll is told while it runs a program, the program is told, too.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::process::Child;
use std::task::Poll;
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, getpgrp, pidfd_open, pidfd_send_signal};
use rustix::termios::tcgetpgrp;
use tokio::runtime::Runtime;
use tokio::signal::unix::{self, SignalKind, signal};

/// What is told further; the last three a terminal sends to all that run in its foreground.
const RELAYED: [Signal; 7] =
    [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::INT, Signal::QUIT, Signal::WINCH];

/// From here on keyroll goes on until the program has ended, whatever it is told: what the program writes last is shown too.
pub(crate) struct Relay {
    runtime: Runtime,
    heard: Vec<(Signal, unix::Signal)>,
}

impl Relay {
    /// # Errors
    /// There is nothing to listen with.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let inside = runtime.enter();
        let listened = |told: Signal| Ok((told, signal(SignalKind::from_raw(told.as_raw()))?));
        let heard = RELAYED.into_iter().map(listened).collect::<io::Result<_>>()?;
        drop(inside);
        Ok(Self { runtime, heard })
    }

    /// Tells this program each of them, as often as it is told. Once the program has ended its number may be another's: it is told
    /// by a handle.
    pub(crate) fn to(self, child: &Child) {
        let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
        let Ok(program) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        let Self { runtime, mut heard } = self;
        let tell = move || {
            runtime.block_on(async {
                loop {
                    let told = poll_fn(|context| {
                        let mut all = heard.iter_mut();
                        let next = all
                            .find_map(|(told, heard)| heard.poll_recv(context).is_ready().then_some(*told));
                        next.map_or(Poll::Pending, Poll::Ready)
                    });
                    let told = told.await;
                    if !(is_of_terminals(told) && in_foreground()) {
                        let _ = pidfd_send_signal(&program, told);
                    }
                }
            })
        };
        let _ = thread::Builder::new().name("signals".into()).spawn(tell);
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
