use keyroll_rotation::{Fact, State};

use crate::args::ResumeArgs;
use crate::context::{Context, meant_rotation};
use crate::driving::by_hand::Given;
use crate::driving::rotate::{Asked, resume, resumed};
use crate::driving::{prompted, split};
use crate::exit::Exit;
use crate::problem::Problem;

/// Continues a rotation that has no driver or is paused; this process drives it.
pub(super) fn run(args: &ResumeArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = meant_rotation(args.id.as_deref(), context)?;
    let id = id.as_deref();
    let emergency = args.emergency.map(Into::into);
    let asked = Asked {
        confirm: args.confirm.clone(),
        until: args.until.map(Into::into),
        emergency,
        alerted_unix_ms: None,
        accept: args.accept.clone(),
        given: match &args.value_file {
            Some(path) => Some(Given::File(path.clone())),
            None => args.value_stdin.then_some(Given::Stdin),
        },
        revoked_by_hand: args.revoked_by_hand,
        prompts: true,
        back: false,
    };
    let by_hand = args.revoked_by_hand;
    let plain = emergency.is_none() && asked.given.is_none() && asked.until.is_none() && !by_hand;
    if let Some(split) = plain.then(|| split::meant(id, context)).transpose()?.flatten() {
        return split::carry_out(&split, &asked, context);
    }
    let first = |state: &State| {
        // An emergency never waits for whatever the rotation stands still at.
        let mut facts = match emergency {
            Some(mode) => vec![Fact::Escalated { mode, pending_compromised: false }],
            None => resumed(state),
        };
        facts.extend(by_hand.then_some(Fact::HandRevoked));
        facts
    };
    let exit = resume(id, &asked, first, context)?;
    prompted::go_on(id, exit, &asked, context)
}
