//! The Secrets of a namespace while it is read.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use keyroll_inventory::Missed;
use keyroll_port::Failure;
use kube::api::PartialObjectMeta;

use super::requests::{Kind, Listed, Requests, Unread, Wanted, is_name};
use crate::model::SecretSeen;
use crate::objects;

pub(super) const SECRETS: Kind = Kind::v1("", "secrets");

/// How many Secrets are read by their names.
const BY_NAME_MAX: usize = 200;

/// A Secret with the version of its object, which each write changes.
pub(super) struct Versioned {
    version: Option<String>,
    seen: SecretSeen,
}

impl Versioned {
    fn of(secret: Secret) -> Self {
        Self { version: secret.metadata.resource_version.clone(), seen: objects::secret(secret) }
    }

    /// The bytes of its values.
    fn weight(&self) -> usize {
        let values = self.seen.data.values().chain(&self.seen.last_applied);
        values.map(keyroll_secret::SecretBytes::len).sum()
    }
}

/// The name and the version of a Secret.
fn version(secret: PartialObjectMeta<Secret>) -> (Option<String>, Option<String>) {
    (secret.metadata.name, secret.metadata.resource_version)
}

/// What is known of the Secrets.
#[derive(Default)]
pub(super) struct Secrets {
    kept: BTreeMap<String, Versioned>,
    /// The list was read to its end: a name that is not in `kept` was no Secret then.
    whole: bool,
    /// Those that are read by their names.
    by_name: BTreeSet<String>,
    /// Those that are not, because [`BY_NAME_MAX`] others are.
    beyond: BTreeSet<String>,
    /// Those that the login may not get.
    refused: BTreeSet<String>,
}

impl Secrets {
    /// What is wanted of their list.
    pub(super) fn wanted() -> Wanted<'static, Secret, Versioned> {
        Wanted { weigh: Versioned::weight, ..Wanted::of(SECRETS, Versioned::of) }
    }

    /// Those of the list; `None`: the login may not list them.
    pub(super) fn new(listed: Option<Listed<Versioned>>) -> Self {
        let Some(listed) = listed else { return Self::default() };
        let kept = listed.all.into_iter().map(|one| (one.seen.name.clone(), one)).collect();
        Self { kept, whole: listed.cut.is_none(), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The names of the keys of each.
    pub(super) fn keys(&self) -> BTreeMap<String, Vec<String>> {
        let keys = |one: &Versioned| one.seen.data.keys().cloned().collect();
        self.kept.iter().map(|(name, one)| (name.clone(), keys(one))).collect()
    }

    /// Reads again those that are not any more as they were read, and returns their names. Without the whole list it does
    /// so for those that pods name.
    pub(super) async fn follow(
        &mut self,
        requests: &mut Requests<'_>,
        named: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Failure> {
        let due = if self.whole { self.outdated(requests).await? } else { named.clone() };
        let mut changed = BTreeSet::new();
        for name in due {
            if self.read(requests, &name).await? {
                changed.insert(name);
            }
        }
        Ok(changed)
    }

    /// Reads those of these names that the list did not have, because it was refused or is not whole.
    pub(super) async fn complete(
        &mut self,
        requests: &mut Requests<'_>,
        named: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        for name in named {
            if !self.whole && !self.kept.contains_key(name) && !self.by_name.contains(name) {
                self.read(requests, name).await?;
            }
        }
        Ok(())
    }

    /// The names of those that were made, changed or deleted since they were read.
    async fn outdated(&self, requests: &mut Requests<'_>) -> Result<BTreeSet<String>, Failure> {
        let wanted = Wanted { metadata: true, ..Wanted::of(SECRETS, version) };
        let listed = requests.list(&wanted).await.map_err(Unread::failure)?;
        let mut now: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (name, version) in listed.all {
            now.insert(name.unwrap_or_default(), version);
        }
        let same = |name: &String| {
            let then = self.kept.get(name).and_then(|one| one.version.as_ref());
            then.is_some() && then == now.get(name).and_then(Option::as_ref)
        };
        Ok(self.kept.keys().chain(now.keys()).filter(|name| !same(name)).cloned().collect())
    }

    /// Reads one by its name. Whether it is another than before.
    async fn read(&mut self, requests: &mut Requests<'_>, name: &str) -> Result<bool, Failure> {
        if !is_name(name) || self.refused.contains(name) {
            return Ok(false);
        }
        if !self.by_name.contains(name) {
            if self.by_name.len() == BY_NAME_MAX {
                self.beyond.insert(name.to_owned());
                return Ok(false);
            }
            self.by_name.insert(name.to_owned());
        }
        match requests.get::<Secret>(SECRETS, name).await {
            Ok(secret) => {
                let now = Versioned::of(secret);
                let version = now.version.clone();
                let then = self.kept.insert(name.to_owned(), now);
                Ok(version.is_none() || then.is_none_or(|then| then.version != version))
            }
            Err(Unread::Absent(_)) => Ok(self.kept.remove(name).is_some()),
            Err(Unread::Refused(_)) => {
                self.refused.insert(name.to_owned());
                Ok(false)
            }
            Err(Unread::Failed(failure)) => Err(failure),
        }
    }

    /// The Secrets, and what is not known of them. The time of a change says nothing for those that changed to the last
    /// (`unsettled`), and for those that could not be read again: no pod may be *current* by it.
    pub(super) fn end(
        mut self,
        unsettled: BTreeSet<String>,
        namespace: &str,
    ) -> (Vec<SecretSeen>, Vec<Missed>) {
        let mut missed = Vec::new();
        let mut miss = |names: &BTreeSet<String>, what: &str, why: String| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            if !names.is_empty() {
                missed.push(Missed { what: format!("{what} {} in {namespace}", names.join(", ")), why });
            }
        };
        let rule = self.refused.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        miss(
            &self.refused,
            "Secret",
            format!(
                "forbidden: the login may not get it; a Role with resources [secrets] resourceNames [{rule}] verbs [get] \
                 would allow it"
            ),
        );
        miss(&self.beyond, "Secret", format!("keyroll reads at most {BY_NAME_MAX} Secrets by their names"));
        miss(
            &unsettled,
            "the last change of Secret",
            "it was written again and again while keyroll read the namespace".to_owned(),
        );
        for name in unsettled.iter().chain(&self.refused).chain(&self.beyond) {
            if let Some(one) = self.kept.get_mut(name) {
                one.seen.forget_times();
            }
        }
        (self.kept.into_values().map(|one| one.seen).collect(), missed)
    }

    /// The names of those that may be there, and are not known.
    pub(super) fn hidden(&self) -> BTreeSet<String> {
        let all = self.refused.iter().chain(&self.beyond);
        all.filter(|name| !self.kept.contains_key(*name)).cloned().collect()
    }

    /// Whether the login lacks the right to get one of them.
    pub(super) fn refused(&self) -> bool {
        !self.refused.is_empty()
    }
}
