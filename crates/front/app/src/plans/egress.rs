//! The hosts that receive credentials: a rotation sends none to a host that its plan did not name.

use keyroll_codes::Code;
use keyroll_config::Secret;

use crate::operator::{Confirmation, Operator};
use crate::problem::Problem;
use crate::records::saved_plan::Saved;
use crate::wiring::issuer::Described;

/// Refuses hosts that were not in the plan. Must be called before the first request to the issuer. An open rotation
/// cannot be planned again, so the operator may confirm the host by typing its name at the terminal.
pub fn reject_new_hosts(
    saved: &Saved,
    secret: &Secret,
    described: &Described,
    open: Option<(&str, &mut dyn Operator)>,
) -> Result<(), Problem> {
    let before = &saved.seen.reach;
    // A plan of an older version does not list its hosts.
    if before.is_empty() {
        return Ok(());
    }
    let grown: Vec<String> =
        described.reach(secret).into_iter().filter(|host| !before.contains(host)).collect();
    let Some(first) = grown.first() else { return Ok(()) };
    let problem = Problem::new(
        Code::SpecHostsChanged,
        format!("send the credentials of {} only to the hosts of the plan", secret.name),
    )
    .because(format!("its issuer's spec now also sends them to {}", grown.join(", ")))
    .because(format!("the plan has {}", before.join(", ")));
    let Some((id, operator)) = open else {
        return Err(problem
            .help(format!("restore the spec, or review the change, then: keyroll plan {}", secret.name)));
    };
    let question =
        format!("Credentials of {} would be sent to {} from now on.", secret.name, grown.join(", "));
    match operator.ask_name(&question, first) {
        Confirmation::Yes => Ok(()),
        answer @ (Confirmation::No | Confirmation::Nobody | Confirmation::Stopped) => Err(problem
            .mend(format!(
                "restore the spec; or, if the issuer really moved, go on with {id} at a terminal, where keyroll asks"
            ))
            .exits(answer.exit())),
    }
}
