//! What the links of a chain say about wrappings of their value.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_observe::{ProcessId, Start};

use crate::wrapping::{Wrapping, words};
use crate::{Link, LinkRole, Place, Survey};

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
                        say(link, &format!("there it stands {}", words(around)));
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
                        say(link, &format!("process {} was started with it {}", process.pid, words(&around)));
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
        link.what = format!("{}; {words}", link.what);
    }
}
