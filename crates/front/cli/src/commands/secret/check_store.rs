use keyroll_app::exit::Exit;
use keyroll_app::operator::{CheckShown, Event, Finding};
use keyroll_manager::CommandLine;

use crate::args::SecretCheckStoreArgs;
use crate::context::Context;

/// Tests a program against every rule that keyroll relies on; changes nothing without `--write`.
pub(super) fn run(args: &SecretCheckStoreArgs, context: &mut Context) -> Exit {
    let none: [&str; 0] = [];
    let command = CommandLine::program(args.program.as_str(), none);
    let rules = keyroll_truth::check_store(&command, &args.item, args.write);
    let mut exit = Exit::Done;
    for one in rules {
        let (finding, detail, help) = match one.broken {
            None => (Finding::Good, "kept".to_owned(), None),
            Some(why) => {
                exit = Exit::Findings;
                (Finding::Bad, why, Some("docs/reference/store-program.md has the protocol".to_owned()))
            }
        };
        context.ui.event(Event::Check(CheckShown { name: one.rule.to_owned(), finding, detail, help }));
    }
    if !args.write {
        context.ui.note("`write` was not tested: add --write to test it on an item that nothing depends on");
    }
    exit
}
