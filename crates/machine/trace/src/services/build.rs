use std::collections::BTreeSet;
use std::ops::Range;

use keyroll_leak::{Rule, Rules, holds_a_secret, names_a_secret, no_secret, no_secret_under, passwords_in};
use keyroll_manager::Variables;
use keyroll_needle::Encoding;
use keyroll_secret::SecretBytes;

use super::source::{Assignment, Kept, Origin, Read, Source};
use crate::place::harmless;
use crate::{Chain, Link, LinkRole, Place, Record, Service, Sighting, ValueId, Values};

/// The most chains of one service.
const CHAINS_MAX: usize = 256;

/// A service with a chain for each name that has a secret in one of its sources.
pub(crate) fn service(
    kept: Kept,
    rules: &'static Rules,
    values: &mut Values,
    sightings: &mut BTreeSet<Sighting>,
) -> Service {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (name, entry) in kept.sources.iter().flat_map(|source| &source.entries) {
        if is_secret(name, entry, rules, values) {
            names.insert(name);
        }
    }
    let names = names.into_iter().take(CHAINS_MAX);
    let chains = names.map(|name| chain(name, &kept.sources, rules, values, sightings)).collect();
    let Kept { managed_by, name, declaration, agent, made, processes, project, .. } = kept;
    let name = harmless(&name);
    Service { managed_by, name, declaration, agent, made, processes, project, chains }
}

/// Values in an image: everyone who has the image has the value, with or without a container.
pub(crate) fn in_image(
    image: &str,
    variables: Variables,
    rules: &'static Rules,
    values: &mut Values,
    sightings: &mut BTreeSet<Sighting>,
) {
    let kept = Origin::Kept(Record::Image, image.to_owned());
    let source = Source::new(image, kept).holding(variables);
    for (name, entry) in &source.entries {
        if !is_secret(name, entry, rules, values) {
            continue;
        }
        let value = number(name, entry, rules, values);
        if let (Some(place), Some(value)) = (place(name, entry, &source), value) {
            let name = Some(name.clone());
            sightings.insert(Sighting { value, place, name, slot: None, encoding: Encoding::Raw });
        }
    }
}

fn is_secret(name: &str, entry: &Assignment, rules: &'static Rules, values: &Values) -> bool {
    let Ok(value) = &entry.value else { return entry.secret || names_a_secret(name) };
    entry.secret || within(name, value.expose(), rules).is_some() || values.of(value).is_some()
}

/// The part of a value that is a secret: all of it, or the password of a connection string.
pub(crate) fn within(
    name: &str,
    value: &[u8],
    rules: &'static Rules,
) -> Option<(Range<usize>, Option<&'static Rule>)> {
    let whole = 0..value.len();
    if let Some(rule) = rules.of(value) {
        return Some((whole, Some(rule)));
    }
    if let Some(span) = passwords_in(value).into_iter().next() {
        let password = value.get(span.clone()).unwrap_or_default();
        return no_secret(password).is_none().then_some((span, None));
    }
    if holds_a_secret(name, value) && no_secret_under(Some(name), value).is_none() {
        return Some((whole, None));
    }
    let mut found = None;
    rules.find(value, &mut |finding| {
        found.get_or_insert((finding.span, Some(finding.rule)));
    });
    found
}

fn chain(
    name: &str,
    sources: &[Source],
    rules: &'static Rules,
    values: &mut Values,
    sightings: &mut BTreeSet<Sighting>,
) -> Chain {
    let mut links = Vec::new();
    let mut decided = false;
    for source in sources {
        let entry = source.entries.get(name);
        if source.missing && !decided {
            links.push(not_there(source));
        }
        let role = match (entry, source.read, source.closed) {
            (None, Read::Start | Read::Perhaps(_), Some(why)) if !decided => LinkRole::NotVisible(why),
            (None, _, _) => continue,
            (Some(_), Read::Not, _) => LinkRole::NotRead,
            (Some(_), Read::Loses, _) => LinkRole::Shadowed,
            // The start environment of a process was seen. It loses to the winning source, whatever sets it next time.
            (Some(_), Read::Perhaps(_), _) if decided && matches!(source.origin, Origin::Start(_)) => {
                LinkRole::Shadowed
            }
            // Also after the winning source: a source that may not be read at all must not be reported as read and
            // shadowed.
            (Some(_), Read::Perhaps(why), _) => LinkRole::NotVisible(why),
            (Some(_), Read::Start, _) if decided => LinkRole::Shadowed,
            (Some(Assignment { value: Err(why), .. }), Read::Start, _) => {
                decided = true;
                LinkRole::NotVisible(why)
            }
            (Some(_), Read::Start, _) => {
                decided = true;
                LinkRole::Wins
            }
        };
        let place = entry.and_then(|entry| place(name, entry, source));
        let value = entry.and_then(|entry| number(name, entry, rules, values));
        if let (Some(place), Some(value)) = (&place, value) {
            let name = Some(name.to_owned());
            sightings.insert(Sighting {
                value,
                place: place.clone(),
                name,
                slot: None,
                encoding: Encoding::Raw,
            });
        }
        links.push(Link {
            place,
            what: harmless(&source.what),
            value,
            role,
            basis: source.basis,
            read_later: source.read_later,
            applies: source.applies.as_deref().map(harmless),
            seems: source.seems.as_deref().map(harmless),
        });
    }
    Chain { name: harmless(name), links }
}

/// A file that would be read at this point of the chain, and is missing.
fn not_there(source: &Source) -> Link {
    Link {
        place: None,
        what: harmless(&source.what),
        value: None,
        role: LinkRole::NotThere,
        basis: source.basis,
        read_later: source.read_later,
        applies: source.applies.as_deref().map(harmless),
        seems: source.seems.as_deref().map(harmless),
    }
}

fn place(name: &str, entry: &Assignment, source: &Source) -> Option<Place> {
    match &source.origin {
        Origin::File(path) => Some(Place::File { path: path.clone(), line: entry.line }),
        Origin::Start(process) => Some(Place::Environment { process: *process, variable: name.to_owned() }),
        Origin::Kept(record, of) => {
            Some(Place::Record { record: *record, of: of.clone(), variable: name.to_owned() })
        }
        Origin::At(place) => Some(place.clone()),
        Origin::Nowhere => None,
    }
}

/// The id of the value; none for a placeholder or an empty text.
fn number(name: &str, entry: &Assignment, rules: &'static Rules, values: &mut Values) -> Option<ValueId> {
    let value = entry.value.as_ref().ok()?;
    let (span, rule) = match within(name, value.expose(), rules) {
        Some(found) => found,
        None if entry.secret || no_secret(value.expose()).is_none() => (0..value.len(), None),
        None => return values.of(value),
    };
    values.add(SecretBytes::new(value.expose().get(span)?.to_vec()), rule)
}

#[cfg(test)]
mod tests {
    use keyroll_secret::FingerprintKey;
    use keyroll_testkit::alphanumeric;

    use super::*;
    use crate::ManagedBy;

    #[test]
    fn nothing_that_is_told_of_a_service_moves_a_cursor() {
        const ODD: &str = "a\u{1b}[2Jb";
        let entry = Assignment { secret: true, ..Assignment::at(1, SecretBytes::from(alphanumeric(24))) };
        let there = Source::new(ODD, Origin::Nowhere).applied_by(ODD).not_by(ODD);
        let mut gone = Source::new(ODD, Origin::Nowhere).applied_by(ODD).not_by(ODD);
        gone.missing = true;
        let mut kept = Kept::untold(ManagedBy::Manager("pm2"), ODD.to_owned(), Vec::new());
        kept.sources = vec![gone, there.with(format!("{ODD}_API_KEY"), entry)];
        let mut values = Values::new(FingerprintKey::new(&[7; 32]));
        let told = service(kept, Rules::shipped().unwrap(), &mut values, &mut BTreeSet::new());
        let [chain] = told.chains.as_slice() else { panic!("{told:?}") };
        assert_eq!(chain.links.len(), 2, "{chain:?}");
        let mut texts = vec![&told.name, &chain.name];
        for link in &chain.links {
            texts
                .extend([Some(&link.what), link.applies.as_ref(), link.seems.as_ref()].into_iter().flatten());
        }
        assert_eq!(texts.len(), 8);
        assert!(texts.iter().all(|text| !text.contains(char::is_control)), "{texts:?}");
    }
}
