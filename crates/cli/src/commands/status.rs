use crate::args::StatusArgs;
use crate::context::{Context, rotation_id};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring;

/// Shows what is open, who holds what, and what to do next. It never drives.
pub(super) fn run(args: &StatusArgs, context: &mut Context) -> Result<Exit, Problem> {
    args.id.as_deref().map_or(Ok(()), rotation_id)?;
    let places = context.places()?;
    if args.id.is_none() && !places.journal().exists() {
        context.ui.note(format!("no rotation was ever begun here ({})", places.state.display()));
        return Ok(Exit::Done);
    }
    let _ = args.watch;
    Err(wiring::absent("show what is open"))
}
