//! The terminal of the program that keyroll runs, where keyroll itself is on one.
//!
//! What the program writes passes through the redaction, so its terminal is a pseudo-terminal (pty(7)), with the settings
//! and the size of keyroll's. If the keys come from a terminal too, the program gets a session of its own on it, and
//! keyroll's terminal hands every key on unread: the signals of Ctrl-C and Ctrl-Z are then made by the program's terminal,
//! for what is in its foreground. If stdin is no terminal, the program stays in keyroll's session, where keys and their
//! signals reach it without keyroll.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Signal, getpid, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr, tcsetwinsize,
};
use zeroize::Zeroizing;

use crate::ui::{is_in_background, make_raw, put_terminal_back};

/// How many bytes of keys are taken at once.
const KEYS_BYTES: usize = 4096;

/// How long one wait for a program that does not read its keys may take, nanoseconds.
const FULL_LOOK_NS: i64 = 100_000_000;

/// How the programs are given terminals.
pub(crate) struct ProgramTerminal {
    /// The terminal that the keys come from; none if stdin is no terminal.
    keys: Option<Arc<File>>,
    /// Whether stderr is the same terminal as stdout.
    errors: bool,
    now: Mutex<Option<Opened>>,
    typed: Arc<Typed>,
    /// A program has had a terminal: what is typed from then on is handed on by threads.
    begun: AtomicBool,
}

/// When the keys of a signal were last handed on that ends most programs.
type Typed = Mutex<Option<(Instant, Signal)>>;

/// The terminal of the program that runs now.
struct Opened {
    /// Its other side, as long as the output is read.
    other: Weak<OwnedFd>,
    /// Wakes the thread that hands the keys on; ends it on drop.
    wake: PipeWriter,
}

/// While it exists, keyroll's terminal hands its keys on; restored on drop.
pub(crate) struct Handing<'t> {
    terminal: &'t ProgramTerminal,
    /// The program's side: a program that closes its own and lives on must not be hung up.
    side: Option<OwnedFd>,
}

impl Handing<'_> {
    /// The program has ended: its output ends where nothing that it left behind has its terminal open.
    pub(crate) fn close(&mut self) {
        self.side = None;
    }
}

impl ProgramTerminal {
    /// `None` if stdout is no terminal.
    pub(crate) fn of_this() -> io::Result<Option<Self>> {
        let (input, out, err) = (io::stdin(), io::stdout(), io::stderr());
        if !out.is_terminal() {
            return Ok(None);
        }
        let keys = match input.is_terminal() {
            true => Some(Arc::new(File::from(input.as_fd().try_clone_to_owned()?))),
            false => None,
        };
        let errors = err.is_terminal() && fstat(&err)?.st_rdev == fstat(&out)?.st_rdev;
        Ok(Some(Self {
            keys,
            errors,
            now: Mutex::default(),
            typed: Arc::default(),
            begun: AtomicBool::new(false),
        }))
    }

    /// Whether the program has a session of its own on its terminal.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// When Ctrl-C or Ctrl-\ was last typed for the program, as its terminal understands them.
    pub(crate) fn typed(&self) -> Option<(Instant, Signal)> {
        *self.typed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the next program a terminal, and begins to hand the keys on. Returns the side that its output is read from: the
    /// terminal is hung up when that is dropped.
    ///
    /// # Errors
    /// The system gives no pseudo-terminal.
    pub(crate) fn open(&self, command: &mut Command) -> io::Result<(Arc<OwnedFd>, Handing<'_>)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let other = openpt(flags)?;
        grantpt(&other)?;
        unlockpt(&other)?;
        let program = ioctl_tiocgptpeer(&other, flags)?;
        // Keys that the program does not read must not block keyroll.
        fcntl_setfl(&other, OFlags::NONBLOCK)?;
        let mut settings = tcgetattr(io::stdout())?;
        if self.keys.is_none() {
            // keyroll's terminal still does this.
            settings.output_modes.remove(OutputModes::OPOST);
        }
        tcsetattr(&program, OptionalActions::Now, &settings)?;
        resize(&other);
        command.stdout(program.try_clone()?);
        if self.errors {
            command.stderr(program.try_clone()?);
        }
        if self.keys.is_some() {
            command.stdin(program.try_clone()?);
        }
        let (woken, wake) = io::pipe()?;
        let other = Arc::new(other);
        let mut now = self.now();
        *now = Some(Opened { other: Arc::downgrade(&other), wake });
        let handing = Handing { terminal: self, side: Some(program) };
        let ahead = self.typed_ahead();
        self.take_keys();
        drop(now);
        if let Some(keys) = &self.keys {
            *self.typed.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let (keys, to, typed) = (Arc::clone(keys), Arc::downgrade(&other), Arc::clone(&self.typed));
            thread::Builder::new().name("keys".into()).spawn(move || {
                if ahead.is_empty() || send(&ahead, &to, &typed) {
                    hand_on(&keys, (&to, &typed), woken);
                }
            })?;
        }
        Ok((other, handing))
    }

    /// Does what a signal to keyroll means for the terminals.
    pub(crate) fn heard(&self, signal: i32) {
        if signal == Signal::TSTP.as_raw() {
            // The shell is to find its terminal as it was.
            put_terminal_back();
            let _ = kill_process(getpid(), Signal::STOP);
        } else if signal == Signal::CONT.as_raw() {
            let now = self.now();
            if let Some(opened) = &*now {
                self.take_keys();
                let _ = (&opened.wake).write_all(b"c");
                opened.resize();
            }
        } else if signal == Signal::WINCH.as_raw()
            && let Some(opened) = &*self.now()
        {
            opened.resize();
        }
    }

    /// Whether a signal that keyroll's terminal sent must still be sent to the program.
    pub(crate) fn lacks(&self, signal: Signal) -> bool {
        match (signal == Signal::WINCH, self.has_keys()) {
            // The new size of its own terminal has sent it.
            (true, true) => false,
            // It was sent before the terminal of its output had the new size.
            (true, false) => true,
            (false, true) => !self.signals(signal),
            (false, false) => false,
        }
    }

    /// Signals what is in the foreground of the program's terminal.
    fn signals(&self, signal: Signal) -> bool {
        let other = self.now().as_ref().and_then(|opened| opened.other.upgrade());
        let group = other.and_then(|other| tcgetpgrp(&other).ok());
        group.is_some_and(|group| kill_process_group(group, signal).is_ok())
    }

    /// The lines that were typed before the first program. Where the end of the input was typed, they have its key: the
    /// terminal has made a mark of that key, which would be a zero among keys that are read as they are.
    fn typed_ahead(&self) -> Zeroizing<Vec<u8>> {
        let mut ahead = Zeroizing::new(Vec::with_capacity(2 * KEYS_BYTES));
        let first = !self.begun.swap(true, Ordering::Relaxed);
        let Some(keys) = self.keys.as_ref().filter(|_| first && !is_in_background()) else { return ahead };
        let Ok(settings) = tcgetattr(keys) else { return ahead };
        let code = |index: SpecialCodeIndex| settings.special_codes[index];
        // A terminal without lines has no such mark.
        let end = code(SpecialCodeIndex::VEOF);
        if !settings.local_modes.contains(LocalModes::ICANON) || end == 0 {
            return ahead;
        }
        let line_ends = [b'\n', code(SpecialCodeIndex::VEOL), code(SpecialCodeIndex::VEOL2)];
        let mut line = Zeroizing::new([0_u8; KEYS_BYTES]);
        while ahead.len() < KEYS_BYTES && has_line(keys) {
            let Ok(length) = rustix::io::read(keys, line.as_mut_slice()) else { return ahead };
            let line = line.get(..length).unwrap_or_default();
            ahead.extend_from_slice(line);
            if !line.last().is_some_and(|last| *last != 0 && line_ends.contains(last)) {
                ahead.push(end);
            }
        }
        ahead
    }

    /// In the background the keys are another program's.
    fn take_keys(&self) {
        if let Some(keys) = self.keys.as_ref().filter(|_| !is_in_background()) {
            // A terminal that is gone has no keys.
            let _ = make_raw(keys);
        }
    }

    fn now(&self) -> MutexGuard<'_, Option<Opened>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    fn resize(&self) {
        self.other.upgrade().iter().for_each(resize);
    }
}

impl Drop for Handing<'_> {
    fn drop(&mut self) {
        let mut now = self.terminal.now();
        *now = None;
        put_terminal_back();
    }
}

/// Whether a terminal has a whole line now, or the end of the input. One that is gone has nothing.
fn has_line(keys: &File) -> bool {
    let mut all = [PollFd::new(keys, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if retry_on_intr(|| poll(&mut all, Some(&now))).is_err() {
        return false;
    }
    let [found] = all.map(|one| one.revents());
    found == PollFlags::IN
}

/// Gives a program's terminal the size of keyroll's. The kernel signals its foreground if that changes the size.
fn resize(other: &impl AsFd) {
    if let Ok(size) = tcgetwinsize(io::stdout()) {
        let _ = tcsetwinsize(other, size);
    }
}

/// Hands keys on until the terminal is gone, or the other end of `woken` is closed.
fn hand_on(keys: &File, (to, signal): (&Weak<OwnedFd>, &Typed), mut woken: PipeReader) {
    let mut typed = Zeroizing::new([0_u8; KEYS_BYTES]);
    loop {
        // A process in the background that reads its terminal is stopped.
        let wanted = if is_in_background() { PollFlags::empty() } else { PollFlags::IN };
        let mut all = [PollFd::new(&woken, PollFlags::IN), PollFd::new(keys, wanted)];
        if retry_on_intr(|| poll(&mut all, None)).is_err() {
            return;
        }
        let [wakes, readable] = all.map(|one| !one.revents().is_empty());
        if wakes {
            match woken.read(&mut [0; 16]) {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return,
            }
        }
        if !readable || wanted.is_empty() != is_in_background() {
            continue;
        }
        match rustix::io::read(keys, typed.as_mut_slice()) {
            Ok(length @ 1..) if send(typed.get(..length).unwrap_or_default(), to, signal) => {}
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// `false`: the program's terminal is gone.
fn send(mut keys: &[u8], to: &Weak<OwnedFd>, signal: &Typed) -> bool {
    if let Some(sends) = to.upgrade().and_then(|to| signal_of(keys, &to)) {
        *signal.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), sends));
    }
    while !keys.is_empty() {
        let Some(to) = to.upgrade() else { return false };
        match rustix::io::write(&to, keys) {
            Ok(length) => keys = keys.get(length..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // The program does not read now.
            Err(Errno::AGAIN) => {
                let look = Timespec { tv_sec: 0, tv_nsec: FULL_LOOK_NS };
                let _ = poll(&mut [PollFd::new(&to, PollFlags::OUT)], Some(&look));
            }
            Err(_) => return false,
        }
    }
    true
}

/// The signal that the program's terminal makes of these keys; none if the program reads them itself.
fn signal_of(keys: &[u8], to: &OwnedFd) -> Option<Signal> {
    let settings = tcgetattr(to).ok().filter(|now| now.local_modes.contains(LocalModes::ISIG))?;
    let signals = [(SpecialCodeIndex::VINTR, Signal::INT), (SpecialCodeIndex::VQUIT, Signal::QUIT)];
    let typed = signals.into_iter().find(|(code, _)| keys.contains(&settings.special_codes[*code]));
    typed.map(|(_, signal)| signal)
}
