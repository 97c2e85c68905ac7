//! What `why` shows: which value wins, which one each container uses, and what moves it.

use keyroll_inventory::{InstanceShown, NotMeant, WhyReport};

use crate::found::Found;
use crate::look::Look;
use crate::model::Pod;
use crate::owner::written_by;
use crate::place::Place;
use crate::report::{urgency, worst_first};
use crate::takers::{Taker, Use, shown};

/// What the operator asks about.
enum Meant<'l> {
    Secrets(Vec<&'l Found>),
    /// A Secret or a ConfigMap that was read: `secret/NAME`, `configmap/NAME`.
    Object(String),
    /// The same of one that something takes, and that was not read.
    Absent(String),
    Taker(&'l Taker<'l>),
    Pod(&'l Pod),
}

impl Look {
    /// What is known about a secret, a Secret (`secret/NAME`), a ConfigMap (`configmap/NAME`), what makes pods (`deployment/NAME`), or a pod.
    ///
    /// # Errors
    /// The word means nothing, or several things.
    pub fn why(&self, what: &str) -> Result<Vec<WhyReport>, NotMeant> {
        let takers = self.takers();
        Ok(match self.meant(what, &takers)? {
            Meant::Secrets(all) => {
                let is_named = all.iter().any(|found| found.name == what);
                let all = all.into_iter().map(|found| self.of_secret(found, &takers));
                let mut all = urgent_first(all.collect());
                let others = takers.iter().filter(|taker| is_named && taker.name == what).map(Taker::shown);
                let others: Vec<String> = others.collect();
                if let Some(first) = all.first_mut().filter(|_| !others.is_empty()) {
                    first.sentences.push(format!("{what} is also the name of {}", others.join(", ")));
                }
                all
            }
            Meant::Object(object) => self.of_object(&object, &takers),
            Meant::Absent(object) => vec![self.of_absent(&object, &takers)],
            Meant::Taker(taker) => self.of_taker(taker, None),
            Meant::Pod(pod) => match taker_of(pod, &takers) {
                Some(taker) => self.of_taker(taker, Some(pod)),
                None => {
                    vec![sentence(format!("pod {}: it has ended ({}) and uses nothing", pod.name, pod.phase))]
                }
            },
        })
    }

    fn of_secret(&self, found: &Found, takers: &[Taker<'_>]) -> WhyReport {
        let instances = self.instances(found, takers);
        let users: Vec<&Taker<'_>> =
            takers.iter().filter(|taker| self.user(found, taker).is_some()).collect();
        let mut sentences: Vec<String> = Vec::new();
        if instances.is_empty() {
            sentences.push(format!("{}: {}", found.name, self.nobody()));
        }
        sentences.extend(self.owners(found));
        for taker in &users {
            sentences.extend(self.sentences(found, taker));
            sentences.extend(self.troubles(taker));
        }
        WhyReport {
            sentences,
            instances,
            differing: self.differing(found),
            chains: users.iter().flat_map(|taker| self.chains(found, taker)).collect(),
        }
    }

    /// A Secret or a ConfigMap: each secret that it has.
    fn of_object(&self, object: &str, takers: &[Taker<'_>]) -> Vec<WhyReport> {
        let all = self.secrets_in(object).into_iter().map(|found| self.of_secret(found, takers));
        let all: Vec<WhyReport> = urgent_first(all.collect());
        match all.is_empty() {
            true => vec![sentence(format!("{object}: none of its entries is followed as a value"))],
            false => all,
        }
    }

    /// The secrets that are in a Secret or a ConfigMap.
    fn secrets_in(&self, object: &str) -> Vec<&Found> {
        let is = |place: &Place| match place {
            Place::Secret { name, .. } => object.strip_prefix("secret/") == Some(name.as_str()),
            Place::Map { name, .. } => object.strip_prefix("configmap/") == Some(name.as_str()),
            Place::Text { .. } | Place::Applied { .. } | Place::Helm { .. } | Place::Class { .. } => false,
        };
        self.found.iter().filter(|found| found.sightings.iter().any(|one| is(&one.place))).collect()
    }

    /// What was not read: who takes it, and what that means.
    fn of_absent(&self, object: &str, takers: &[Taker<'_>]) -> WhyReport {
        let found = Found { name: object.to_owned(), ..Found::default() };
        let takes = |one: &Use<'_>| one.taking.from.object().as_deref() == Some(object);
        let mut report = WhyReport::default();
        for taker in takers.iter().filter(|taker| self.all_uses(taker).iter().any(takes)) {
            let all = self.not_there(taker, &|one: &Use<'_>, _| takes(one));
            let all = all.into_iter().map(|(what, why)| self.names.told(&format!("{what}: {why}"), ""));
            report.sentences.extend(all);
            report.sentences.extend(self.stuck(taker));
            report.chains.extend(self.chains_with(&found, taker, &takes));
        }
        report
    }

    /// What makes pods, or one pod of it: each secret that it takes.
    fn of_taker(&self, taker: &Taker<'_>, pod: Option<&Pod>) -> Vec<WhyReport> {
        let of_pod = |one: &InstanceShown| {
            let name = one.pod.as_deref().and_then(|name| name.split('/').next());
            pod.is_none_or(|pod| name == Some(pod.name.as_str()))
        };
        let report = |found: &Found| {
            self.user(found, taker)?;
            let mut instances = self.instances_of(found, taker);
            instances.retain(of_pod);
            worst_first(&mut instances);
            let mut sentences = self.sentences(found, taker);
            sentences.extend(self.owners(found));
            Some(WhyReport { sentences, instances, differing: Vec::new(), chains: self.chains(found, taker) })
        };
        let mut all: Vec<WhyReport> = urgent_first(self.found.iter().filter_map(report).collect());
        let mut troubles = self.troubles(taker);
        if let Some(pod) = pod {
            let own = format!("pod {}/", pod.name);
            troubles.retain(|text| !text.starts_with("pod ") || text.starts_with(&own));
        }
        if all.is_empty() && troubles.is_empty() {
            troubles.push(format!("{}: it takes none of the values that were found", taker.shown()));
        }
        if !troubles.is_empty() {
            all.insert(0, WhyReport { sentences: troubles, ..WhyReport::default() });
        }
        all
    }

    /// Who writes the Secrets that have a secret, one sentence each.
    pub(crate) fn owners(&self, found: &Found) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for one in &found.sightings {
            let Some((name, key)) = one.place.secret() else { continue };
            let secret = self.namespace.secret(name);
            let written = secret.and_then(|secret| written_by(&self.namespace, secret, Some(key)));
            let text = written.map(|text| self.names.told(&format!("secret/{name}: {text}"), ""));
            all.extend(text.filter(|text| !all.contains(text)));
        }
        all
    }

    /// Each value with its copies, if pods could take different ones.
    fn differing(&self, found: &Found) -> Vec<(String, Vec<String>)> {
        let values = found.values.iter().filter(|_| found.differs());
        let of = |id| {
            let here = found.sightings.iter().filter(move |one| one.value == id);
            here.map(|one| one.place.shown(&self.names)).collect::<Vec<_>>()
        };
        let values = values.map(|id| (self.label(found, *id), of(*id)));
        values.filter(|(_, places)| !places.is_empty()).collect()
    }

    /// What a word means: any name that the output shows.
    fn meant<'l>(&'l self, typed: &str, takers: &'l [Taker<'l>]) -> Result<Meant<'l>, NotMeant> {
        if let Some(found) = self.found.iter().find(|found| found.name == typed) {
            return Ok(Meant::Secrets(vec![found]));
        }
        let bare = typed.strip_suffix(" (at rest)").unwrap_or(typed);
        let bare = bare.rsplit_once(" ×").map_or(bare, |(name, _)| name);
        let of_pod = bare.rsplit_once("(pod ").and_then(|(_, pod)| pod.strip_suffix(')')).unwrap_or(bare);
        let of_pod = of_pod.strip_prefix("pod/").unwrap_or(of_pod);
        let named = |pod: &&Pod| {
            pod.name == of_pod
                || of_pod.split_once('/').is_some_and(|(name, container)| {
                    pod.name == name && pod.containers.iter().any(|one| one.name == container)
                })
        };
        if let Some(pod) = self.namespace.pods.iter().find(named) {
            return Ok(Meant::Pod(pod));
        }
        // Behind the name there may be a key.
        let object = bare.split(' ').next().unwrap_or(bare);
        let meant = self.object(object).or_else(|| self.absent(object, takers));
        if let Some(meant) = meant {
            return Ok(meant);
        }
        let called = takers.iter().filter(|taker| taker.shown() == bare || taker.name == bare);
        let mut called: Vec<&Taker<'_>> = called.collect();
        let mut several: Vec<String> = called.iter().map(|taker| taker.shown()).collect();
        let secret = shown("secret", bare);
        let of_secret = self.object(&secret);
        several.extend(of_secret.is_some().then_some(secret));
        match (several.len(), called.pop(), of_secret) {
            (0, ..) => {
                let named = self.secrets_named(bare, takers).map(Meant::Secrets);
                named.or_else(|not| self.absent(&shown("secret", bare), takers).ok_or(not))
            }
            (1, Some(taker), _) => Ok(Meant::Taker(taker)),
            (1, None, Some(meant)) => Ok(meant),
            _ => Err(NotMeant::Several { names: several }),
        }
    }

    /// The Secret or ConfigMap of this name that was read: `secret/NAME`, `configmap/NAME`.
    fn object(&self, object: &str) -> Option<Meant<'_>> {
        let is_there = match object.split_once('/')? {
            ("secret", name) => self.namespace.secret(name).is_some(),
            ("configmap", name) => self.namespace.config_map(name).is_some(),
            _ => false,
        };
        is_there.then(|| Meant::Object(object.to_owned()))
    }

    /// The same of one that was not read, if something takes it.
    fn absent(&self, object: &str, takers: &[Taker<'_>]) -> Option<Meant<'_>> {
        let is = |one: &Use<'_>| one.taking.from.object().as_deref() == Some(object);
        let is_taken = takers.iter().any(|taker| self.all_uses(taker).iter().any(is));
        is_taken.then(|| Meant::Absent(object.to_owned()))
    }

    /// The secrets that are called so: by the beginning of their name, by their label, or by the name under which they
    /// are taken.
    fn secrets_named(&self, word: &str, takers: &[Taker<'_>]) -> Result<Vec<&Found>, NotMeant> {
        let begins = |one: &&Found| {
            !word.is_empty() && one.name.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'))
        };
        let digits = word.rsplit('·').next().and_then(|word| word.split(' ').next()).unwrap_or(word);
        let labelled = |one: &&Found| {
            let values = one.values.iter().filter_map(|id| self.values.get(*id));
            values.map(|value| value.label(self.digits)).any(|label| label.digits == digits)
        };
        let taken: Vec<Use<'_>> =
            takers.iter().flat_map(|taker| self.all_uses(taker)).filter(|used| used.name == word).collect();
        let under = |one: &&Found| {
            one.sightings.iter().any(|one| one.name == word) || taken.iter().any(|used| self.takes(one, used))
        };
        let all: [Vec<&Found>; 3] = [
            self.found.iter().filter(begins).collect(),
            self.found.iter().filter(labelled).collect(),
            self.found.iter().filter(under).collect(),
        ];
        let all = all.into_iter().find(|all| !all.is_empty());
        all.ok_or_else(|| NotMeant::Unknown {
            names: self.found.iter().map(|one| one.name.clone()).collect(),
        })
    }

    /// The one secret that is meant.
    ///
    /// # Errors
    /// The word means no secret, or several.
    pub(crate) fn one_secret<'l>(
        &'l self,
        word: &str,
        takers: &'l [Taker<'l>],
    ) -> Result<&'l Found, NotMeant> {
        let uses = |taker: &Taker<'_>| {
            self.found.iter().filter(|one| self.user(one, taker).is_some()).collect::<Vec<&Found>>()
        };
        let all = match self.meant(word, takers)? {
            Meant::Secrets(all) => all,
            Meant::Object(object) => self.secrets_in(&object),
            Meant::Absent(_) => Vec::new(),
            Meant::Taker(taker) => uses(taker),
            Meant::Pod(pod) => taker_of(pod, takers).map(uses).unwrap_or_default(),
        };
        let names = |all: &[&Found]| all.iter().map(|one| one.name.clone()).collect();
        match all.as_slice() {
            [only] => Ok(only),
            [] => Err(NotMeant::Unknown { names: names(&self.found.iter().collect::<Vec<_>>()) }),
            several => Err(NotMeant::Several { names: names(several) }),
        }
    }
}

/// Whose pod it is; one that has ended is nobody's.
fn taker_of<'l>(pod: &Pod, takers: &'l [Taker<'l>]) -> Option<&'l Taker<'l>> {
    takers.iter().find(|taker| taker.pods.iter().any(|one| one.name == pod.name))
}

/// Puts those with the most urgent containers first.
fn urgent_first(mut all: Vec<WhyReport>) -> Vec<WhyReport> {
    all.sort_by_key(|one| one.instances.iter().map(urgency).min().unwrap_or(usize::MAX));
    all
}

fn sentence(text: String) -> WhyReport {
    WhyReport { sentences: vec![text], ..WhyReport::default() }
}
