use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use keyroll_needle::Encoding;
use keyroll_trace::{Chain, Doubt, Link, LinkRole, Memory, Place, Row, SurveyedSecret, ValueId, Verdict};

use crate::clock::{clock, started};
use crate::look::Inventory;

/// The word for a verdict.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Current => "current",
        Verdict::Stale => "stale",
        Verdict::LikelyStale(_) => "likely stale",
        Verdict::Mixed => "mixed",
        Verdict::Unknown(_) => "unknown",
    }
}

/// Which value an instance uses and why.
pub struct Cause<'s> {
    /// In one sentence.
    pub text: String,
    /// The copy whose commands move the instance.
    moved_by: Option<&'s Link>,
}

impl<'s> Cause<'s> {
    /// The cause of the verdict of a row.
    pub fn of(seen: &Inventory, found: &SurveyedSecret, row: &Row<'s>) -> Self {
        let next = row.chain.and_then(Chain::next);
        let winner = row.chain.and_then(Chain::winner);
        match row.verdict {
            Verdict::Current => current(seen, found, row, next),
            Verdict::Stale => {
                let old = held(seen, found, row, |id| Some(id) != next);
                Self::moved(format!("uses a STALE value: {old}, {}", now(seen, found, row, next)), winner)
            }
            Verdict::LikelyStale(why) => likely(seen, found, row, why),
            Verdict::Mixed => {
                let both = held(seen, found, row, |_| true);
                let decoy = row.chain.and_then(|chain| decoy(chain, next));
                let decoy = decoy.map(|link| unread(seen, found, link)).unwrap_or_default();
                let now = now(seen, found, row, next);
                Self::moved(format!("holds several values: {both}; {now}{decoy}"), winner)
            }
            Verdict::Unknown(Doubt::NoChain) => Self::alone(unchained(seen, found, row)),
            Verdict::Unknown(why @ (Doubt::StartHidden | Doubt::NothingSeen)) => {
                Self::alone(format!("version unknown: {}", doubt(why)))
            }
            Verdict::Unknown(why) => Self::alone(in_doubt(seen, found, row, doubt(why))),
        }
    }

    fn alone(text: String) -> Self {
        Self { text, moved_by: None }
    }

    fn moved(text: String, moved_by: Option<&'s Link>) -> Self {
        Self { text, moved_by }
    }

    /// The command that moves the instance to the value of the copy.
    pub fn applies(&self) -> Option<&'s str> {
        self.moved_by?.applies.as_deref()
    }

    /// A command that only seems to.
    pub fn seems(&self) -> Option<&'s str> {
        self.moved_by?.seems.as_deref()
    }

    /// The sentence with its commands, in one line.
    pub fn whole(&self) -> String {
        let applies = self.applies().map(|applies| format!("; to move it: {applies}")).unwrap_or_default();
        let seems = self.seems().map(|seems| format!(" (not: {seems})")).unwrap_or_default();
        format!("{}{applies}{seems}", self.text)
    }
}

/// Why the version that an instance uses is unknown.
pub fn doubt(why: Doubt) -> &'static str {
    match why {
        Doubt::NoChain => "its source of configuration was not found",
        Doubt::MemoryNotSearched => "its memory was not searched, so it may have read the new value since",
        Doubt::MemoryInPart => {
            "a part of its memory was not searched, so it may have read the new value since"
        }
        Doubt::MemoryClosed => {
            "its memory is not readable for this user, so it may have read the new value since"
        }
        Doubt::CommonValue => "one version is too common a word to be searched for in memory",
        Doubt::ReadSince => "it has opened that copy since, so it may read it at each use",
        Doubt::StartHidden => "its start environment is not readable for this user",
        Doubt::NothingSeen => "none of the values was found in it; it may hold one in another encoding",
    }
}

/// For an instance that is older than its file's last change, where something keeps that from being a proof.
fn likely<'s>(seen: &Inventory, found: &SurveyedSecret, row: &Row<'s>, why: Doubt) -> Cause<'s> {
    let Some(link) = row.chain.and_then(Chain::likely) else { return Cause::alone(doubt(why).to_owned()) };
    let label = link.value.map(|id| seen.label(found, id)).unwrap_or_default();
    let changed = link.place.as_ref().map(changed).unwrap_or_default();
    let against = match (why, link.role) {
        (Doubt::NoChain, LinkRole::NotVisible(why)) => why,
        _ => doubt(why),
    };
    let held = held(seen, found, row, |id| Some(id) != link.value);
    let text = format!(
        "LIKELY uses a STALE value: {held}, {} now holds {label}{changed}; not proven: {against}",
        source(link)
    );
    Cause::moved(text, Some(link))
}

/// For an instance that may or may not use the value that a new start would take.
fn in_doubt(seen: &Inventory, found: &SurveyedSecret, row: &Row<'_>, why: &str) -> String {
    let started = held(seen, found, row, |_| true);
    let now = now(seen, found, row, row.chain.and_then(Chain::next));
    format!("version unknown: {started}, {now}, and {why}")
}

/// For an instance that uses the value that a new start would take. Also names a copy with another value that has no
/// effect, because the operator may have edited that one.
fn current<'s>(seen: &Inventory, found: &SurveyedSecret, row: &Row<'s>, next: Option<ValueId>) -> Cause<'s> {
    let label = next.map(|id| seen.label(found, id)).unwrap_or_default();
    let from = row.chain.and_then(Chain::winner).map(source).unwrap_or_default();
    let links = row.chain.map(|chain| chain.links.as_slice()).unwrap_or_default();
    let missing = links.iter().find(|link| link.role == LinkRole::NotThere);
    let missing = missing.map(|link| format!("; {} does not exist", link.what)).unwrap_or_default();
    let link = row.chain.and_then(|chain| decoy(chain, next));
    let beside = match link {
        Some(link) => unread(seen, found, link),
        None => next.map(|next| elsewhere(seen, found, next)).unwrap_or_default(),
    };
    let text = format!("uses {label}, which a new start would take from {from}{missing}{beside}");
    Cause::moved(text, link.filter(|link| link.role == LinkRole::NotRead))
}

/// A copy of the chain that holds another value and has no effect.
fn decoy(chain: &Chain, next: Option<ValueId>) -> Option<&Link> {
    chain.links.iter().find(|link| {
        matches!(link.role, LinkRole::Shadowed | LinkRole::NotRead)
            && link.value.is_some_and(|value| Some(value) != next)
    })
}

/// What keeps such a copy from having an effect.
fn unread(seen: &Inventory, found: &SurveyedSecret, link: &Link) -> String {
    let other = link.value.map(|id| seen.label(found, id)).unwrap_or_default();
    let why = if link.role == LinkRole::NotRead { "is not read" } else { "does not win" };
    format!("; {} holds {other} and {why}", source(link))
}

/// A copy with another value of the same secret, which is in no chain of this service.
fn elsewhere(seen: &Inventory, found: &SurveyedSecret, next: ValueId) -> String {
    let Some((place, sighting)) = found.other_than(next) else { return String::new() };
    let raw = sighting.encoding == Encoding::Raw;
    let form = if raw { String::new() } else { format!(" ({})", sighting.encoding.name()) };
    let (label, changed) = (seen.label(found, sighting.value), changed(place));
    format!("; the copies differ: {place} holds {label}{form}{changed}")
}

/// For an instance whose source at a new start is unknown.
fn unchained(seen: &Inventory, found: &SurveyedSecret, row: &Row<'_>) -> String {
    let what = held(seen, found, row, |_| true);
    match row.chain {
        Some(chain) => {
            let hidden = chain.links.iter().find_map(|link| match link.role {
                LinkRole::NotVisible(why) => Some(match link.value {
                    Some(value) => {
                        let (source, label) = (source(link), seen.label(found, value));
                        format!("{source} holds {label}, and it is not visible whether that is read ({why})")
                    }
                    None => format!("{} is not visible ({why})", source(link)),
                }),
                LinkRole::Wins | LinkRole::Shadowed | LinkRole::NotRead | LinkRole::NotThere => None,
            });
            let hidden = hidden.unwrap_or_else(|| "no copy has a value".to_owned());
            format!("version unknown: {what}; next version unknown: {hidden}")
        }
        None => {
            let differ = if found.copies_differ() { "; the copies at rest differ" } else { "" };
            format!("version unknown: {what}; its source of configuration was not found{differ}")
        }
    }
}

/// The values that were found in it: `its environment at start holds sk-…·9f3c21`.
fn held(seen: &Inventory, found: &SurveyedSecret, row: &Row<'_>, wanted: impl Fn(ValueId) -> bool) -> String {
    let mut parts = Vec::new();
    let labels = |all: &BTreeSet<ValueId>| {
        let all: Vec<String> =
            all.iter().filter(|id| wanted(**id)).map(|id| seen.label(found, *id)).collect();
        all.join(" and ")
    };
    let start = row.held.start.as_ref().map(&labels).unwrap_or_default();
    if !start.is_empty() {
        let at = started(row.process.start_ticks).map(|at| format!(" (started {at})")).unwrap_or_default();
        parts.push(format!("its environment at start holds {start}{at}"));
    }
    if let Memory::Whole(all) | Memory::InPart(all) = &row.held.memory {
        let memory = labels(all);
        if !memory.is_empty() {
            parts.push(format!("its memory holds {memory}"));
        }
    }
    if parts.is_empty() { "it was seen to use the secret".to_owned() } else { parts.join(", ") }
}

/// The value in the copy that a new start would read: `/srv/.env:3 holds sk-…·a1 now (file changed 2026-11-14 …)`.
fn now(seen: &Inventory, found: &SurveyedSecret, row: &Row<'_>, next: Option<ValueId>) -> String {
    let Some(link) = row.chain.and_then(Chain::winner) else {
        return "the winning copy is unknown".to_owned();
    };
    let label = next.map(|id| seen.label(found, id)).unwrap_or_default();
    let changed = link.place.as_ref().map(changed).unwrap_or_default();
    format!("{} now holds {label}{changed}", source(link))
}

/// When a file was changed, by its modification time: ` (file changed 2026-11-14 …)`.
fn changed(place: &Place) -> String {
    let data = place.file().and_then(|file| file.metadata().ok());
    let at = data.and_then(|data| u64::try_from(data.mtime()).ok());
    at.map(|at| format!(" (file changed {})", clock(at.saturating_mul(1000)))).unwrap_or_default()
}

/// A link by its place; by its description if it has no place, or the place is in a process.
pub(crate) fn source(link: &Link) -> String {
    let place = link.place.as_ref().filter(|place| place.process().is_none());
    place.map_or_else(|| link.what.clone(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keyroll_observe::{Listing, ProcessId};
    use keyroll_secret::{FingerprintKey, SecretBytes};
    use keyroll_trace::{Instance, ManagedBy, Names, Service, Sighting, Survey, Values, rows, secrets};

    use super::*;

    const API: ProcessId = ProcessId { boot: 1, pid: 4711, start_ticks: 1 };

    /// A service that was started with `start`, holds `memory`, and reads `places`, of which the first wins.
    fn causes(
        start: &[&str],
        memory: &dyn Fn(BTreeSet<ValueId>) -> Memory,
        places: &[(&str, &str)],
    ) -> Vec<String> {
        let mut values = Values::new(FingerprintKey::new(&[7; 32]));
        let mut id = |text: &str| values.add(SecretBytes::from(text.to_owned()), None).unwrap();
        let mut role = LinkRole::Wins;
        let (mut links, mut sightings) = (Vec::new(), Vec::new());
        for (path, value) in places {
            let (place, value) = (Place::File { path: path.into(), line: 3 }, id(value));
            let sighting = Sighting {
                value,
                place: place.clone(),
                name: Some("X_KEY".to_owned()),
                slot: None,
                encoding: Encoding::Raw,
            };
            sightings.push(sighting);
            links.push(Link {
                place: Some(place),
                what: format!("EnvironmentFile={path}"),
                value: Some(value),
                role: std::mem::replace(&mut role, LinkRole::Shadowed),
                basis: keyroll_trace::Basis::Seen,
                read_later: false,
                applies: Some("systemctl restart api".to_owned()),
                seems: Some("systemctl reload api".to_owned()),
            });
        }
        let started: BTreeSet<ValueId> = start.iter().map(|text| id(text)).collect();
        for value in &started {
            let place = Place::Environment { process: API, variable: "X_KEY".to_owned() };
            sightings.push(Sighting {
                value: *value,
                place,
                name: Some("X_KEY".to_owned()),
                slot: None,
                encoding: Encoding::Raw,
            });
        }
        let memory = memory(places.iter().map(|(_, value)| id(value)).collect());
        let chains = vec![Chain { name: "X_KEY".to_owned(), links }];
        let service = Service {
            managed_by: ManagedBy::Manager("systemd"),
            name: "api".to_owned(),
            processes: vec![API],
            chains,
            ..Service::default()
        };
        let survey = Survey {
            values,
            sightings,
            listing: Listing::default(),
            services: vec![service],
            instances: BTreeMap::from([(API, Instance { start: Ok(started), memory, ..Instance::new(API) })]),
            files: 2,
            stores: Vec::new(),
            unseen: Vec::new(),
        };
        let found = secrets(&survey, &[]);
        let names = Names::of(&survey);
        let (managed, labels, issuers, apart) = Default::default();
        let seen = Inventory { survey, found, digits: 6, names, managed, labels, issuers, apart };
        let all = seen.found.iter().flat_map(|found| {
            rows(&seen.survey, found)
                .into_iter()
                .map(|row| Cause::of(&seen, found, &row).whole())
                .collect::<Vec<_>>()
        });
        all.collect()
    }

    const NEW: (&str, &str) = ("/nowhere/api.env", "the-newest-value-4711");
    const OLD: &str = "the-value-before-4711";

    #[test]
    fn a_stale_instance_is_told_by_what_it_holds_what_stands_there_and_what_moves_it() {
        let [cause] = &causes(&[OLD], &|_| Memory::Whole(BTreeSet::new()), &[NEW])[..] else { panic!() };
        assert!(cause.starts_with("uses a STALE value: its environment at start holds …·"), "{cause}");
        assert!(cause.contains("/nowhere/api.env:3 now holds …·"), "{cause}");
        assert!(
            cause.ends_with("; to move it: systemctl restart api (not: systemctl reload api)"),
            "{cause}"
        );
    }

    #[test]
    fn a_decoy_is_named_where_a_change_of_it_did_nothing() {
        let edited = ("/nowhere/edited.env", OLD);
        let [cause] = &causes(&[NEW.1], &|_| Memory::NotSearched, &[NEW, edited])[..] else { panic!() };
        assert!(cause.starts_with("uses …·"), "{cause}");
        assert!(cause.contains("which a new start would take from /nowhere/api.env:3"), "{cause}");
        assert!(cause.contains("; /nowhere/edited.env:3 holds …·"), "{cause}");
        assert!(cause.ends_with(" and does not win"), "{cause}");
    }

    #[test]
    fn without_its_memory_and_its_file_nobody_is_called_stale() {
        for (memory, why) in [
            (Memory::NotSearched, "its memory was not searched"),
            (Memory::Closed, "its memory is not readable for this user"),
            (Memory::InPart(BTreeSet::new()), "a part of its memory was not searched"),
        ] {
            let [cause] = &causes(&[OLD], &|_| memory.clone(), &[NEW])[..] else { panic!() };
            assert!(cause.starts_with("version unknown: ") && cause.contains(why), "{cause}");
        }
        let [cause] = &causes(&[OLD], &Memory::Whole, &[NEW])[..] else { panic!() };
        assert!(cause.starts_with("holds several values: "), "{cause}");
    }
}
