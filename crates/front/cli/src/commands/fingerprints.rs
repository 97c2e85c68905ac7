use keyroll_app::exit::Exit;
use keyroll_app::export_fingerprints::export;
use keyroll_app::problem::Problem;

use crate::args::FingerprintsArgs;
use crate::context::Context;

/// Writes a fingerprint file, so that another machine can scan for the stored values without knowing them.
pub(super) fn run(args: &FingerprintsArgs, context: &mut Context) -> Result<Exit, Problem> {
    let Context { installation, ui, .. } = context;
    let left_out = export(&args.secrets, &args.out, args.replace, installation, ui)?;
    Ok(if left_out { Exit::Findings } else { Exit::Done })
}
