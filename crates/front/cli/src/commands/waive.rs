use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::session::waive::{WaiveRequest, waive};

use crate::args::WaiveArgs;
use crate::context::Context;

/// Waives a process, a copy or a consumer that is not visible.
pub(super) fn run(args: &WaiveArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = WaiveRequest { holder: &args.holder, secret: args.secret.as_deref(), reason: &args.reason };
    let waived = waive(&request, &context.installation)?;
    context.ui.note(format!(
        "waived for {}: {}; it may keep the old value, and the report will list it",
        waived.secret, waived.holder
    ));
    Ok(Exit::Done)
}
