use std::time::{Duration, Instant};

use keyroll_app::exit::Exit;
use keyroll_manager::{Adapter, CommandLine, check_adapter};

use super::tried_rules::shown;
use crate::args::CheckAdapterArgs;
use crate::context::Context;

/// The longest that the service may take to apply a value and settle, as in a rotation.
const APPLY_TIME_MAX: Duration = Duration::from_secs(120);

/// Tests an adapter against every rule that a rotation relies on; changes nothing without `--apply`.
pub(super) fn run(args: &CheckAdapterArgs, context: &mut Context) -> Exit {
    let mut words = args.command.iter().cloned();
    let program = words.next().unwrap_or_default();
    let adapter = Adapter { command: CommandLine::program(program, words), instance: args.instance.clone() };
    let rules = check_adapter(&adapter, args.apply.then(|| Instant::now() + APPLY_TIME_MAX));
    let exit = shown(rules, "docs/reference/exec-adapter.md", context);
    if !args.apply {
        context.ui.note("`apply` was not tested: add --apply to test it on the real service");
    }
    exit
}
