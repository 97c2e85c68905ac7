//! Hardens the process before it reads anything.
//!
//! No dump: a process that is not dumpable writes no core, whatever the limit and the system's core pattern say
//! (prctl(2), PR_SET_DUMPABLE), and others of the same user cannot read its memory. The core limit and the umask are
//! left as they are on purpose: both would be inherited by every service that a restart command starts, whose logs
//! would change their modes. Our own files are made with their modes named. A broken pipe is an error to handle, not
//! a signal that ends a rotation: Rust's runtime ignores SIGPIPE, and gives it back to the commands that are run.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use keyroll_app::exit::Exit;
use keyroll_codes::Code;
use keyroll_secret::panic_place;
use rustix::process::Signal;

/// The code of an internal error.
const PANIC_CODE: Code = Code::InternalError;

pub(crate) fn process() {
    // Fails only on kernels without prctl; `doctor` shows the outcome.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    std::panic::set_hook(Box::new(report));
}

/// Lets processes of the same user look at this one. Without root, `keyroll serve` could else not see which program asks at
/// its socket. What these commands have in memory is in the program that they run for as well.
pub(crate) fn visible() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
}

/// True if the signal was ignored when this process started, as nohup does with SIGHUP (proc(5), SigIgn). Read before
/// keyroll listens for the signal; false if /proc is not visible.
pub(crate) fn ignores(signal: Signal) -> bool {
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// A panic on any thread ends the process at once: the journal allows that, and a driver that lost a part must not
/// continue.
fn report(info: &PanicHookInfo<'_>) {
    crate::ui::put_terminal_back();
    let _ = std::io::stderr().write_all(panic_text(info).as_bytes());
    std::process::exit(i32::from(Exit::NeedsPerson.number()));
}

fn panic_text(info: &PanicHookInfo<'_>) -> String {
    let place = panic_place(info);
    format!(
        "error[{PANIC_CODE}]: internal error{place}\n  help: the message is not shown because it may \
         contain a secret; `keyroll status` shows open rotations, `keyroll resume` continues one\n"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_panic_shows_its_place_and_nothing_of_its_message() {
        let (sender, texts) = mpsc::channel();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| sender.send(panic_text(info)).unwrap_or_default()));
        let value = format!("value-{}", std::process::id());
        let thrown = std::panic::catch_unwind(|| panic!("the key is {value}"));
        std::panic::set_hook(before);
        let text = texts.try_recv().unwrap();
        let start = format!("error[{PANIC_CODE}]: internal error at ");
        assert!(thrown.is_err() && text.starts_with(&start), "{text}");
        assert!(text.contains("src/harden.rs:") && !text.contains("value-"), "{text}");
    }
}
