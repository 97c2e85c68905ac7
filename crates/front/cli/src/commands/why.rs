use keyroll_app::exit::Exit;
use keyroll_app::inventory::{
    Meant, WhyReport, look, refuse_missing, resolve_again, search_memory, tell_missed, values_meant, why,
};
use keyroll_app::operator::{ChainShown, Event, LinkShown};
use keyroll_app::problem::Problem;
use keyroll_trace::without_wrappings;

use crate::args::WhyArgs;
use crate::context::Context;
use crate::ui::{Table, causes};

/// Shows which copy wins and which version each process uses: one line of cause first, then the chain. Read-only.
pub(super) fn run(args: &WhyArgs, context: &mut Context) -> Result<Exit, Problem> {
    refuse_missing(&args.what)?;
    let mut seen = look(&args.roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    let before = values_meant(&seen, &args.what);
    search_memory(&mut seen, &args.look.limits(), &mut context.ui);
    let target = resolve_again(&seen, &args.what, &before)?;
    shown(why(&seen, &target), !matches!(target, Meant::Secrets(_)), context);
    seen.apart().for_each(|one| say(one, context));
    tell_missed(seen.missed(), seen.refused(), &mut context.ui);
    Ok(Exit::Done)
}

/// Shows the answers about each secret. `of_several`: each line names its secret.
pub(crate) fn shown(all: Vec<WhyReport>, of_several: bool, context: &mut Context) {
    let json = context.ui.look.json;
    for WhyReport { sentences, instances, differing, chains } in all {
        sentences.iter().for_each(|sentence| say(sentence, context));
        causes(instances, of_several, true, context);
        for (label, places) in differing.iter().filter(|_| !json) {
            context.ui.lines(&format!("copies differ: {label} is in {}", places.join(", ")));
        }
        show(chains, context);
    }
}

fn show(all: Vec<ChainShown>, context: &mut Context) {
    for chain in all {
        if context.ui.look.json {
            context.ui.event(Event::Chain(chain));
            continue;
        }
        let (name, who, keeper) = (&chain.name, &chain.used_by, &chain.keeper);
        context.ui.lines(&format!("\n{name} of {who} ({keeper}), in order of precedence:"));
        let mut table = Table::new(["STANDING", "VALUE", "WHERE"]);
        for link in &chain.links {
            let why = link.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let value = link.value.clone().unwrap_or_else(|| "-".to_owned());
            let said = link.what.get(without_wrappings(&link.what).len()..).unwrap_or_default();
            table.row([link.standing.to_string(), value, format!("{}{said}{why}", place(link))]);
        }
        context.ui.table(&table);
        let mut told: Vec<&LinkShown> = Vec::new();
        // Nothing applies a change of a copy that does not win, and it is not visible what does so of one that may not be
        // read.
        let read = |link: &&LinkShown| !matches!(&*link.standing, "shadowed" | "not visible");
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
    let what = without_wrappings(&link.what);
    let Some(place) = &link.place else { return what.to_owned() };
    match place.rsplit_once(':') {
        Some((path, _)) if place.starts_with('/') && what.contains(path) => what.replacen(path, place, 1),
        Some(_) if place.starts_with('/') => format!("{what} in {place}"),
        Some(_) | None => what.to_owned(),
    }
}

/// An answer of one sentence.
pub(crate) fn say(text: &str, context: &mut Context) {
    match context.ui.look.json {
        true => context.ui.note(text),
        false => context.ui.lines(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_copy_is_named_without_what_is_said_of_its_value() {
        for (what, named) in [
            ("EnvironmentFile=/srv/a.env", "EnvironmentFile=/srv/a.env:3"),
            ("EnvironmentFile=/srv/a.env; there it stands in quotes", "EnvironmentFile=/srv/a.env:3"),
            ("a list; process 7 was started with it in quotes", "a list in /srv/a.env:3"),
        ] {
            let place_of = Some("/srv/a.env:3".to_owned());
            let (value, why, applies, seems) = (None, None, None, None);
            let what = what.to_owned();
            let standing = "wins".into();
            let link = LinkShown { what, place: place_of, value, standing, why, applies, seems };
            assert_eq!(place(&link), named);
        }
    }
}
