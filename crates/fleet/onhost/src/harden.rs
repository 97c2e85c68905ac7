//! Hardens the process before it reads anything: it writes no core, others of the same user cannot read its memory, and
//! a panic says only where it was.

use std::io::Write as _;
use std::panic::PanicHookInfo;

use keyroll_secret::panic_place;

/// The exit code after a panic, as Rust's own.
const PANICKED: i32 = 101;

pub(crate) fn process() {
    // A word that was asked about is not a file of the home that the login begins in.
    let _ = std::env::set_current_dir("/");
    // Fails only on kernels without prctl.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    std::panic::set_hook(Box::new(report));
}

/// A panic on any thread ends the process: half an answer must not look like a whole one.
fn report(info: &PanicHookInfo<'_>) {
    drop(std::io::stderr().write_all(panic_text(info).as_bytes()));
    std::process::exit(PANICKED);
}

fn panic_text(info: &PanicHookInfo<'_>) -> String {
    let place = panic_place(info);
    format!("keyroll-host: internal error{place}\n")
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
        assert!(thrown.is_err() && text.starts_with("keyroll-host: internal error at "), "{text}");
        assert!(text.contains("src/harden.rs:") && !text.contains("value-"), "{text}");
    }
}
