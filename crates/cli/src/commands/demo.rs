use std::process::ExitCode;

use keyroll_demo::Options;

use crate::args::{DemoArgs, DemoPartArgs};
use crate::ui::Look;

/// Runs a whole rotation on this machine, with an issuer and workers of its own.
pub(crate) fn run(args: &DemoArgs, look: Look) -> ExitCode {
    keyroll_demo::run(Options { json: look.json, plain: !look.live, keep: args.keep, program: None })
}

/// A part of the demo, run by the demo.
pub(crate) fn part(args: DemoPartArgs) -> ExitCode {
    keyroll_demo::part(args.words)
}
