//! Runs every check once before anything is made: a check that cannot fail, or does not pass now, proves nothing later.

use keyroll_codes::Code;
use keyroll_manager::{CheckAnswer, CommandLine};
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::Which;

use super::check_output::ended;
use super::checks::{Content, answer, exec, with_copy};
use super::find::build_needles;
use super::{CheckSetup, Local};

impl Local {
    /// Runs every command check of the consumers on the present copy, and on a copy with a wrong value; returns the
    /// problems. Nothing is refused here, but such a check gives less evidence than its consumer may need.
    ///
    /// `K0362`: it passes whatever the copy holds, or it does not pass on the present copy, or it gives no answer in
    /// time.
    pub(super) fn rehearse_checks(&self, values: Values<'_>) -> Vec<Failure> {
        let mut against = Vec::new();
        for (id, consumer) in self.setup.consumer_ids() {
            let checks = consumer.slots.first().into_iter().flat_map(|slot| &slot.checks);
            for (path, check) in (0u8..).zip(checks) {
                let (command, copy) = match check {
                    Some(CheckSetup::Exec { command, copy, .. }) => (command, copy),
                    Some(CheckSetup::LiteLlm(of)) => {
                        against.extend(self.rehearse_litellm(of, values).err());
                        continue;
                    }
                    Some(CheckSetup::Http(_)) | None => continue,
                };
                let told = match self.stands_for_copy(id, command, *copy) {
                    Some(content) => self.rehearse((id.0, path), command, content, values),
                    None => Err(blind().because("no argument of it is `{copy}`")),
                };
                against.extend(told.err().map(|failure| Failure {
                    attempted: format!("{} of '{}'", failure.attempted, consumer.name),
                    ..failure
                }));
            }
        }
        against
    }

    fn rehearse(
        &self,
        of: (u16, u8),
        command: &CommandLine,
        content: Content<'_>,
        values: Values<'_>,
    ) -> Result<(), Failure> {
        let unread = || {
            Failure::new(Class::Permanent, Code::CheckUnusable, "pass the check").help(
                "run it by hand as keyroll's user on the file that `{copy}` stands for, and correct the one or the other",
            )
        };
        let mut said = None;
        let copy = self.copy_for(of, content, Which::Old, values)?;
        let answered = answer(&exec(with_copy(command, copy.path())), None, &mut said)?;
        drop(copy);
        match answered {
            CheckAnswer::Passed => {}
            CheckAnswer::Failed(how) => {
                let how = ended(&how, said.as_ref(), &build_needles(values)?);
                return Err(unread().because(format!("on the present copy it ends with {how}")));
            }
            CheckAnswer::Unknown(why) => return Err(unread().because(why)),
        }
        match self.control(of, command, content, values)? {
            Some(true) => Ok(()),
            Some(false) => Err(blind().because("it passes on a copy with a wrong value too")),
            None => Err(unread().because("on a copy with a wrong value it gives no answer in time")),
        }
    }
}

fn blind() -> Failure {
    Failure::new(Class::Permanent, Code::CheckUnusable, "count on the check").help(
        "let it make a real call with the value in `{copy}`, and end with another status than 0 if that is refused",
    )
}
