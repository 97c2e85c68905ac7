use std::collections::BTreeMap;
use std::time::Duration;

use keyroll_leak::Rules;
use keyroll_needle::{Encoding, Needles};
use keyroll_observe::{Listing, NotVisible, ProcessId, environments, own_tree};
use keyroll_secret::SecretBytes;

use crate::candidates::in_text;
use crate::{Place, Sighting, Unseen, Values};

/// What the environments and command lines of all processes hold, what could not be read, and whose environment was.
pub(crate) fn look(
    listing: &Listing,
    rules: &'static Rules,
    wait: Duration,
    values: &mut Values,
) -> (Vec<Sighting>, Vec<Unseen>, Vec<ProcessId>) {
    let own = own_tree(listing);
    let ids: Vec<ProcessId> =
        listing.seen.iter().map(|one| one.id).filter(|id| !own.contains(&id.pid)).collect();
    let users: BTreeMap<ProcessId, Option<u32>> = listing.seen.iter().map(|one| (one.id, one.uid)).collect();
    let mut sightings = Vec::new();
    let mut unseen = Vec::new();
    let mut read = Vec::new();
    environments(&ids, wait, &mut |process, answer| match answer {
        Ok(bytes) => {
            read.push(*process);
            sightings.extend(in_environment(*process, bytes, rules, values));
        }
        Err(NotVisible::Vanished | NotVisible::Replaced) => {}
        Err(reason) => {
            let uid = users.get(process).copied().flatten();
            unseen.push(Unseen { what: format!("process {}", process.pid), reason: reason.to_string(), uid });
        }
    });
    for process in listing.seen.iter().filter(|one| !own.contains(&one.id.pid)) {
        process.args.any(|argument| {
            for one in in_text(argument, rules) {
                let bytes = SecretBytes::new(argument.get(one.span).unwrap_or_default().to_vec());
                if let Some(value) = values.add(bytes, one.rule) {
                    let place = Place::Arguments { process: process.id };
                    sightings.push(Sighting { value, place, name: one.name, encoding: Encoding::Raw });
                }
            }
            false
        });
    }
    (sightings, unseen, read)
}

fn in_environment(
    process: ProcessId,
    bytes: &[u8],
    rules: &'static Rules,
    values: &mut Values,
) -> Vec<Sighting> {
    let mut found = Vec::new();
    for entry in bytes.split(|byte| *byte == 0) {
        for one in in_text(entry, rules) {
            let bytes = SecretBytes::new(entry.get(one.span).unwrap_or_default().to_vec());
            let (Some(variable), Some(value)) = (one.name, values.add(bytes, one.rule)) else { continue };
            let place = Place::Environment { process, variable: variable.clone() };
            found.push(Sighting { value, place, name: Some(variable), encoding: Encoding::Raw });
        }
    }
    found
}

/// Where the values of others stand in an environment too, in whatever form.
pub(crate) fn by_value(listing: &Listing, needles: &Needles, wait: Duration, sightings: &mut Vec<Sighting>) {
    let own = own_tree(listing);
    let ids: Vec<ProcessId> =
        listing.seen.iter().map(|one| one.id).filter(|id| !own.contains(&id.pid)).collect();
    environments(&ids, wait, &mut |process, answer| {
        let entries = answer.unwrap_or_default().split(|byte| *byte == 0);
        for entry in entries {
            needles.find(entry, &mut |hit| {
                let name = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
                let variable = String::from_utf8_lossy(name).into_owned();
                let place = Place::Environment { process: *process, variable: variable.clone() };
                let sighting = Sighting {
                    value: crate::ValueId(hit.id.0),
                    place,
                    name: Some(variable),
                    encoding: hit.encoding,
                };
                if !sightings.contains(&sighting) {
                    sightings.push(sighting);
                }
            });
        }
    });
}
