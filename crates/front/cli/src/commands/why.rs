use keyroll_app::exit::Exit;
use keyroll_app::inventory::{Meant, WhyReport, look, refuse_missing, resolve_target, tell_missed, why};
use keyroll_app::operator::{ChainShown, Event, LinkShown};
use keyroll_app::problem::Problem;

use crate::args::WhyArgs;
use crate::context::Context;
use crate::ui::{Table, causes};

/// Shows which copy wins and which version each process uses: one line of cause first, then the chain. Read-only.
pub(super) fn run(args: &WhyArgs, context: &mut Context) -> Result<Exit, Problem> {
    refuse_missing(&args.what)?;
    let mut seen = look(&args.roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    // A wrong name is reported before the memory is searched; that of a program may be one that only memory shows.
    if let Err(problem) = resolve_target(&seen, &args.what)
        && !seen.runs(&args.what)
    {
        return Err(problem);
    }
    seen.memory(&args.look.limits(), &mut context.ui);
    let target = resolve_target(&seen, &args.what)?;
    let (of_several, json) = (!matches!(target, Meant::Secrets(_)), context.ui.look.json);
    for WhyReport { sentences, instances, differing, chains } in why(&seen, &target) {
        sentences.iter().for_each(|sentence| say(sentence, context));
        causes(instances, of_several, context);
        for (label, places) in differing.iter().filter(|_| !json) {
            context.ui.lines(&format!("copies differ: {label} is in {}", places.join(", ")));
        }
        show(chains, context);
    }
    tell_missed(&seen.survey, &mut context.ui);
    Ok(Exit::Done)
}

fn show(all: Vec<ChainShown>, context: &mut Context) {
    for chain in all {
        if context.ui.look.json {
            context.ui.event(Event::Chain(chain));
            continue;
        }
        let (name, who, keeper) = (&chain.name, &chain.used_by, chain.keeper);
        context.ui.lines(&format!("\n{name} of {who} ({keeper}), in order of precedence:"));
        let mut table = Table::new(["STANDING", "VALUE", "WHERE"]);
        for link in &chain.links {
            let why = link.why.map(|why| format!(" ({why})")).unwrap_or_default();
            let value = link.value.clone().unwrap_or_else(|| "-".to_owned());
            table.row([link.standing.to_owned(), value, format!("{}{why}", place(link))]);
        }
        context.ui.table(&table);
        let mut told: Vec<&LinkShown> = Vec::new();
        // Nothing applies a change of a copy that does not win, and it is not visible what does so of one that may not be
        // read.
        let read = |link: &&LinkShown| !matches!(link.standing, "shadowed" | "not visible");
        for link in chain.links.iter().filter(read) {
            let same = |other: &&LinkShown| (&other.applies, &other.seems) == (&link.applies, &link.seems);
            if !told.iter().any(same) {
                told.push(link);
            }
        }
        let several = told.len() > 1;
        for link in told {
            let of = if several { format!(" of {}", place(link)) } else { String::new() };
            if let Some(command) = &link.applies {
                context.ui.lines(&format!("to apply a change{of}:"));
                context.ui.data(&format!("  {command}"));
            }
            if let Some(command) = &link.seems {
                context.ui.data(&format!("has no effect{of}: {command}"));
            }
        }
    }
}

/// A link's description, with the line if it is in a file: `EnvironmentFile=/srv/api.env:3`.
fn place(link: &LinkShown) -> String {
    let Some(place) = &link.place else { return link.what.clone() };
    match place.rsplit_once(':') {
        Some((path, _)) if place.starts_with('/') && link.what.contains(path) => {
            link.what.replacen(path, place, 1)
        }
        Some(_) if place.starts_with('/') => format!("{} in {place}", link.what),
        Some(_) | None => link.what.clone(),
    }
}

/// An answer of one sentence.
fn say(text: &str, context: &mut Context) {
    match context.ui.look.json {
        true => context.ui.note(text),
        false => context.ui.lines(text),
    }
}
