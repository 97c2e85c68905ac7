//! What the links of a chain say about wrappings of their value.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_observe::{ProcessId, Start};

use crate::wrapping::{Wrapping, words};
use crate::{Link, LinkRole, Place, Survey};

/// The beginnings of the sentences.
const HERE: &str = "; there it stands ";
const PROCESS: &str = "; process ";
const STARTED: &str = " was started with it ";

impl Survey {
    /// Says at each link whose value is in a wrapping what that is and what it breaks: at the link of the place itself, or
    /// for the start of a process at the link that its variable came from.
    pub(crate) fn say_wrappings(
        &mut self,
        wrapped: &[(Place, BTreeSet<Wrapping>)],
        starts: &BTreeMap<ProcessId, Start>,
    ) {
        let Self { services, values, .. } = self;
        for service in services {
            for chain in &mut service.chains {
                for (place, around) in wrapped {
                    let here = |link: &&mut Link| link.place.as_ref() == Some(place);
                    if let Some(link) = chain.links.iter_mut().find(here) {
                        say(link, &format!("{HERE}{}", words(around)));
                    }
                }
                for process in &service.processes {
                    let entries = starts.get(process).into_iter().flat_map(Start::entries);
                    let own = entries.filter(|(name, _)| name.as_deref() == Some(chain.name.as_str()));
                    let Some((_, entry)) = own.last() else { continue };
                    let text = entry.get(chain.name.len() + 1..).unwrap_or_default();
                    let Some((value, around)) = values.within(text) else { continue };
                    let of = |link: &Link| link.value == Some(value) && link.role != LinkRole::NotThere;
                    if let Some(link) = chain.links.iter_mut().find(|link| of(link)) {
                        say(link, &format!("{PROCESS}{}{STARTED}{}", process.pid, words(&around)));
                        break;
                    }
                }
            }
        }
    }
}

/// Adds a sentence to the description of a link, once.
fn say(link: &mut Link, words: &str) {
    if !link.what.contains(words) {
        link.what = format!("{}{words}", link.what);
    }
}

/// The description of a link without what is said in it of wrappings: a heading, and a comment, name only the place.
pub fn without_wrappings(what: &str) -> &str {
    let here = what.find(HERE);
    let started = what.find(STARTED).and_then(|end| what.get(..end)?.rfind(PROCESS));
    let end = here.into_iter().chain(started).min().unwrap_or(what.len());
    what.get(..end).unwrap_or(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_without_what_is_said_of_its_value() {
        let place = "environment= of [program:a; process b] in /srv/s.conf";
        let started = format!("{PROCESS}7{STARTED}in quotes; with blanks around it");
        let here = format!("{HERE}in quotes");
        for said in [String::new(), here.clone(), started.clone(), format!("{here}{started}")] {
            assert_eq!(without_wrappings(&format!("{place}{said}")), place, "{said}");
        }
    }
}
