use std::process::ExitCode;

use keyroll_demo::Options;

use crate::args::{DemoArgs, DemoPartArgs};
use crate::ui::Look;

/// Runs a complete rotation on this machine, with its own issuer and workers.
pub(crate) fn run(args: &DemoArgs, look: Look) -> ExitCode {
    keyroll_demo::run(Options { json: look.json, plain: !look.live, keep: args.keep, program: None })
}

/// Runs a part of the demo, for the demo itself.
pub(crate) fn part(args: DemoPartArgs) -> ExitCode {
    keyroll_demo::part(args.words)
}
