use keyroll_app::exit::Exit;
use keyroll_app::inventory::{graph, look, search_memory, secret, tell_missed};
use keyroll_app::operator::Event;
use keyroll_app::problem::Problem;
use keyroll_app::redact;

use crate::args::{Drawn, GraphArgs};
use crate::context::Context;
use crate::graph::{dot, mermaid, svg};

/// Draws which process takes which secret from which copy. Read-only.
pub(super) fn run(args: &GraphArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut seen = look(&args.roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    if let Some(name) = &args.secret {
        secret(&seen, name)?;
    }
    search_memory(&mut seen, &args.look.limits(), &mut context.ui);
    let graph = match &args.secret {
        Some(name) => graph(&seen, std::iter::once(secret(&seen, name)?)),
        None => graph(&seen, seen.found.iter()),
    };
    if context.ui.look.json {
        context.ui.event(Event::Graph(graph));
    } else {
        let text = match args.format {
            Drawn::Dot => dot(&graph),
            Drawn::Mermaid => mermaid(&graph),
            Drawn::Svg => svg(&graph),
        };
        context.ui.file(redact::pass(&text).as_bytes());
    }
    tell_missed(seen.missed(), seen.refused(), &mut context.ui);
    Ok(Exit::Done)
}
