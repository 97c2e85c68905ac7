use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::session::emergency::{Wanted, replace};
use keyroll_app::session::manual_mint::Given;

use super::apply::told;
use crate::args::EmergencyArgs;
use crate::context::Context;

/// Replaces a leaked key at once; this process drives the rotation until it ends or waits for an operator.
pub(super) fn run(args: &EmergencyArgs, context: &mut Context) -> Result<Exit, Problem> {
    if let Some(at) = args.alerted_at {
        told(at, context)?;
    }
    let wanted = Wanted {
        given: Given::named(args.value_stdin, args.value_file.as_ref()),
        confirm: args.confirm.clone(),
        rotation: args.rotation.clone(),
        alerted_unix_ms: args.alerted_at.and_then(|at| u64::try_from(at.as_millisecond()).ok()),
        without: args.without.meant(),
        ..Wanted::default()
    };
    replace(&args.secret, wanted, &context.installation, &mut context.ui)
}
