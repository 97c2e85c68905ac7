//! Secrets and consumers of keyroll.toml, drafted from a namespace: each container that takes a whole key of a Secret is a
//! consumer. What has the value elsewhere is left out, with the reason.

use std::collections::BTreeSet;

use keyroll_draft::{Form, named};
use keyroll_inventory::{ConsumerShown, DraftShown, NotMeant};
use keyroll_secret::SecretBytes;

use crate::consumers::{SecretKey, consumers};
use crate::entries::without_line_end;
use crate::found::{Found, Sighting};
use crate::look::Look;
use crate::place::Place;
use crate::takers::Taker;

/// How many lines of what was left out one secret has.
const LEFT_MAX: usize = 24;

impl Look {
    /// The drafts of the secrets that words name, of all without words; and what was left out, with the reason: one that no
    /// consumer takes, too.
    ///
    /// # Errors
    /// A word means several secrets, or none of the words means one.
    pub fn draft(&self, words: &[String]) -> Result<(Vec<DraftShown>, Vec<String>), NotMeant> {
        let takers = self.takers();
        let (meant, absent) = self.all_meant(words, &takers)?;
        // What stands outside of Secrets comes first: it is the more urgent work.
        let (mut drafts, mut outside, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        let mut given = BTreeSet::new();
        for found in meant {
            if found.object.is_some() {
                left_out.push(format!(
                    "{}: a CSI driver fetches it, and its value is not visible: rotate it at its store",
                    found.name
                ));
                continue;
            }
            let (consumers, left) = self.consumers_of(found, &takers);
            if consumers.is_empty() && !found.managed {
                let why = left.first().cloned().unwrap_or_else(|| self.namespace.taken_by_none());
                let of = if found.sightings.iter().any(is_outside) { &mut outside } else { &mut left_out };
                of.push(format!("{}: {why}", found.name));
                // Of what was asked for by its name nothing is left out.
                let more = left.iter().skip(1).filter(|_| !words.is_empty());
                of.extend(more.map(|why| format!("{}: {why}", found.name)));
                continue;
            }
            let Some(name) = named(&found.name, &mut given) else { continue };
            let Form { issuer, title } = Form::of_values(&self.values, &found.values);
            drafts.push(DraftShown {
                secret: found.name.clone(),
                name: name.as_str().to_owned(),
                managed: found.managed,
                values: found.values.iter().map(|id| id.0).collect(),
                differ: found.differs(),
                issuer,
                title,
                used: !consumers.is_empty(),
                consumers,
                left: limited(left, &found.name),
            });
        }
        outside.extend(left_out);
        outside.extend(absent);
        Ok((drafts, outside))
    }

    /// The secrets that words name, all without words; and the words that mean nothing here, each with that reason.
    fn all_meant<'l>(
        &'l self,
        words: &[String],
        takers: &'l [Taker<'l>],
    ) -> Result<(Vec<&'l Found>, Vec<String>), NotMeant> {
        if words.is_empty() {
            return Ok((self.found.iter().collect(), Vec::new()));
        }
        let (mut all, mut absent): (Vec<&Found>, Vec<String>) = (Vec::new(), Vec::new());
        let mut unknown = None;
        for word in words {
            match self.one_secret(word, takers) {
                Ok(found) if all.iter().any(|one| one.name == found.name) => {}
                Ok(found) => all.push(found),
                Err(not @ NotMeant::Several { .. }) => return Err(not),
                Err(not) => {
                    absent.push(format!("{word}: no secret has this name"));
                    unknown = Some(not);
                }
            }
        }
        match unknown.filter(|_| all.is_empty()) {
            Some(not) => Err(not),
            None => Ok((all, absent)),
        }
    }

    /// The consumers of a secret, and what else takes or has it.
    fn consumers_of(&self, found: &Found, takers: &[Taker<'_>]) -> (Vec<ConsumerShown>, Vec<String>) {
        let mut wanted: BTreeSet<SecretKey<'_>> = BTreeSet::new();
        let (mut first, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for one in &found.sightings {
            let why = match &one.place {
                Place::Secret { name, key, .. } if self.is_whole(one, (name.as_str(), key.as_str())) => {
                    wanted.insert((name.as_str(), key.as_str()));
                    continue;
                }
                Place::Secret { .. } => {
                    "there is more in it than the value: a consumer in a cluster takes all of a key"
                }
                Place::Map { .. } => {
                    "put it into a Secret: everybody who may read the namespace sees it there"
                }
                Place::Text { of, .. } if of.starts_with("pod/") => "in the pod itself: put it into a Secret",
                Place::Text { .. } => "in the template itself: put it into a Secret",
                Place::Applied { .. } | Place::Helm { .. } => {
                    "a record of before, from which no pod takes it"
                }
                Place::Class { .. } => continue,
            };
            let line = format!("{}: {why}", one.place.shown(&self.names));
            if is_outside(one) {
                first.insert(line)
            } else {
                elsewhere.insert(line)
            };
        }
        let takers = takers.iter().filter(|taker| found.is_taken_by(taker));
        let (mut consumers, mut taken) = consumers(&self.namespace, takers, &wanted);
        let told = |line: &mut String| *line = self.names.told(line, "");
        consumers.iter_mut().flat_map(|one| &mut one.notes).for_each(told);
        taken.iter_mut().for_each(told);
        (consumers, first.into_iter().chain(taken).chain(elsewhere).collect())
    }

    /// Whether a key of a Secret holds the value and nothing else, besides the end of a line.
    fn is_whole(&self, one: &Sighting, (name, key): SecretKey<'_>) -> bool {
        let Some(data) = self.namespace.secret(name).and_then(|secret| secret.data.get(key)) else {
            return false;
        };
        let text = without_line_end(data.expose());
        self.values.of(&SecretBytes::new(text.to_vec())) == Some(one.value)
    }
}

/// Whether it stands in a template, a pod or a ConfigMap, where many may read it.
fn is_outside(one: &Sighting) -> bool {
    matches!(one.place, Place::Map { .. } | Place::Text { .. })
}

/// As many lines as are read.
fn limited(mut left: Vec<String>, name: &str) -> Vec<String> {
    let more = left.len().saturating_sub(LEFT_MAX);
    left.truncate(LEFT_MAX);
    if more > 0 {
        left.push(format!("and {more} more: keyroll trace {name}"));
    }
    left
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keyroll_inventory::{KnownSecrets, SaidShown};
    use keyroll_kube::Owner;
    use keyroll_secret::FingerprintKey;
    use keyroll_testkit::alphanumeric;

    use super::*;
    use crate::model::{
        External, From, MapSeen, Namespace, Pod, SecretSeen, Taking, Unlisted, Way, Workload,
    };

    fn secret(name: &str, key: &str, text: &str) -> SecretSeen {
        let data = BTreeMap::from([(key.to_owned(), SecretBytes::from(text.to_owned()))]);
        SecretSeen { name: name.to_owned(), kind: "Opaque".to_owned(), data, ..SecretSeen::default() }
    }

    fn taking(container: &str, from: From, way: Way) -> Taking {
        let container = container.to_owned();
        Taking { container, init: false, from, way, optional: false, shadowed: false }
    }

    fn of_secret(name: &str, key: Option<&str>) -> From {
        From::Secret { name: name.to_owned(), key: key.map(str::to_owned) }
    }

    fn env(container: &str, from: From) -> Taking {
        taking(container, from, Way::Env("ANTHROPIC_API_KEY".to_owned()))
    }

    fn by(made_by: Option<(&str, &str)>) -> Option<(String, String)> {
        made_by.map(|(kind, name)| (kind.to_owned(), name.to_owned()))
    }

    fn workload(kind: &str, name: &str, made_by: Option<(&str, &str)>, takes: Vec<Taking>) -> Workload {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        Workload { kind, name, made_by: by(made_by), takes, ..Workload::default() }
    }

    fn pod(name: &str, made_by: Option<(&str, &str)>, takes: Vec<Taking>) -> Pod {
        let (name, phase) = (name.to_owned(), "Running".to_owned());
        Pod { name, phase, made_by: by(made_by), takes: takes.into(), ..Pod::default() }
    }

    /// What is drafted of all secrets, or of all by their names.
    fn drafted(look: &Look, by_name: bool) -> (Vec<DraftShown>, Vec<String>) {
        let names: Vec<String> = look.found.iter().map(|one| one.name.clone()).filter(|_| by_name).collect();
        look.draft(&names).unwrap()
    }

    fn look(namespace: Namespace) -> Look {
        let known =
            KnownSecrets { key: FingerprintKey::new(&[7; 32]), managed: Vec::new(), values: Vec::new() };
        Look::of(namespace, known)
    }

    /// `agent deployment/agent/app anthropic/api-key`.
    fn line(one: &ConsumerShown) -> String {
        let text = |said: &SaidShown| match said {
            SaidShown::Text(text) => text.clone(),
            other @ (SaidShown::Words(_) | SaidShown::Yes) => panic!("{other:?}"),
        };
        let [(kind, name), (container, own)] = one.runs.as_slice() else { panic!("{:?}", one.runs) };
        assert_eq!(container, "container");
        let [copy] = one.reads.as_slice() else { panic!("{:?}", one.reads) };
        let keys: Vec<&str> = copy.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["secret", "key"]);
        let read: Vec<&str> = copy.iter().map(|(_, text)| text.as_str()).collect();
        format!("{} {kind}/{}/{} {}", one.name, text(name), text(own), read.join("/"))
    }

    #[test]
    fn every_container_that_takes_a_key_is_a_consumer_of_what_rolls_it_out() {
        let value = alphanumeric(24);
        let key = || of_secret("anthropic", Some("api-key"));
        let mut written = secret("anthropic", "api-key", &value);
        written.owner = Some(Owner::ExternalSecrets("anthropic".to_owned()));
        let external = External { store: "SecretStore/aws".to_owned(), ..External::default() };
        let namespace = Namespace {
            secrets: vec![written],
            workloads: vec![
                workload(
                    "CronJob",
                    "nightly",
                    None,
                    vec![taking("run", of_secret("anthropic", None), Way::EnvFrom("X_".to_owned()))],
                ),
                workload(
                    "Deployment",
                    "agent",
                    None,
                    vec![env("app", key()), taking("sidecar", key(), Way::File("/secrets/key".to_owned()))],
                ),
                // An old template of it.
                workload("ReplicaSet", "agent-1", Some(("Deployment", "agent")), vec![env("old", key())]),
                workload("Job", "nightly-1", Some(("CronJob", "nightly")), vec![env("run", key())]),
                // A controller of its own made this one.
                workload("StatefulSet", "db", Some(("Cluster", "db")), vec![env("db", key())]),
            ],
            pods: vec![
                pod(
                    "agent-1-a",
                    Some(("ReplicaSet", "agent-1")),
                    vec![env("app", key()), env("injected", key())],
                ),
                pod("other-0", Some(("CloneSet", "other")), vec![env("app", key())]),
                pod("alone", None, vec![env("main", key())]),
            ],
            external: BTreeMap::from([("anthropic".to_owned(), external)]),
            ..Namespace::default()
        };
        let look = look(namespace);
        let (drafts, left_out) = drafted(&look, false);
        assert_eq!(left_out, Vec::<String>::new());
        let [draft] = drafts.as_slice() else { panic!("{drafts:?}") };
        assert!(draft.used && !draft.managed && !draft.differ);
        assert_eq!(
            draft.consumers.iter().map(line).collect::<Vec<_>>(),
            [
                "nightly cronjob/nightly/run anthropic/api-key",
                "agent-app deployment/agent/app anthropic/api-key",
                "agent-injected deployment/agent/injected anthropic/api-key",
                "agent-sidecar deployment/agent/sidecar anthropic/api-key",
                "alone pod/alone/main anthropic/api-key",
                "db statefulset/db/db anthropic/api-key",
            ]
        );
        assert!(draft.consumers.iter().all(|one| one.synced), "External Secrets writes the Secret");
        assert_eq!(draft.left, ["cloneset/other: keyroll does not know how it replaces its pods"]);
        let notes =
            |name: &str| draft.consumers.iter().find(|one| one.name == name).unwrap().notes.join("\n");
        assert!(notes("nightly").contains("variable X_api-key, by envFrom: follows no change"));
        assert!(
            notes("agent-app").contains("variable ANTHROPIC_API_KEY: follows no change, needs a roll-out")
        );
        assert!(notes("agent-app").contains("External Secrets writes it from SecretStore/aws"));
        assert!(notes("agent-sidecar").contains("file /secrets/key: follows the Secret"));
        assert!(notes("agent-injected").contains("pod/agent-1-a takes it, and the template"));
        assert!(notes("db").contains("cluster/db made it, and may undo a change"));
    }

    #[test]
    fn what_has_the_value_outside_of_a_secret_is_left_out_with_the_reason() {
        let value = alphanumeric(24);
        let text = From::Text(SecretBytes::from(value.clone()));
        let data = BTreeMap::from([("API_TOKEN".to_owned(), SecretBytes::from(value.clone()))]);
        let mut shadowed = env("web", of_secret("anthropic", Some("api-key")));
        shadowed.shadowed = true;
        let namespace = Namespace {
            secrets: vec![secret("anthropic", "api-key", &value)],
            config_maps: vec![MapSeen { name: "settings".to_owned(), data, ..MapSeen::default() }],
            workloads: vec![workload("Deployment", "web", None, vec![env("web", text), shadowed])],
            ..Namespace::default()
        };
        let look = look(namespace);
        let (drafts, left_out) = drafted(&look, false);
        assert!(drafts.is_empty(), "{drafts:?}");
        assert_eq!(left_out.len(), 1, "{left_out:?}");
        assert!(left_out[0].contains("configmap/settings API_TOKEN: put it into a Secret"), "{left_out:?}");
        // Named, it says all that it found, and makes no table without consumers.
        let (drafts, left_out) = drafted(&look, true);
        assert!(drafts.is_empty(), "{drafts:?}");
        let ends = [
            "put it into a Secret: everybody who may read the namespace sees it there",
            "in the template itself: put it into a Secret",
            "deployment/web: in its container web another source gives ANTHROPIC_API_KEY, and wins",
        ];
        assert_eq!(left_out.len(), 3, "{left_out:?}");
        assert!(left_out.iter().zip(ends).all(|(line, end)| line.ends_with(end)), "{left_out:?}");
        assert!(!left_out.concat().contains(&value));
    }

    #[test]
    fn a_key_that_holds_more_than_the_value_is_no_consumer_and_the_end_of_a_line_is_nothing_more() {
        let value = alphanumeric(24);
        let takes = |name: &str| {
            let own = of_secret("db", Some(name));
            vec![workload("Deployment", "api", None, vec![env("api", own)])]
        };
        let with_line_end = Namespace {
            secrets: vec![secret("db", "password", &format!("{value}\n"))],
            workloads: takes("password"),
            ..Namespace::default()
        };
        let (drafts, _) = drafted(&look(with_line_end), false);
        assert_eq!(
            drafts[0].consumers.iter().map(line).collect::<Vec<_>>(),
            ["api deployment/api/api db/password"]
        );
        assert!(!drafts[0].consumers[0].synced);
        let within = Namespace {
            secrets: vec![secret("db", "url", &format!("postgres://app:{value}@db/orders"))],
            workloads: takes("url"),
            ..Namespace::default()
        };
        let (drafts, left_out) = drafted(&look(within), false);
        assert!(drafts.is_empty(), "{drafts:?}");
        assert!(left_out[0].contains("there is more in it than the value"), "{left_out:?}");
    }

    #[test]
    fn a_secret_that_nobody_takes_is_not_drafted_and_says_so() {
        let namespace = || Namespace {
            secrets: vec![secret("old", "api-key", &alphanumeric(24))],
            ..Namespace::default()
        };
        let unlisted = vec![Unlisted { plural: "pods", in_part: false }];
        let (drafts, left_out) = drafted(&look(Namespace { unlisted, ..namespace() }), false);
        let why = "secret/old api-key: who takes it is not visible, because pods cannot be listed";
        assert!(drafts.is_empty() && left_out[0].ends_with(why), "{left_out:?}");
        let look = look(namespace());
        let (drafts, left_out) = drafted(&look, false);
        assert!(drafts.is_empty(), "{drafts:?}");
        assert!(left_out[0].ends_with("secret/old api-key: no container takes it"), "{left_out:?}");
        let (drafts, named) = drafted(&look, true);
        assert!(drafts.is_empty() && named == left_out, "{named:?}");
        // A word that means nothing is said, and none that means something is an error.
        let name = look.found[0].name.clone();
        let (drafts, left_out) = look.draft(&[name, "nothing".to_owned()]).unwrap();
        assert!(drafts.is_empty() && left_out[0] == named[0], "{left_out:?}");
        assert_eq!(left_out[1], "nothing: no secret has this name");
        assert!(matches!(look.draft(&["nothing".to_owned()]), Err(NotMeant::Unknown { .. })));
    }
}
