use std::time::{Duration, Instant};

use keyroll_manager::{Adapter, CommandLine, check_adapter};

use crate::args::CheckAdapterArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::ui::{Event, Finding};

/// How long the service may take to apply and to settle: as long as in a rotation.
const APPLY_TIME_MAX: Duration = Duration::from_secs(120);

/// Tries an adapter by every rule that a rotation relies on; changes nothing unless it is asked to apply.
pub(super) fn run(args: &CheckAdapterArgs, context: &mut Context) -> Exit {
    let mut words = args.command.iter().cloned();
    let program = words.next().unwrap_or_default();
    let adapter = Adapter { command: CommandLine::program(program, words), instance: args.instance.clone() };
    let rules = check_adapter(&adapter, args.apply.then(|| Instant::now() + APPLY_TIME_MAX));
    let mut exit = Exit::Done;
    for one in rules {
        let (finding, detail, help) = match one.broken {
            None => (Finding::Good, "kept".to_owned(), None),
            Some(why) => {
                exit = Exit::Findings;
                (Finding::Bad, why, Some("docs/reference/exec-adapter.md has the protocol".to_owned()))
            }
        };
        context.ui.event(Event::Check { name: one.rule.to_owned(), finding, detail, help });
    }
    if !args.apply {
        context.ui.note("it was not told to apply: --apply tries that too, on the service behind it");
    }
    exit
}
