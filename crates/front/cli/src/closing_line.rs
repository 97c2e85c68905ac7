//! The last line of a command that named others: the options without which these would work on another installation.

use crate::args::Command;
use crate::context::Context;

/// Whether this command may say it: its output is for a person, and its own.
pub(crate) fn may_follow(command: &Command) -> bool {
    matches!(
        command,
        Command::Init(_)
            | Command::Doctor(_)
            | Command::Secret(_)
            | Command::Plan(_)
            | Command::Split(_)
            | Command::Apply(_)
            | Command::Resume(_)
            | Command::Pause(_)
            | Command::Status(_)
            | Command::Abort(_)
            | Command::Undo(_)
            | Command::Retry(_)
            | Command::Consumer(_)
            | Command::Hosts(_)
            | Command::Verify(_)
            | Command::Revoke(_)
            | Command::Emergency(_)
            | Command::Incident(_)
            | Command::Due(_)
            | Command::History(_)
    )
}

/// Says once with which options the commands work that were named, if this one was given any. What a server runs is read by
/// a caller who has no use for them.
pub(crate) fn show(context: &mut Context) {
    if context.globals.asked_by.is_some() || !context.ui.has_named_command() {
        return;
    }
    if let Some(alias) = context.installation.alias() {
        context.ui.unwrapped(&format!("these commands need the options of this one: {alias}"));
    }
}
