use crate::args::VerifyArgs;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring;

/// Asks the issuer whether each version of a secret is alive.
pub(super) fn run(args: &VerifyArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    secret(&config, &args.secret)?;
    context.places()?;
    Err(wiring::absent("verify the secret"))
}
