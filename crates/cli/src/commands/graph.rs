use crate::args::{Drawn, GraphArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::redact;
use crate::seen::{dot, drawn, look, mermaid, secret, svg, tell_missed};
use crate::ui::Event;

/// Draws who takes what from where. Read-only.
pub(super) fn run(args: &GraphArgs, context: &mut Context) -> Result<Exit, Problem> {
    let mut seen = look(&args.roots, &args.look, context)?;
    if let Some(name) = &args.secret {
        secret(&seen, name)?;
    }
    seen.memory(&args.look, context);
    let graph = match &args.secret {
        Some(name) => drawn(&seen, std::iter::once(secret(&seen, name)?)),
        None => drawn(&seen, seen.found.iter()),
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
    tell_missed(&seen.survey, context);
    Ok(Exit::Done)
}
