//! Ctrl-C, SIGTERM and a terminal that is closed: heard by one listener of the whole process, also between two
//! rotations and at a question.
//!
//! Until it is called for, a signal ends the process as it ends any. From then on nothing is lost: a drive pauses at its
//! next safe point, a question is called off, and nothing else is begun. A second Ctrl-C ends at once, which the journal
//! is made for. On every way out the terminal is as it was.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;
use crate::problem::Problem;
use crate::ui::{self, Look};

/// How far apart two of them are at least: whoever started keyroll may pass a Ctrl-C on that it was told of too.
const TWICE_MS_MIN: Duration = Duration::from_millis(300);

/// What is said when it is asked to stop, and when it is asked again.
const STOPPING: &str = "stopping at the next safe point; Ctrl-C once more ends at once";
const ENDED: &str =
    "ended at once. keyroll status says what is open; keyroll resume finds out what became of each step";

static LISTENER: OnceLock<Option<Arc<Listener>>> = OnceLock::new();

/// How it is said that something was heard; none while a signal ends the process at once.
static LOOK: Mutex<Option<Look>> = Mutex::new(None);

/// The listener's other end.
struct Listener {
    heard: watch::Sender<bool>,
    /// Readable from the first signal on, for whoever waits for a descriptor.
    wake: OwnedFd,
}

/// From now on a signal stops at the next safe point.
pub(crate) fn pause_from_now_on(look: Look) {
    *LOOK.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    hear();
}

/// From now on the terminal is put back before a signal ends the process.
pub(crate) fn hear() {
    // Where it cannot be listened a signal ends the process, which the journal is made for.
    let _ = LISTENER.get_or_init(start);
}

/// Whether it was asked to stop.
pub(crate) fn is_asked() -> bool {
    listener().is_some_and(|listener| *listener.heard.borrow())
}

/// Ends when it was asked to stop.
pub(crate) async fn asked() {
    let Some(listener) = listener() else { return std::future::pending().await };
    // The sender stays for as long as the process.
    let _ = listener.heard.subscribe().wait_for(|heard| *heard).await;
}

/// Readable once it was asked to stop.
pub(crate) fn wake() -> Option<BorrowedFd<'static>> {
    listener().map(|listener| listener.wake.as_fd())
}

/// As a signal: where a terminal gives Ctrl-C as a byte.
pub(crate) fn ask() {
    if let Some(listener) = listener() {
        listener.tell();
    }
}

fn listener() -> Option<&'static Listener> {
    LISTENER.get().and_then(Option::as_deref)
}

/// Refuses to begin anything more.
pub(crate) fn refuse_more(attempted: &str, next: &str) -> Result<(), Problem> {
    match is_asked() {
        false => Ok(()),
        true => Err(Problem::new("K0885", attempted)
            .because(
                "it was asked to stop (Ctrl-C or a signal) before that was begun: nothing of it was changed",
            )
            .help(next)
            .exits(Exit::Interrupted)),
    }
}

impl Listener {
    fn tell(&self) {
        self.heard.send_replace(true);
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
    // Looked at before tokio takes the signal over. Whoever started it under nohup wants it to outlive the terminal.
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
    let listener = Arc::new(Listener { heard: watch::Sender::new(false), wake });
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

/// Ends the process as a crash would, but for the terminal.
fn end() -> ! {
    ui::put_terminal_back();
    std::process::exit(i32::from(Exit::Interrupted.number()))
}
