use keyroll_app::exit::Exit;
use keyroll_app::operator::{CheckShown, Event, Finding};
use keyroll_manager::TriedRule;

use crate::context::Context;

/// Shows which rules of its protocol a program keeps. `page` has the protocol.
pub(super) fn shown(rules: Vec<TriedRule>, page: &str, context: &mut Context) -> Exit {
    let mut exit = Exit::Done;
    for one in rules {
        let (finding, detail, help) = match one.broken {
            None => (Finding::Good, "kept".to_owned(), None),
            Some(why) => {
                exit = Exit::Findings;
                (Finding::Bad, why, Some(format!("{page} has the protocol")))
            }
        };
        context.ui.event(Event::Check(CheckShown { name: one.rule.to_owned(), finding, detail, help }));
    }
    exit
}
