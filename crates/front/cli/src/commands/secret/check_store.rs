use keyroll_app::exit::Exit;
use keyroll_manager::CommandLine;

use crate::args::SecretCheckStoreArgs;
use crate::commands::tried_rules::shown;
use crate::context::Context;

/// Tests a program against every rule that keyroll relies on; changes nothing without `--write`.
pub(super) fn run(args: &SecretCheckStoreArgs, context: &mut Context) -> Exit {
    let none: [&str; 0] = [];
    let command = CommandLine::program(args.program.as_str(), none);
    let rules = keyroll_truth::check_store(&command, &args.item, args.write);
    let exit = shown(rules, "docs/reference/store-program.md", context);
    if !args.write {
        context.ui.note("`write` was not tested: add --write to test it on an item that nothing depends on");
    }
    exit
}
