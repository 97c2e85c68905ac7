//! Listens for Ctrl-C, SIGTERM and a closed terminal in the whole process, also between two rotations and during a
//! prompt.
//!
//! Before `pause_from_now_on` a signal ends the process as usual. After it a drive pauses at its next safe point, a
//! prompt is withdrawn, and nothing else starts. A second Ctrl-C ends the process at once, which the journal allows.
//! The terminal is always restored.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_app::exit::Exit;
use keyroll_app::interrupt;
use rustix::event::{EventfdFlags, eventfd};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::ui::{self, Look};

/// The shortest time between two separate signals: the parent of keyroll may forward a Ctrl-C that keyroll has
/// received itself.
const TWICE_MS_MIN: Duration = Duration::from_millis(300);

/// What is shown after the first and the second request to stop.
const STOPPING: &str = "stopping at the next safe point; Ctrl-C once more stops at once";
const ENDED: &str =
    "stopped at once. keyroll status shows what is open; keyroll resume finds out what each step did";

static LISTENER: OnceLock<Option<Arc<Listener>>> = OnceLock::new();

/// How a received signal is shown; none while a signal ends the process at once.
static LOOK: Mutex<Option<Look>> = Mutex::new(None);

/// The writing end of the listener's pipe.
struct Listener {
    /// Readable from the first signal on, for waits on a descriptor.
    wake: OwnedFd,
}

/// From now on a signal pauses at the next safe point.
pub(crate) fn pause_from_now_on(look: Look) {
    *LOOK.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    hear();
}

/// From now on the terminal is restored before a signal ends the process.
pub(crate) fn hear() {
    // Without a listener a signal ends the process, which the journal allows.
    let _ = LISTENER.get_or_init(start);
}

/// Readable after a request to stop.
pub(crate) fn wake() -> Option<BorrowedFd<'static>> {
    listener().map(|listener| listener.wake.as_fd())
}

/// Treats a Ctrl-C byte of a terminal as the signal.
pub(crate) fn ask() {
    if let Some(listener) = listener() {
        listener.tell();
    }
}

fn listener() -> Option<&'static Listener> {
    LISTENER.get().and_then(Option::as_deref)
}

impl Listener {
    fn tell(&self) {
        interrupt::ask();
        // A counter that is full is readable as well.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Waits for the next. Returns whether it is Ctrl-C.
    async fn next(&mut self) -> bool {
        let hangup = self.hangup.as_mut();
        let hung_up = async {
            match hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => false,
            () = hung_up => false,
        }
    }
}

fn start() -> Option<Arc<Listener>> {
    // Read before tokio handles the signal. A process under nohup must outlive the terminal.
    let nohup = crate::harden::ignores(rustix::process::Signal::HUP);
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let signals = {
        let _within = runtime.enter();
        Signals {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
            hangup: if nohup { None } else { signal(SignalKind::hangup()).ok() },
        }
    };
    let listener = Arc::new(Listener { wake });
    let its = listener.clone();
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(listen(signals, &its))).ok()?;
    Some(listener)
}

async fn listen(mut signals: Signals, listener: &Listener) {
    let mut first: Option<Instant> = None;
    loop {
        let by_hand = signals.next().await;
        let Some(look) = *LOOK.lock().unwrap_or_else(PoisonError::into_inner) else { end() };
        match first {
            None => {
                first = Some(Instant::now());
                ui::aside(look, STOPPING);
                listener.tell();
            }
            Some(at) if by_hand && at.elapsed() >= TWICE_MS_MIN => {
                ui::aside(look, ENDED);
                end();
            }
            Some(_) => {}
        }
    }
}

/// Restores the terminal and ends the process as a crash would.
fn end() -> ! {
    ui::put_terminal_back();
    std::process::exit(i32::from(Exit::Interrupted.number()))
}
