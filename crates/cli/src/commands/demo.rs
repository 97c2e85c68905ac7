use crate::args::{DemoArgs, DemoPartArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring;

/// Runs a whole rotation on this machine, with an issuer and workers of its own.
pub(super) fn run(args: &DemoArgs, context: &mut Context) -> Result<Exit, Problem> {
    let _ = (args.keep, context.ui.look);
    Err(wiring::absent("run the demo"))
}

/// A part of the demo, run by the demo.
pub(super) fn part(args: &DemoPartArgs) -> Result<Exit, Problem> {
    match args.words.is_empty() {
        true => Err(Problem::new("K0802", "run a part of the demo")
            .because("no part is named")
            .exits(Exit::Usage)),
        false => Err(wiring::absent("run a part of the demo")),
    }
}
