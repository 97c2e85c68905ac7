use keyroll_rotation::Fact;

use crate::args::IdArgs;
use crate::context::{Context, meant_rotation};
use crate::driving::rotate::{Asked, resume};
use crate::driving::told::refuse_decided;
use crate::exit::Exit;
use crate::problem::Problem;

/// Undoes a rotation: abort before the point of no return; after it, refused with the plan command to run.
pub(super) fn run(args: &IdArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = meant_rotation(args.id.as_deref(), context)?;
    let id = id.as_deref();
    refuse_decided(id, context)?;
    resume(id, &Asked { back: true, ..Asked::default() }, |_| vec![Fact::AbortAsked], context)
}
