//! Where credentials go: a rotation sends them nowhere that its plan did not name.

use keyroll_config::Secret;

use crate::problem::Problem;
use crate::records::saved::Saved;
use crate::ui::{Answer, Ui};
use crate::wiring::issuer::Described;

/// Refuses hosts that were not in the plan: to be called before the issuer is asked for anything. An open rotation
/// cannot be planned anew, so a person may name the host at the terminal instead.
pub(crate) fn refuse_grown(
    saved: &Saved,
    secret: &Secret,
    described: &Described,
    open: Option<(&str, &mut Ui)>,
) -> Result<(), Problem> {
    let before = &saved.seen.reach;
    // A plan of before this was written down says nothing about it.
    if before.is_empty() {
        return Ok(());
    }
    let grown: Vec<String> =
        described.reach(secret).into_iter().filter(|host| !before.contains(host)).collect();
    let Some(first) = grown.first() else { return Ok(()) };
    let problem =
        Problem::new("K0866", format!("send the credentials of {} where the plan says", secret.name))
            .because(format!("its issuer's spec now sends them to {} too", grown.join(", ")))
            .because(format!("the plan knows {}", before.join(", ")));
    let Some((id, ui)) = open else {
        return Err(problem.help(format!(
            "put the spec back, or look at what changed, then: keyroll plan {}",
            secret.name
        )));
    };
    let question =
        format!("Credentials of {} would be sent to {} from now on.", secret.name, grown.join(", "));
    match ui.ask_name(&question, first) {
        Answer::Yes => Ok(()),
        answer @ (Answer::No | Answer::Nobody | Answer::Stopped) => Err(problem
            .help(format!(
                "put the spec back, then: keyroll resume {id}; if the issuer did move, run that at a terminal, where it asks"
            ))
            .exits(answer.exit())),
    }
}
