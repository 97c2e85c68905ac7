//! The ways that keyroll names, as the status of an object takes them: by what each command does, never by its text.

use keyroll_app::operator::{CommandShown, Holder, StepShown};
use keyroll_app::records::next_words;
use keyroll_controller::{Blocking, Command, Way};

/// A rotation, and who ends its old key.
pub(super) struct Rotation<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    /// How many tokens must approve it.
    pub(super) approvals: u8,
}

impl Rotation<'_> {
    /// The ways past a wait of it.
    pub(super) fn ways(&self, steps: &[StepShown]) -> Vec<Way> {
        let way = |step: &StepShown| Way {
            first: step.first.clone(),
            then: step.commands.iter().map(|command| self.command(command)).collect(),
        };
        steps.iter().map(way).collect()
    }

    /// Something that keeps its old key alive.
    pub(super) fn blocking(&self, holder: &Holder) -> Blocking {
        let kind = if holder.kind.is_empty() { String::new() } else { format!("{}: ", holder.kind) };
        Blocking {
            what: format!("{kind}{}", holder.name),
            why: holder.found_by.clone(),
            ways: self.ways(&holder.steps),
        }
    }

    fn command(&self, shown: &CommandShown) -> Command {
        match shown.kind {
            "confirm" if self.approvals > 1 => Command::Elsewhere(approve(self.id, self.secret)),
            "confirm" => Command::Confirm,
            "abort" => Command::Abort,
            "resume" | "retry" => Command::Resume,
            "declare" => Command::Declare,
            "hand_mint" => Command::HandOver(next_words::from_stdin(self.id)),
            _ => Command::Keyroll(shown.command.clone()),
        }
    }
}

/// The command that gives one of the approvals that the server wants.
pub(super) fn approve(id: &str, secret: &str) -> String {
    format!("keyroll --server URL resume {id} --confirm={secret}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_its_kind() {
        let command = |kind, approvals| {
            let text = "keyroll resume 01a2, and what else a text may say".to_owned();
            let shown = CommandShown { kind, command: text, complete: true };
            let step = StepShown { first: Some("end it".to_owned()), commands: vec![shown] };
            let rotation = Rotation { id: "01a2", secret: "shop.acme", approvals };
            let Way { first, then } = rotation.ways(&[step]).remove(0);
            assert_eq!(first.as_deref(), Some("end it"));
            <[Command; 1]>::try_from(then).unwrap()
        };
        for (kind, known) in [
            ("confirm", Command::Confirm),
            ("abort", Command::Abort),
            ("resume", Command::Resume),
            ("retry", Command::Resume),
            ("declare", Command::Declare),
            ("hand_mint", Command::HandOver("keyroll resume 01a2 --value-stdin".to_owned())),
        ] {
            assert_eq!(command(kind, 1), [known], "{kind}");
        }
        for kind in ["accept", "waive", "let_go", "accept_file", "correct", "hand_revoked", "another_key"] {
            let [Command::Keyroll(text)] = command(kind, 1) else { panic!("{kind}") };
            assert!(text.ends_with("a text may say"), "{kind}");
        }
        // An annotation is not enough.
        let remote = "keyroll --server URL resume 01a2 --confirm=shop.acme".to_owned();
        assert_eq!(command("confirm", 2), [Command::Elsewhere(remote)]);
    }
}
