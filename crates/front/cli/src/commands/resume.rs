use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::records::resolve_rotation::resolve_rotation;
use keyroll_app::session::manual_mint::Given;
use keyroll_app::session::options::ApplyOptions;
use keyroll_app::session::rotate::{resume, resumed};
use keyroll_app::session::said_revoked::said_revoked;
use keyroll_app::session::{prompt_for_key, split};
use keyroll_rotation::{Fact, State};

use crate::args::ResumeArgs;
use crate::context::Context;

/// Resumes a rotation that has no driver or is paused; this process drives it.
pub(super) fn run(args: &ResumeArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = resolve_rotation(args.id.as_deref(), &context.installation)?;
    let id = id.as_deref();
    let emergency = args.emergency.map(Into::into);
    let asked = ApplyOptions {
        confirm: args.confirm.clone(),
        until: args.until.map(Into::into),
        emergency,
        on_failure: None,
        alerted_unix_ms: None,
        accept: args.accept.clone(),
        given: Given::named(args.value_stdin, args.value_file.as_ref()),
        revoked_by_hand: args.revoked_by_hand,
        prompts: true,
        back: false,
        enables: false,
        brought: None,
        sealed: false,
        again: None,
    };
    let by_hand = args.revoked_by_hand;
    let plain = emergency.is_none() && asked.given.is_none() && asked.until.is_none() && !by_hand;
    if let Some(split) = plain.then(|| split::meant(id, &context.installation)).transpose()?.flatten() {
        return split::carry_out(&split, &asked, &context.installation, &mut context.ui);
    }
    let first = |state: &State| {
        // An emergency never waits for the reason for which the rotation is paused.
        match emergency {
            Some(mode) => {
                let escalated = Fact::Escalated { mode, pending_compromised: false };
                std::iter::once(escalated).chain(by_hand.then_some(Fact::HandRevoked)).collect()
            }
            None if by_hand => said_revoked(state),
            None => resumed(state),
        }
    };
    let exit = resume(id, &asked, first, &context.installation, &mut context.ui)?;
    prompt_for_key::go_on(id, exit, &asked, &context.installation, &mut context.ui)
}
