//! Which secrets belong to what is taken, and who takes each: found once, so that each report reads only what it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyroll_secret::SecretBytes;
use keyroll_trace::{ValueId, Values};

use crate::found::Found;
use crate::model::{From, Namespace, Taking};
use crate::place::Place;
use crate::takers::{Use, takers, uses};

/// The numbers of secrets, those of an object by its key.
type Objects = BTreeMap<String, BTreeMap<String, BTreeSet<usize>>>;

/// The numbers of the secrets, in the order of their names, by what has them.
pub(crate) struct Holders {
    secrets: Objects,
    maps: Objects,
    classes: BTreeMap<String, BTreeSet<usize>>,
    values: BTreeMap<ValueId, BTreeSet<usize>>,
}

impl Holders {
    /// Those of these secrets.
    pub(crate) fn of_all(found: &[Found]) -> Self {
        let (mut secrets, mut maps) = (Objects::new(), Objects::new());
        let mut classes: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let mut values: BTreeMap<ValueId, BTreeSet<usize>> = BTreeMap::new();
        for (number, one) in found.iter().enumerate() {
            for sighting in &one.sightings {
                let (objects, name, key) = match &sighting.place {
                    Place::Secret { name, key, .. } => (&mut secrets, name, key),
                    Place::Map { name, key, .. } => (&mut maps, name, key),
                    Place::Text { .. } | Place::Applied { .. } | Place::Helm { .. } | Place::Class { .. } => {
                        continue;
                    }
                };
                objects.entry(name.clone()).or_default().entry(key.clone()).or_default().insert(number);
            }
            for id in &one.values {
                values.entry(*id).or_default().insert(number);
            }
            if let Some((class, _)) = &one.object {
                classes.entry(class.clone()).or_default().insert(number);
            }
        }
        Self { secrets, maps, classes, values }
    }

    /// The secrets that are taken by this, the first one first.
    pub(crate) fn of(&self, values: &Values, one: &Use<'_>) -> BTreeSet<usize> {
        let at = |objects: &Objects, name: &str| objects.get(name)?.get(one.key?).cloned();
        match &one.taking.from {
            From::Secret { name, .. } => at(&self.secrets, name).unwrap_or_default(),
            From::Map { name, .. } => at(&self.maps, name).unwrap_or_default(),
            From::Class(class) => self.classes.get(class).cloned().unwrap_or_default(),
            From::Text(text) => {
                let all = values_of_text(values, text).into_iter();
                all.filter_map(|id| self.values.get(&id)).flatten().copied().collect()
            }
        }
    }

    /// Notes in each secret who takes it, in a template of now or of before, or in a pod.
    pub(crate) fn note_takers(&self, namespace: &Namespace, values: &Values, found: &mut [Found]) {
        for taker in takers(namespace) {
            let made = taker.made.iter().map(|one| one.takes.as_slice());
            let pods = taker.pods.iter().map(|pod| &*pod.takes);
            let all = std::iter::once(taker.template()).chain(made).chain(pods);
            for one in all.flat_map(|takes| uses(namespace, takes)) {
                for number in self.of(values, &one) {
                    if let Some(found) = found.get_mut(number) {
                        found.takers.insert(taker.at);
                    }
                }
            }
        }
    }
}

/// The values that a text is or has, the whole one first.
pub(crate) fn values_of_text(values: &Values, text: &SecretBytes) -> Vec<ValueId> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<ValueId> = values.of(text).into_iter().collect();
    if let Some(needles) = values.needles() {
        needles.find(text.expose(), &mut |hit| all.push(ValueId(hit.id.0)));
    }
    all
}

/// Forgets the texts of templates and pods that have no value, which are most of them: they are empty then. That something
/// else stands there is still known.
pub(crate) fn forget_texts(namespace: &mut Namespace, values: &Values) {
    let forget = |taking: &mut Taking| {
        if let From::Text(text) = &mut taking.from
            && values_of_text(values, text).is_empty()
        {
            *text = SecretBytes::new(Vec::new());
        }
    };
    namespace.workloads.iter_mut().flat_map(|one| &mut one.takes).for_each(forget);
    // What pods share can be changed only while each of them has let go of it.
    let mut shared = BTreeMap::new();
    for pod in &mut namespace.pods {
        let takes = std::mem::take(&mut pod.takes);
        let (_, places) = shared.entry(takes.as_ptr()).or_insert_with(|| (takes, Vec::new()));
        places.push(&mut pod.takes);
    }
    for (mut takes, places) in shared.into_values() {
        Arc::get_mut(&mut takes).into_iter().flatten().for_each(forget);
        for place in places {
            *place = Arc::clone(&takes);
        }
    }
}
