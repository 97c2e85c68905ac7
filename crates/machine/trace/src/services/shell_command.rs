//! What a shell was started to do: to run a script, a text of its command line, or what it is told.

use keyroll_observe::{InProcess, Process, image, runs_shell, script};
use keyroll_secret::SecretBytes;

/// What a shell carries out.
pub(crate) enum ShellCommand {
    /// A script.
    Script(InProcess),
    /// A text of its command line.
    Text(SecretBytes),
}

impl ShellCommand {
    /// `None` = an interactive shell, or no shell.
    pub(crate) fn of(shell: &Process) -> Option<Self> {
        if !runs_shell(shell) {
            return None;
        }
        let script = image(&shell.id).ok().and_then(|image| image.script);
        if let Some(script) = script.filter(|script| script.here.is_file()) {
            return Some(Self::Script(script));
        }
        command_text(shell).map(Self::Text)
    }
}

/// Whether a process is a shell that runs what it is told, and no text.
pub(crate) fn is_interactive(process: &Process) -> bool {
    runs_shell(process) && script(process).is_none() && command_text(process).is_none()
}

/// The text after `-c`, or after a cluster of options with a `c`.
fn command_text(shell: &Process) -> Option<SecretBytes> {
    let (mut next, mut found) = (false, None);
    shell.args.any(|word| {
        if next {
            found = Some(SecretBytes::new(word.to_vec()));
            return true;
        }
        let short = word.strip_prefix(b"-").unwrap_or_default();
        next = short.contains(&b'c') && short.iter().all(u8::is_ascii_alphabetic);
        // A script, or what it is given.
        !word.starts_with(b"-") && !word.starts_with(b"+")
    });
    found
}
