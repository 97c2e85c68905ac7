use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_config::{FoundConsumer, FoundCopy, Name};
use keyroll_needle::Encoding;
use keyroll_observe::{Sockets, shown};
use keyroll_secret::SecretBytes;
use keyroll_trace::{
    Link, LinkRole, ManagedBy, Names, Place, Survey, SurveyedSecret, User, chains_of, is_left_behind,
    without_wrappings,
};

use crate::consumer::{at_rest, drafted};
use crate::consumer_draft::{ConsumerDraft, Context};
use crate::form::Form;
use crate::login::{Login, Recognised, holds, is_server, recognised};

/// How long reading the machine's sockets may take.
const SOCKETS_WAIT: Duration = Duration::from_secs(5);

/// The highest number that makes a name unique.
const NUMBER_MAX: u32 = 1_000;

/// How many places of one secret are listed one by one.
const NAMED_MAX: usize = 24;

/// A found secret as it would be written.
pub struct Draft<'s> {
    /// What was found.
    pub found: &'s SurveyedSecret,
    /// Its name in the configuration.
    pub name: Name,
    /// What the form of its values says of its issuer.
    pub form: Form,
    /// The login that it is the password of, if its copies can be written as one.
    pub login: Option<Login>,
    /// What says why it is not written as a login, though it is the password of one.
    pub unfit: Option<String>,
    /// Its consumers.
    pub consumers: Vec<ConsumerDraft>,
    /// A service or process uses it. Otherwise its consumers are copies at rest.
    pub used: bool,
    /// What was left out, and why.
    pub left: Vec<String>,
    /// How many users of the secret could not be drafted as consumers.
    users_left: usize,
}

/// What to draft.
pub struct Wanted<'s> {
    /// The inspection of the machine.
    pub survey: &'s Survey,
    /// Folders that must contain a copy; empty = anywhere.
    pub roots: Vec<PathBuf>,
    /// The folder that relative paths of consumers begin in.
    pub folder: &'s Path,
    /// The operator named the secrets: draft them even if no process uses them.
    pub named: bool,
    /// Draft passwords of servers as their logins. Not for another machine: its report has no place for them.
    pub logins: bool,
}

/// Drafts every secret that a service or process uses. Returns also the secrets that were left out, by name, with the
/// reason.
pub fn drafts<'s>(wanted: &Wanted<'s>, all: &[&'s SurveyedSecret]) -> (Vec<Draft<'s>>, Vec<String>) {
    let sockets = Sockets::read(&wanted.survey.listing, &[], SOCKETS_WAIT).ok();
    let names = Names::of(wanted.survey);
    let around =
        Context { survey: wanted.survey, names: &names, folder: wanted.folder, sockets: sockets.as_ref() };
    let (mut drafts, mut left_out) = (Vec::new(), Vec::new());
    let mut given = BTreeSet::new();
    for found in all {
        let below = |root: &PathBuf| {
            found.sightings.iter().filter_map(|one| one.place.file()).any(|path| path.starts_with(root))
        };
        if !wanted.roots.is_empty() && !wanted.roots.iter().any(below) {
            continue;
        }
        let Some(name) = named(&found.name, &mut given) else { continue };
        let login = if wanted.logins { recognised(&around, found) } else { Recognised::No };
        let mut draft = draft(&around, found, name, login);
        if draft.consumers.is_empty() && (wanted.named || found.managed) {
            resting(&around, &mut draft);
        }
        as_login(&around, &mut draft);
        match draft.consumers.is_empty() && !found.managed {
            true => left_out.push(match draft.users_left {
                0 => format!("{}: no known service uses it", found.name),
                _ => format!("{}: {}", found.name, draft.left.first().map_or("", String::as_str)),
            }),
            false => drafts.push(draft),
        }
    }
    (drafts, left_out)
}

fn draft<'s>(
    around: &Context<'_>,
    found: &'s SurveyedSecret,
    name: Name,
    recognised: Recognised,
) -> Draft<'s> {
    let (login, unfit) = match recognised {
        Recognised::No => (None, None),
        Recognised::Unfit(why) => (None, Some(why)),
        Recognised::Login(login) => (Some(*login), None),
    };
    let mut left = Vec::new();
    let mut consumers = Vec::new();
    let mut given = BTreeSet::new();
    let is_consumer = |user: &&User| !login.as_ref().is_some_and(|login| is_server(login, user));
    for user in found.users.iter().filter(is_consumer) {
        match drafted(around, found, user, &mut |word| named(&around.names.shown(word), &mut given)) {
            Ok(one) => consumers.push(one),
            Err(why) => left.push(why),
        }
    }
    let users_left = left.len();
    let read: BTreeSet<Place> = consumers.iter().flat_map(|one| one.reads.iter().cloned()).collect();
    left.extend(left_out(around, found, &read));
    let (form, used) = (Form::of(around.survey, found), !consumers.is_empty());
    Draft { found, name, form, login, unfit, consumers, used, left, users_left }
}

/// Writes the copies of a login with its user beside the password. A copy without the user keeps all of them as they are:
/// a rotation changes both, and would leave a consumer with the new password and the old user.
fn as_login(around: &Context<'_>, draft: &mut Draft<'_>) {
    let Some(login) = &draft.login else { return };
    let known = |value: &SecretBytes| holds(around.survey, draft.found, value);
    let copies = |copy: &FoundCopy| login.copies(copy, around.folder, &known).ok_or_else(|| place_of(copy));
    let of_consumer = |one: &ConsumerDraft| {
        let all: Result<Vec<Vec<FoundCopy>>, String> = one.consumer.reads.iter().map(copies).collect();
        all.map(|all| all.concat())
    };
    let all: Result<Vec<Vec<FoundCopy>>, String> = draft.consumers.iter().map(of_consumer).collect();
    match all {
        Ok(all) => draft.consumers.iter_mut().zip(all).for_each(|(one, reads)| {
            one.of_login = Some(FoundConsumer { reads, ..one.consumer.clone() });
        }),
        Err(place) => {
            draft.unfit = Some(format!(
                "it is the password of the login {} ({}), and {place} does not hold that user beside it: a rotation changes \
                 both",
                login.user, login.server
            ));
            draft.login = None;
        }
    }
}

/// The file of a copy, as it is written.
fn place_of(copy: &FoundCopy) -> String {
    let path = copy.iter().find(|(key, _)| matches!(*key, "env_file" | "file"));
    path.map(|(_, path)| path.clone()).unwrap_or_default()
}

/// If the operator named the secret, copies that no known service reads become consumers at rest.
fn resting(around: &Context<'_>, draft: &mut Draft<'_>) {
    let mut given = BTreeSet::new();
    let places: BTreeSet<&Place> = draft.found.copies().into_keys().collect();
    for place in places.into_iter().filter(|place| place.file().is_some_and(|path| !is_left_behind(path))) {
        if let Ok(one) =
            at_rest(around, draft.found, place, &mut |word| named(&around.names.shown(word), &mut given))
        {
            draft.consumers.push(one);
        }
    }
    let read: BTreeSet<Place> = draft.consumers.iter().flat_map(|one| one.reads.iter().cloned()).collect();
    draft.left.retain(|line| !read.iter().any(|place| line.starts_with(&format!("{place}:"))));
}

/// Every copy that no consumer reads, with an explanation.
fn left_out(around: &Context<'_>, found: &SurveyedSecret, read: &BTreeSet<Place>) -> Vec<String> {
    let copies = found.copies();
    let mut all: Vec<String> = Vec::new();
    for (place, sighting) in copies.iter().filter(|(place, _)| !read.contains(place)) {
        let why = match place {
            Place::File { path, .. } if is_left_behind(path) => {
                "leftover: keyroll does not change it; delete it".to_owned()
            }
            Place::File { .. } if sighting.encoding != Encoding::Raw => {
                format!("it is encoded as {}", sighting.encoding.name())
            }
            Place::File { .. } => of_chains(around, found, place),
            Place::Row { .. } => "a row of a database: keyroll does not write it".to_owned(),
            Place::Remains { .. } => "it is in no row any more: VACUUM removes it".to_owned(),
            Place::Record { .. } => of_chains(around, found, place),
            Place::Environment { .. }
            | Place::Credential { .. }
            | Place::Arguments { .. }
            | Place::Memory { .. } => continue,
        };
        all.push(format!("{place}: {why}"));
    }
    let arguments = found.sightings.iter().filter(|one| matches!(one.place, Place::Arguments { .. }));
    all.extend(arguments.map(|one| format!("{}: every user of the machine can see it there", one.place)));
    all.sort();
    all.dedup();
    let more = all.len().saturating_sub(NAMED_MAX);
    all.truncate(NAMED_MAX);
    if more > 0 {
        all.push(format!("and {more} more: keyroll trace {}", found.name));
    }
    all
}

/// The role of a copy for the services that could read it.
fn of_chains(around: &Context<'_>, found: &SurveyedSecret, place: &Place) -> String {
    for user in &found.users {
        for chain in chains_of(around.survey, found, user) {
            let here = |link: &&Link| link.place.as_ref() == Some(place);
            // If a file holds the value several times, a chain knows only one of the places.
            let file = |link: &&Link| {
                let path = link.place.as_ref().and_then(Place::file);
                path.is_some() && path == place.file() && link.role == LinkRole::NotRead
            };
            let link = chain.links.iter().find(here).or_else(|| chain.links.iter().find(file));
            let Some(link) = link else { continue };
            let wins = chain.winner().map_or("another place", |link| without_wrappings(&link.what));
            let whose = &user.name;
            return match link.role {
                LinkRole::Shadowed => format!("a decoy for {whose}: {wins} wins"),
                LinkRole::NotRead => format!("{whose} does not read it: {wins} wins"),
                LinkRole::NotThere => format!("{whose} would read it, and it is not there"),
                LinkRole::NotVisible(why) => format!("not visible whether {whose} reads it ({why})"),
                LinkRole::Wins if user.managed_by == ManagedBy::Session => {
                    format!("{whose} reads it; it belongs to a user's session")
                }
                LinkRole::Wins => format!("{whose} reads it, and keyroll cannot write it there"),
            };
        }
    }
    "no known service reads it; a plan stops at it until it is deleted or declared in a consumer's `reads`"
        .to_owned()
}

/// A valid name for the configuration that is not in `given`; adds it to `given`.
pub fn named(word: &str, given: &mut BTreeSet<Name>) -> Option<Name> {
    let good = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => letter,
        _ => '-',
    };
    let plain: String = shown(Path::new(word)).chars().map(good).collect();
    let plain = plain.trim_matches(['-', '.', '_']);
    // Leave room for a number.
    let plain: String = plain.chars().take(keyroll_config::NAME_BYTES_MAX - 4).collect();
    let base = if plain.is_empty() { "unnamed".to_owned() } else { plain };
    let numbered =
        |number: u32| Name::new(if number == 1 { base.clone() } else { format!("{base}-{number}") });
    let free = (1..NUMBER_MAX).filter_map(numbered).find(|name| !given.contains(name))?;
    given.insert(free.clone());
    Some(free)
}
