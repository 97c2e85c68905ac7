//! The secrets of a namespace: the values that stand, or stood, in one entry of a Secret, with all their copies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_copy::Format;
use keyroll_inventory::{KnownSecrets, Missed};
use keyroll_needle::Encoding;
use keyroll_secret::SecretBytes;
use keyroll_trace::{Joins, Managed, Names, ValueId, Values, Version, name_of, told_apart};

use crate::entries::{self, Entry};
use crate::model::{From, Namespace, SecretSeen, Taking};
use crate::place::Place;
use crate::takers::{Taker, takers, uses};
use crate::unpack;

/// How many bytes of releases are kept, unpacked: one has a thousandth of that as long as it is packed.
const RELEASES_BYTES_MAX: usize = if cfg!(test) { 32 << 10 } else { 256 << 20 };

/// One value at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) value: ValueId,
    pub(crate) place: Place,
    /// The name that it has there: a key, a variable.
    pub(crate) name: String,
    pub(crate) encoding: Encoding,
}

/// One secret.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) name: String,
    /// It is configured.
    pub(crate) managed: bool,
    /// Its values: of a configured secret the newest version first, otherwise the one in the most places.
    pub(crate) values: Vec<ValueId>,
    pub(crate) versions: BTreeMap<ValueId, Version>,
    pub(crate) sightings: Vec<Sighting>,
    /// Of what a CSI driver fetches, whose value is not visible: its class, and the object at the store.
    pub(crate) object: Option<(String, String)>,
    /// The places of its takers among all of them.
    pub(crate) takers: BTreeSet<usize>,
}

impl Found {
    /// Whether a taker may take it.
    pub(crate) fn is_taken_by(&self, taker: &Taker<'_>) -> bool {
        self.takers.contains(&taker.at)
    }

    /// Its values that pods take now, or would take.
    pub(crate) fn differs(&self) -> bool {
        let sources = self.sightings.iter().filter(|one| one.place.is_source());
        sources.map(|one| one.value).collect::<BTreeSet<_>>().len() > 1
    }

    /// Its value in an entry of a Secret.
    pub(crate) fn in_secret(&self, name: &str, key: &str) -> Option<&Sighting> {
        self.sightings.iter().find(|one| one.place.secret() == Some((name, key)))
    }

    /// Its value in an entry of a ConfigMap.
    pub(crate) fn in_map(&self, name: &str, key: &str) -> Option<&Sighting> {
        self.sightings.iter().find(|one| match &one.place {
            Place::Map { name: own, key: at, .. } => own == name && at == key,
            Place::Secret { .. } | Place::Text { .. } | Place::Applied { .. } | Place::Helm { .. } => false,
            Place::Class { .. } => false,
        })
    }
}

/// Everything that was found.
pub(crate) struct Everything {
    pub(crate) values: Values,
    /// Decides what is shown of the names of values.
    pub(crate) names: Names,
    pub(crate) digits: usize,
    /// The secrets, in the order of their names.
    pub(crate) found: Vec<Found>,
    /// What was read and is not followed, and why.
    pub(crate) missed: Vec<Missed>,
}

/// What has one value after another: a Secret, a ConfigMap or a container; its key or variable; the name within.
type Slot = (String, String, String);

/// A text that may have a copy.
pub(crate) struct Text<'n> {
    pub(crate) place: Place,
    slot: (String, String),
    pub(crate) data: &'n SecretBytes,
}

struct Search<'n> {
    namespace: &'n Namespace,
    values: Values,
    sightings: Vec<Sighting>,
    /// The same values with their places, and with these as a whole.
    noted: BTreeSet<(ValueId, Place)>,
    noted_whole: BTreeSet<(ValueId, Place)>,
    slots: BTreeMap<Slot, Vec<ValueId>>,
    missed: Vec<Missed>,
    /// The manifests of releases and the values that these were given, by the release.
    releases: Vec<(String, &'static str, SecretBytes)>,
}

/// The secrets of a namespace.
pub(crate) fn find(namespace: &Namespace, known: KnownSecrets) -> Everything {
    let KnownSecrets { key, managed, values: beforehand } = known;
    let mut search = Search {
        namespace,
        values: Values::new(key),
        sightings: Vec::new(),
        noted: BTreeSet::new(),
        noted_whole: BTreeSet::new(),
        slots: BTreeMap::new(),
        missed: Vec::new(),
        releases: Vec::new(),
    };
    for value in beforehand {
        search.values.add(value, None);
    }
    let takers = takers(namespace);
    search.secrets();
    search.copies(&takers);
    let names = Names::of_values(&search.values);
    let mut found = search.grouped(&managed, &takers);
    found.extend(objects(namespace));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let digits = search.values.digits();
    Everything { digits, names, found, missed: search.missed, values: search.values }
}

impl Search<'_> {
    /// The values of the Secrets, and of what tells of Secrets of before.
    fn secrets(&mut self) {
        let namespace = self.namespace;
        for secret in &namespace.secrets {
            match secret.kind.as_str() {
                // Kubernetes makes and changes these itself.
                "kubernetes.io/service-account-token" | "bootstrap.kubernetes.io/token" => continue,
                "helm.sh/release.v1" => self.release(secret),
                _ => self.entries(secret),
            }
            let applied = secret.last_applied.as_ref();
            let applied = applied.and_then(|text| unpack::manifest(text.expose(), Format::Json));
            for (key, data) in applied.into_iter().flat_map(|one| one.data) {
                let place = Place::Applied { name: secret.name.clone(), key: key.clone() };
                self.earlier(&secret.name, &key, &data, &place);
            }
        }
    }

    fn entries(&mut self, secret: &SecretSeen) {
        for (key, data) in &secret.data {
            let name = &secret.name;
            match entries::of_secret(key, data) {
                Ok(all) => {
                    let place = |entry| Place::Secret { name: name.clone(), key: key.clone(), entry };
                    self.see(all, (&format!("secret/{name}"), key), &place);
                }
                Err(why) => {
                    self.missed.push(Missed { what: format!("secret/{name} {key}"), why: why.to_owned() });
                }
            }
        }
    }

    /// The values that a Secret had when it was applied, or when a release was made.
    fn earlier(&mut self, secret: &str, key: &str, data: &SecretBytes, place: &Place) {
        let all = entries::of_secret(key, data).unwrap_or_default();
        self.see(all, (&format!("secret/{secret}"), key), &|_| place.clone());
    }

    fn release(&mut self, secret: &SecretSeen) {
        let release = unpack::release_name(&secret.name);
        let held: usize = self.releases.iter().map(|(_, _, data)| data.len()).sum();
        let read = match held > RELEASES_BYTES_MAX {
            true => Err("the releases before it have more than 256 MiB"),
            false => secret.data.get("release").ok_or("it has no entry 'release'").and_then(unpack::release),
        };
        let (manifests, config) = match read {
            Ok(read) => read,
            Err(why) => {
                let what = format!("release of Helm {release}");
                return self.missed.push(Missed { what, why: format!("not read: {why}") });
            }
        };
        let read: Vec<_> = unpack::documents(&manifests)
            .filter_map(|text| unpack::manifest(text.as_bytes(), Format::Yaml))
            .collect();
        for unpack::Manifest { name, data } in read {
            for (key, data) in data {
                let place = Place::Helm { release: release.clone(), what: format!("secret/{name} {key}") };
                self.earlier(&name, &key, &data, &place);
            }
        }
        self.releases.push((release.clone(), "its manifests", manifests));
        self.releases.push((release, "its values", config));
    }

    /// Notes values at a place; all that a slot had belong together.
    fn see(&mut self, all: Vec<Entry>, slot: (&str, &str), place: &dyn Fn(Option<String>) -> Place) {
        for Entry { name, value, rule } in all {
            let Some(id) = self.values.add(value, rule) else { continue };
            let within = name.clone().unwrap_or_default();
            let called = name.clone().unwrap_or_else(|| slot.1.to_owned());
            self.slots.entry((slot.0.to_owned(), slot.1.to_owned(), within)).or_default().push(id);
            self.note(Sighting { value: id, place: place(name), name: called, encoding: Encoding::Raw });
        }
    }

    /// Notes a value at a place, once.
    fn note(&mut self, new: Sighting) {
        if self.noted.insert((new.value, new.place.clone())) {
            self.noted_whole.insert((new.value, new.place.whole()));
            self.sightings.push(new);
        }
    }

    /// Notes a value that was found in a text, unless its place there is known better.
    fn note_hit(&mut self, hit: Sighting) {
        if self.noted_whole.insert((hit.value, hit.place.whole())) {
            self.noted.insert((hit.value, hit.place.clone()));
            self.sightings.push(hit);
        }
    }

    /// The copies outside of Secrets: by names and forms, then by the values that are known.
    fn copies(&mut self, takers: &[Taker<'_>]) {
        let texts = texts(self.namespace, takers);
        for Text { place, slot, data } in &texts {
            let at = |entry: Option<String>| match place {
                Place::Map { name, key, .. } => Place::Map { name: name.clone(), key: key.clone(), entry },
                Place::Secret { .. }
                | Place::Text { .. }
                | Place::Applied { .. }
                | Place::Helm { .. }
                | Place::Class { .. } => place.clone(),
            };
            self.see(entries::of_text(&slot.1, data), (&slot.0, &slot.1), &at);
        }
        let Some(needles) = self.values.needles() else { return };
        let mut hits: Vec<Sighting> = Vec::new();
        let mut search = |place: &Place, name: &str, data: &SecretBytes| {
            needles.find(data.expose(), &mut |hit| {
                let value = ValueId(hit.id.0);
                hits.push(Sighting {
                    value,
                    place: place.clone(),
                    name: name.to_owned(),
                    encoding: hit.encoding,
                });
            });
        };
        for Text { place, slot, data } in &texts {
            search(place, &slot.1, data);
        }
        for (release, what, data) in &self.releases {
            let place = Place::Helm { release: release.clone(), what: (*what).to_owned() };
            search(&place, what, data);
        }
        hits.into_iter().for_each(|hit| self.note_hit(hit));
    }

    /// The secrets of all sightings.
    fn grouped(&self, managed: &[Managed], takers: &[Taker<'_>]) -> Vec<Found> {
        let versions: Vec<BTreeMap<ValueId, Version>> =
            managed.iter().map(|one| versions_of(one, &self.values)).collect();
        let mut joins = Joins::new(self.values.len());
        self.slots.values().for_each(|values| joins.all(values.iter().copied()));
        versions.iter().for_each(|values| joins.all(values.keys().copied()));
        let mut groups: BTreeMap<usize, Vec<Sighting>> = BTreeMap::new();
        for sighting in &self.sightings {
            groups.entry(joins.root(sighting.value)).or_default().push(sighting.clone());
        }
        let shown = Names::of_secrets(&self.values);
        let variables = variables(self.namespace, takers);
        let (mut found, mut named) = (Vec::new(), Vec::new());
        for sightings in groups.into_values() {
            let has = |values: &BTreeMap<ValueId, Version>| {
                sightings.iter().any(|one| values.contains_key(&one.value))
            };
            let known = managed.iter().zip(&versions).find(|(_, values)| has(values));
            let versions = known.map(|(_, values)| values.clone()).unwrap_or_default();
            let values = ordered(&sightings, &versions);
            let (name, of) = match known {
                Some((one, _)) => (one.name.clone(), String::new()),
                None => self.name(&shown, &sightings, &variables),
            };
            named.push((name, of));
            let managed = known.is_some();
            found.push(Found { managed, values, versions, sightings, ..Found::default() });
        }
        let taken: BTreeSet<String> = managed.iter().map(|one| one.name.clone()).collect();
        let mut free: Vec<(String, String)> = Vec::new();
        for (one, name) in found.iter_mut().zip(&named) {
            if one.managed { one.name.clone_from(&name.0) } else { free.push(name.clone()) }
        }
        told_apart(&mut free, &taken);
        let unnamed = found.iter_mut().filter(|one| !one.managed);
        unnamed.zip(free).for_each(|(one, (name, _))| one.name = name);
        found
    }

    /// The name of a secret, and that of its first object, which tells it apart from others.
    fn name(
        &self,
        shown: &Names,
        sightings: &[Sighting],
        variables: &BTreeMap<(&str, &str), Vec<String>>,
    ) -> (String, String) {
        let mut names: Vec<String> = Vec::new();
        let mut objects: BTreeSet<&str> = BTreeSet::new();
        for one in sightings {
            match &one.place {
                Place::Secret { name, key, .. } => {
                    let taken = variables.get(&(name.as_str(), key.as_str()));
                    names.extend(taken.into_iter().flatten().cloned());
                    names.extend([one.name.clone(), format!("{name}-{}", one.name)]);
                    objects.insert(name);
                }
                Place::Map { name, .. } => {
                    names.push(one.name.clone());
                    objects.insert(name);
                }
                Place::Text { .. } => names.push(one.name.clone()),
                Place::Applied { name, .. } => drop(objects.insert(name)),
                Place::Helm { .. } | Place::Class { .. } => {}
            }
        }
        let rule = sightings.iter().find_map(|one| self.values.get(one.value)?.rule);
        let of = objects.first().copied().unwrap_or_default();
        let file = Some(Path::new(of)).filter(|_| !of.is_empty());
        let provider = rule.map(|rule| rule.provider.as_str());
        (name_of(shown, names.iter().map(String::as_str), provider, file), shown.shown(of))
    }
}

/// The values of one secret, in the order in which they are shown.
fn ordered(sightings: &[Sighting], versions: &BTreeMap<ValueId, Version>) -> Vec<ValueId> {
    let mut count: BTreeMap<ValueId, (usize, usize)> = BTreeMap::new();
    for one in sightings {
        let (sources, all) = count.entry(one.value).or_default();
        *sources += usize::from(one.place.secret().is_some());
        *all += 1;
    }
    let mut values: Vec<ValueId> = count.keys().copied().collect();
    values.sort_by_key(|value| {
        let number = versions.get(value).map(|version| version.number);
        (std::cmp::Reverse(number), std::cmp::Reverse(count.get(value).copied()), *value)
    });
    values
}

/// The versions of a configured secret whose values were seen.
fn versions_of(managed: &Managed, values: &Values) -> BTreeMap<ValueId, Version> {
    let prints = managed
        .versions
        .iter()
        .flat_map(|version| version.fingerprints.iter().map(move |print| (print, version)));
    prints.filter_map(|(print, version)| Some((values.with(print)?, version.clone()))).collect()
}

/// The variables that take each key of a Secret.
fn variables<'n>(
    namespace: &'n Namespace,
    takers: &[Taker<'n>],
) -> BTreeMap<(&'n str, &'n str), Vec<String>> {
    let mut all: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for taker in takers {
        let takes = std::iter::once(taker.template()).chain(taker.pods.iter().map(|pod| &*pod.takes));
        for one in takes.flat_map(|takes| uses(namespace, takes)) {
            if let (From::Secret { name, .. }, Some(key)) = (&one.taking.from, one.key)
                && matches!(one.taking.way, crate::model::Way::Env(_) | crate::model::Way::EnvFrom(_))
            {
                let names = all.entry((name.as_str(), key)).or_default();
                if !names.contains(&one.name) {
                    names.push(one.name);
                }
            }
        }
    }
    all
}

/// The texts outside of Secrets: of ConfigMaps, of templates, and of pods and old templates that have another.
pub(crate) fn texts<'n>(namespace: &'n Namespace, takers: &[Taker<'n>]) -> Vec<Text<'n>> {
    let mut all = Vec::new();
    for map in &namespace.config_maps {
        for (key, data) in &map.data {
            let place = Place::Map { name: map.name.clone(), key: key.clone(), entry: None };
            let slot = (format!("configmap/{}", map.name), key.clone());
            all.push(Text { place, slot, data });
        }
    }
    for taker in takers {
        let shown = taker.shown();
        let template = texts_of(namespace, &shown, &shown, taker.template());
        let made =
            taker.made.iter().map(|one| (crate::takers::shown(&one.kind, &one.name), one.takes.as_slice()));
        let pods = taker.pods.iter().map(|pod| (format!("pod/{}", pod.name), &*pod.takes));
        let mut known: BTreeMap<&(String, String), Vec<&SecretBytes>> = BTreeMap::new();
        for one in &template {
            known.entry(&one.slot).or_default().push(one.data);
        }
        for (of, takes) in made.chain(pods) {
            let own = texts_of(namespace, &shown, &of, takes);
            let is_new = |one: &Text<'_>| known.get(&one.slot).is_none_or(|texts| !texts.contains(&one.data));
            all.extend(own.into_iter().filter(is_new));
        }
        all.extend(template);
    }
    all
}

/// The texts of one template or pod; `shown`: whose it is, `of`: where they stand.
fn texts_of<'n>(namespace: &'n Namespace, shown: &str, of: &str, takes: &'n [Taking]) -> Vec<Text<'n>> {
    let one = |one: crate::takers::Use<'n>| {
        let From::Text(data) = &one.taking.from else { return None };
        let container = one.taking.container.clone();
        let slot = (format!("{shown} {container}"), one.name.clone());
        Some(Text { place: Place::Text { of: of.to_owned(), container, name: one.name }, slot, data })
    };
    uses(namespace, takes).into_iter().filter_map(one).collect()
}

/// What CSI drivers fetch: nothing shows its value.
fn objects(namespace: &Namespace) -> Vec<Found> {
    let all: BTreeSet<(&str, &str)> =
        namespace.mounted.iter().map(|one| (one.class.as_str(), one.object.as_str())).collect();
    let one = |(class, object): (&str, &str)| Found {
        name: format!("{class}/{object}"),
        object: Some((class.to_owned(), object.to_owned())),
        ..Found::default()
    };
    all.into_iter().map(one).collect()
}
