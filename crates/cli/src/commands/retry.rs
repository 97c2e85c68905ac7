use keyroll_rotation::Fact;

use crate::args::RetryArgs;
use crate::context::{Context, meant_rotation};
use crate::driving::rotate::{Asked, resume};
use crate::exit::Exit;
use crate::problem::Problem;

/// Tries the step again at which a rotation is stuck.
pub(super) fn run(args: &RetryArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = meant_rotation(args.id.as_deref(), context)?;
    let id = id.as_deref();
    let stands = |state: &keyroll_rotation::State| {
        if state.hold().is_some() { vec![Fact::Retried] } else { Vec::new() }
    };
    let asked = Asked { accept: args.accept.clone(), ..Asked::default() };
    resume(id, &asked, stands, context)
}
