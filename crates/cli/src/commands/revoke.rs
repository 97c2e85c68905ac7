use crate::args::{RevocableVersion, RevokeArgs};
use crate::context::{Context, consent, secret};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring;

/// Ends an old version that is still alive (a debt), behind the same gate as a rotation.
pub(super) fn run(args: &RevokeArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = secret(&config, &args.secret)?;
    consent(args.confirm.as_deref(), secret.name.as_str())?;
    context.places()?;
    match args.version {
        RevocableVersion::Previous => Err(wiring::absent("revoke the previous version")),
    }
}
