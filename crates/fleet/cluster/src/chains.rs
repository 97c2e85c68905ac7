//! From where a container takes a value, and what else is under the same name.

use std::borrow::Cow;

use keyroll_inventory::{ChainShown, LinkShown};

use crate::commands::{FOLLOWS, applies, never_follows, seems};
use crate::found::Found;
use crate::instance::KEEPER;
use crate::look::Look;
use crate::model::{From, Way};
use crate::owner::written_by;
use crate::takers::{Taker, Use};

impl Look {
    /// For each variable and file of a taker that has a secret: its sources, the winning one first.
    pub(crate) fn chains(&self, found: &Found, taker: &Taker<'_>) -> Vec<ChainShown> {
        self.chains_with(found, taker, &|one: &Use<'_>| self.takes(found, one))
    }

    /// The same for each variable and file that has one of these sources.
    pub(crate) fn chains_with(
        &self,
        found: &Found,
        taker: &Taker<'_>,
        wanted: &dyn Fn(&Use<'_>) -> bool,
    ) -> Vec<ChainShown> {
        let mut groups: Vec<Vec<Use<'_>>> = Vec::new();
        for one in self.all_uses(taker) {
            let known =
                groups.iter_mut().find(|group| group.first().is_some_and(|first| first.is_same(&one)));
            match known {
                // Without a template each pod says the same.
                Some(group) if group.iter().any(|other| other.object() == one.object()) => {}
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        groups.retain(|group| group.iter().any(wanted));
        let several = taker.has_several();
        let shown = |mut group: Vec<Use<'_>>| {
            group.sort_by_key(|one| one.taking.shadowed);
            let first = group.first()?;
            let container = &first.taking.container;
            let within = if several { format!(" in container {container}") } else { String::new() };
            Some(ChainShown {
                secret: found.name.clone(),
                used_by: taker.shown(),
                keeper: KEEPER.into(),
                name: format!("{}{within}", self.name(&first.name)),
                links: group.iter().map(|one| self.link(found, taker, one)).collect(),
            })
        };
        groups.into_iter().filter_map(shown).collect()
    }

    fn link(&self, found: &Found, taker: &Taker<'_>, one: &Use<'_>) -> LinkShown {
        let there = self.is_there(one);
        let object = self.names.told(&one.object(), "");
        let (standing, mut why) = match (there, self.namespace.may_have(&one.taking.from)) {
            (true, _) if one.taking.shadowed => ("shadowed", Vec::new()),
            (true, _) => ("wins", Vec::new()),
            (false, true) => {
                ("not visible", vec!["it could not be read: whether it is there is not visible".to_owned()])
            }
            (false, false) if one.taking.optional => {
                ("not there", vec!["optional: the pod starts without it".to_owned()])
            }
            (false, false) => ("not there", vec!["the pod does not start without it".to_owned()]),
        };
        if let From::Secret { name, .. } = &one.taking.from {
            let secret = self.namespace.secret(name);
            why.extend(secret.and_then(|secret| written_by(&self.namespace, secret, one.key)));
        }
        let wins = standing == "wins";
        let value = self.value_of(found, one).map(|id| self.label(found, id));
        LinkShown {
            what: format!("{} {object}", how(&one.taking.way)),
            place: matches!(one.taking.from, From::Secret { .. } | From::Map { .. }).then_some(object),
            value,
            standing: standing.into(),
            why: (!why.is_empty()).then(|| Cow::Owned(self.names.told(&why.join("; "), ""))),
            applies: wins.then(|| applies(&self.namespace, taker, one)),
            seems: seems(&self.namespace, taker, one).filter(|_| wins).map(str::to_owned),
        }
    }

    /// How a change of a secret comes to a taker, one sentence for each way; and what keeps it from running.
    pub(crate) fn sentences(&self, found: &Found, taker: &Taker<'_>) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for one in self.all_uses(taker).iter().filter(|one| self.takes(found, one) && !one.taking.shadowed) {
            let name = self.name(&one.name);
            let (pods, halted) = match self.namespace.sees_pods() {
                true => (taker.pods_shown(), taker.halted()),
                false => ("not visible".to_owned(), taker.halted()),
            };
            let none = taker.pods.is_empty() && self.namespace.sees_pods();
            let bare = none && never_follows(&one.taking.way);
            let what = match (&one.taking.way, halted) {
                (Way::PullImage, _) => "it pulls its images with it, and asks for it at each pull".to_owned(),
                (Way::Csi(_), _) => {
                    format!("the CSI driver mounts it at {name}; whether it follows depends on the driver")
                }
                (Way::File(_) | Way::Projected(_), _) => format!("takes it as the file {name}: {FOLLOWS}"),
                (_, Some(why)) if bare => format!("takes it as {name}, and makes no pod now: {why}"),
                (_, None) if bare => {
                    format!("takes it as {name}, and has no pod now: the next one takes the value of then")
                }
                (Way::SubPath(_), _) => {
                    format!("takes it as the file {name}, by subPath: its pods ({pods}) never follow")
                }
                (Way::Env(_) | Way::EnvFrom(_) | Way::Argument, _) => {
                    format!("takes it as {name}: its pods ({pods}) keep the value of their start")
                }
            };
            let reloader = taker.workload.and_then(|workload| workload.reloaded_by);
            let reloader = reloader.map(|by| format!("; {by} restarts it when the Secret changes"));
            let halted = halted.filter(|_| !bare).map(|why| format!("; {why}"));
            let after = reloader.into_iter().chain(halted).collect::<String>();
            let text = format!("{}: {what}{after}", taker.shown());
            if !all.contains(&text) {
                all.push(text);
            }
        }
        all
    }

    /// What keeps a taker's pods from running, one sentence each.
    pub(crate) fn troubles(&self, taker: &Taker<'_>) -> Vec<String> {
        let missing = self.not_there(taker, &|_: &Use<'_>, _| true).into_iter();
        let missing = missing.map(|(what, why)| self.names.told(&format!("{what}: {why}"), ""));
        missing.chain(self.stuck(taker)).collect()
    }

    /// The containers of a taker that do not run, one sentence each.
    pub(crate) fn stuck(&self, taker: &Taker<'_>) -> Vec<String> {
        let stuck = crate::look::stuck(taker).into_iter();
        stuck.map(|one| self.names.told(&format!("{}: {}", one.what, one.why), "")).collect()
    }
}

/// How a container takes it, as manifests say it.
fn how(way: &Way) -> &'static str {
    match way {
        Way::Env(_) => "env from",
        Way::EnvFrom(_) => "envFrom",
        Way::File(_) => "volume of",
        Way::Projected(_) => "projected volume of",
        Way::SubPath(_) => "subPath of the volume of",
        Way::Argument => "argument from",
        Way::Csi(_) => "CSI volume of",
        Way::PullImage => "imagePullSecrets",
    }
}
