use std::path::Path;

use keyroll_app::exit::Exit;
use keyroll_app::inventory::{
    Meant, Seen, is_called, keeper, look, refuse_missing, resolve_target, tell_missed,
};
use keyroll_app::operator::{ChainShown, Event, LinkShown};
use keyroll_app::problem::Problem;
use keyroll_trace::{Found, User, chains_of};

use crate::args::WhyArgs;
use crate::context::Context;
use crate::ui::{Table, causes};

/// Shows which copy wins and which version each process uses: one line of cause first, then the chain. Read-only.
pub(super) fn run(args: &WhyArgs, context: &mut Context) -> Result<Exit, Problem> {
    refuse_missing(&args.what)?;
    let mut seen = look(&args.roots, &args.look.limits(), &context.installation, &mut context.ui)?;
    resolve_target(&seen, &args.what)?;
    seen.memory(&args.look.limits(), &mut context.ui);
    match resolve_target(&seen, &args.what)? {
        Meant::Secrets(all) => all.into_iter().for_each(|found| secret(&seen, found, context)),
        Meant::Users(word) => users(&seen, word, context),
        Meant::Process(pid) => process(&seen, pid, context),
        Meant::Path(path) => file(&seen, &path, context),
    }
    tell_missed(&seen.survey, &mut context.ui);
    Ok(Exit::Done)
}

fn secret(seen: &Seen, found: &Found, context: &mut Context) {
    let instances = seen.instances(found);
    if instances.is_empty() {
        say(&format!("{}: {}", found.name, seen.nobody()), context);
    }
    causes(instances, false, context);
    differing(seen, found, context);
    found.users.iter().for_each(|user| chains(seen.chains(found, user), context));
}

fn process(seen: &Seen, pid: u32, context: &mut Context) {
    let all =
        |found: &Found| seen.instances(found).into_iter().filter(|one| one.pid == pid).collect::<Vec<_>>();
    let mut any = false;
    for found in &seen.found {
        let own = all(found);
        if own.is_empty() {
            continue;
        }
        any = true;
        causes(own, true, context);
        let its = |user: &&User| user.processes.iter().any(|process| process.pid == pid);
        found.users.iter().filter(its).for_each(|user| chains(seen.chains(found, user), context));
    }
    if !any {
        let how = seen.not_searched();
        say(&format!("process {pid} does not use any of the values that were found{how}"), context);
    }
}

/// Shows what the users with this name use.
fn users(seen: &Seen, word: &str, context: &mut Context) {
    for found in &seen.found {
        let users: Vec<&User> = found.users.iter().filter(|user| is_called(seen, user, word)).collect();
        let mut own = seen.instances(found);
        own.retain(|one| {
            users.iter().any(|user| (user.name.as_str(), keeper(user.keeper)) == (&one.used_by, one.keeper))
        });
        causes(own, true, context);
        users.into_iter().for_each(|user| chains(seen.chains(found, user), context));
    }
}

fn file(seen: &Seen, path: &Path, context: &mut Context) {
    let mut any = false;
    for found in &seen.found {
        let here: Vec<_> = found
            .copies()
            .into_iter()
            .filter(|(place, _)| place.file().is_some_and(|one| one.starts_with(path)))
            .collect();
        if here.is_empty() {
            continue;
        }
        any = true;
        let mut readers: Vec<&User> = Vec::new();
        for (place, sighting) in here {
            let mut uses = Vec::new();
            for user in &found.users {
                for chain in chains_of(&seen.survey, found, user) {
                    let Some(link) = chain.links.iter().find(|link| link.place.as_ref() == Some(place))
                    else {
                        continue;
                    };
                    uses.push(used(user, chain, link));
                    if !readers.contains(&user) {
                        readers.push(user);
                    }
                }
            }
            let uses = match uses.is_empty() {
                true => "no known service reads it".to_owned(),
                false => uses.join("; "),
            };
            let label = seen.label(found, sighting.value);
            say(&format!("{place} holds {label} of {}: {uses}", found.name), context);
        }
        readers.into_iter().for_each(|user| chains(seen.chains(found, user), context));
    }
    if !any {
        let path = keyroll_observe::shown(path);
        say(&format!("{path}: it contains none of the known values"), context);
    }
}

/// The role of a copy for a service that could read it.
fn used(user: &User, chain: &keyroll_trace::Chain, link: &keyroll_trace::Link) -> String {
    use keyroll_trace::Standing;
    let name = &user.name;
    let winner =
        chain.links.iter().find(|link| link.standing == Standing::Wins).map(|link| link.what.as_str());
    let winner = winner.unwrap_or("another place");
    match link.standing {
        Standing::Wins => format!("it wins for {name}"),
        Standing::Shadowed => format!("it is a decoy for {name}: {winner} wins"),
        Standing::NotRead => format!("{name} does not read it: {winner} wins"),
        Standing::NotThere => format!("{name} would read it, and it is not there: {winner} wins"),
        Standing::NotVisible(why) => format!("not visible whether {name} reads it ({why})"),
    }
}

/// Shows the copies if they hold different values.
fn differing(seen: &Seen, found: &Found, context: &mut Context) {
    if !found.copies_differ() || context.ui.look.json {
        return;
    }
    for id in &found.values {
        let places: Vec<String> = found
            .copies()
            .into_iter()
            .filter(|(_, sighting)| sighting.value == *id)
            .map(|(place, sighting)| {
                let raw = sighting.encoding == keyroll_needle::Encoding::Raw;
                let form = if raw { String::new() } else { format!(" ({})", sighting.encoding.name()) };
                format!("{place}{form}")
            })
            .collect();
        if !places.is_empty() {
            let label = seen.label(found, *id);
            context.ui.lines(&format!("copies differ: {label} is in {}", places.join(", ")));
        }
    }
}

fn chains(all: Vec<ChainShown>, context: &mut Context) {
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
        for link in &chain.links {
            let same = |other: &&LinkShown| (&other.applies, &other.seems) == (&link.applies, &link.seems);
            if !told.iter().any(same) {
                told.push(link);
            }
        }
        let several = told.len() > 1;
        for link in told {
            let of = if several { format!(" of {}", place(link)) } else { String::new() };
            let line = |begin: &str, text: &String| format!("{begin}{of}: {text}");
            let all = [("to apply a change", &link.applies), ("has no effect", &link.seems)];
            for (begin, text) in all {
                text.iter().for_each(|text| context.ui.lines(&line(begin, text)));
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
