//! One container of a pod that uses a secret, as reports show it.

use keyroll_inventory::{InstanceShown, MemoryShown};
use keyroll_trace::ValueId;

use crate::commands::{is_command, renews, seems};
use crate::found::Found;
use crate::look::Look;
use crate::model::{Container, From, Mounted, Pod, Way};
use crate::takers::{Taker, Use, container_of, uses};
use crate::verdict::{Judged, Source, hidden, idle, judged, mounted, moved, of_text, time, unknown};

/// Who manages the pods.
pub(crate) const KEEPER: &str = "kubernetes";

/// A container, and what it takes of a secret.
struct Seen<'s> {
    found: &'s Found,
    taker: &'s Taker<'s>,
    pod: &'s Pod,
    container: &'s Container,
    /// What the pod takes.
    own: &'s Use<'s>,
    /// What a new pod would take under the same name.
    template: Option<&'s Use<'s>>,
    /// Of what a CSI driver fetches: when the taker's newest pod was made, and what was mounted in it.
    newest: Option<(Option<i64>, &'s Mounted)>,
    /// Why nothing shows what a new pod would take.
    gone: Option<&'static str>,
}

/// Why nothing shows what a new pod takes instead of this, which no template takes under the same name. A pod that nothing
/// made has no other template.
fn gone(own: &Use<'_>, taker: &Taker<'_>, templates: &[Use<'_>]) -> Option<&'static str> {
    let same = |one: &Use<'_>| match (&one.taking.from, &own.taking.from) {
        (From::Text(there), From::Text(here)) => there == here,
        _ => one.object() == own.object(),
    };
    // A Rollout may take the template of something else.
    let visible = taker.workload.is_some_and(|one| one.kind != "Rollout" || !one.takes.is_empty());
    match (taker.kind.as_str(), visible) {
        ("Pod", _) => None,
        // A Secret is compared with itself, by its times; a text could only be compared with itself.
        (_, false) => {
            matches!(own.taking.from, From::Text(_)).then_some("what a new pod takes is not visible")
        }
        (_, true) => {
            let taken = templates.iter().any(|one| one.taking.container == own.taking.container && same(one));
            (!taken).then_some("a new pod does not take it any more")
        }
    }
}

impl Look {
    /// Every container of a taker that uses a secret; one that does not run uses nothing.
    pub(crate) fn instances_of(&self, found: &Found, taker: &Taker<'_>) -> Vec<InstanceShown> {
        if !found.is_taken_by(taker) {
            return Vec::new();
        }
        let templates = uses(&self.namespace, taker.template());
        let newest = self.newest_mounted(found, taker);
        let mut all = Vec::new();
        for pod in &taker.pods {
            for own in uses(&self.namespace, &pod.takes) {
                let beside = own.taking.shadowed || own.taking.way == Way::PullImage;
                let container = container_of(pod, own.taking).filter(|one| idle(one, pod).is_none());
                let (Some(container), false, true) = (container, beside, self.takes(found, &own)) else {
                    continue;
                };
                let template = templates.iter().find(|one| one.is_same(&own) && !one.taking.shadowed);
                let gone = if template.is_none() { gone(&own, taker, &templates) } else { None };
                let own = &own;
                all.extend(self.instance(&Seen {
                    found,
                    taker,
                    pod,
                    container,
                    own,
                    template,
                    newest,
                    gone,
                }));
            }
        }
        all
    }

    fn instance(&self, seen: &Seen<'_>) -> Option<InstanceShown> {
        let Seen { found, taker, pod, container, own, template, gone, .. } = *seen;
        let judged = match (self.judged(seen)?, gone) {
            (judged, Some(why)) if judged.word == "current" => unknown(why, judged.grounds),
            (judged, _) => judged,
        };
        let behind = judged.word.ends_with("stale");
        let next = template.unwrap_or(own);
        let applies = judged
            .renew
            .then(|| renews(&self.namespace, taker, next, self.is_remade(&next.taking.from)))
            // What is only perhaps behind is told a command, and nothing that happens by itself.
            .filter(|text| behind || is_command(text));
        // The pod has a text of before, which a new one does not have.
        let by_text = matches!(own.taking.from, From::Text(_));
        let seems = seems(&self.namespace, taker, own).filter(|_| behind && !by_text).map(str::to_owned);
        let next = self.value_anywhere(found, next);
        let start = match own.taking.from {
            From::Text(_) => self.value_of(found, own).map(|id| vec![self.label(found, id)]),
            From::Secret { .. } | From::Map { .. } | From::Class(_) => None,
        };
        let Judged { word, sentence, doubt, grounds, .. } = judged;
        let sentence = self.names.told(&sentence, "");
        let lead = if behind { "to move it" } else { "to be certain" };
        let command = applies.as_ref().map(|applies| format!("; {lead}: {applies}")).unwrap_or_default();
        let not = seems.as_ref().map(|seems| format!(" (not: {seems})")).unwrap_or_default();
        Some(InstanceShown {
            secret: found.name.clone(),
            used_by: taker.shown(),
            keeper: KEEPER.into(),
            program: taker.shown(),
            pid: None,
            pod: Some(format!("{}/{}", pod.name, container.name)),
            started: container.started.map(time),
            name: Some(self.name(&own.name)),
            start,
            memory: MemoryShown { searched: "not searched".into(), values: Vec::new() },
            next: next.map(|id| self.label(found, id)),
            verdict: word.into(),
            cause: format!("{sentence}{command}{not}"),
            sentence,
            applies,
            seems,
            // Those with one verdict are shown by their names.
            started_ticks: 0,
            unread_edit: false,
            doubt: doubt.map(Into::into),
            grounds: grounds.iter().map(|ground| self.names.told(ground, "")).collect(),
            evidence: Vec::new(),
        })
    }

    /// The value that is taken by this, also where it belongs to another secret.
    fn value_anywhere(&self, found: &Found, one: &Use<'_>) -> Option<ValueId> {
        let other = || {
            let numbers = self.holders.of(&self.values, one);
            numbers.into_iter().find_map(|number| self.value_of(self.found.get(number)?, one))
        };
        self.value_of(found, one).or_else(other)
    }

    /// The place of what is taken, in words; the value there, and its label.
    fn place_of(&self, seen: &Seen<'_>, one: &Use<'_>, whose: &str) -> (String, Option<ValueId>, String) {
        let place = match one.taking.from {
            From::Text(_) => format!("{whose} {}", one.name),
            From::Secret { .. } | From::Map { .. } | From::Class(_) => one.object(),
        };
        let value = self.value_anywhere(seen.found, one);
        let label = value.map(|id| self.label(seen.found, id));
        (place, value, label.unwrap_or_else(|| "another value".to_owned()))
    }

    /// The verdict; `None`: nothing is visible of it.
    fn judged(&self, seen: &Seen<'_>) -> Option<Judged> {
        let Seen { taker, pod, container, own, template, .. } = *seen;
        if let From::Class(_) = own.taking.from {
            return self.of_class(seen);
        }
        let (place, value, label) = self.place_of(seen, own, &format!("pod/{}", pod.name));
        let next = template.unwrap_or(own);
        let (new_place, new, new_label) = self.place_of(seen, next, &taker.shown());
        let newer = Source { history: None, key: "", place: &new_place, label: &new_label, remade: false };
        let elsewhere = place != new_place;
        if elsewhere && new.is_none() {
            return Some(hidden(&new_place, Vec::new()));
        }
        if let From::Text(data) = &own.taking.from {
            let same_text = matches!(&next.taking.from, From::Text(other) if other == data);
            return Some(of_text(&label, same_text || value == new, &newer));
        }
        let source = Source {
            history: self.namespace.history(&own.taking.from),
            key: own.key.unwrap_or_default(),
            place: &place,
            label: &label,
            remade: self.is_remade(&own.taking.from),
        };
        let judged = judged(own.taking, container, pod, &source);
        Some(if elsewhere && value != new { moved(judged, &place, &newer) } else { judged })
    }

    /// Whether there was another object of this name.
    fn is_remade(&self, from: &From) -> bool {
        from.object().is_some_and(|object| self.remade.contains(&object))
    }

    /// The verdict about what a CSI driver mounted.
    fn of_class(&self, seen: &Seen<'_>) -> Option<Judged> {
        let own = self.mounted(seen.found, seen.pod)?;
        // Of pods that were made in the same second, none is known to be the newer one.
        let newer = |made: &Option<i64>| seen.pod.created.is_some() && *made > seen.pod.created;
        let newest = seen.newest.filter(|(made, _)| newer(made));
        Some(mounted(own, newest.map(|(_, newest)| newest)))
    }

    /// What the CSI driver mounted of a secret in a pod.
    fn mounted(&self, found: &Found, pod: &Pod) -> Option<&Mounted> {
        let (class, object) = found.object.as_ref()?;
        self.namespace.mounted_in(pod).find(|one| one.class == *class && one.object == *object)
    }

    /// The same, in that pod of a taker which was made last.
    fn newest_mounted(&self, found: &Found, taker: &Taker<'_>) -> Option<(Option<i64>, &Mounted)> {
        let with = taker.pods.iter().filter_map(|pod| Some((pod.created, self.mounted(found, pod)?)));
        with.max_by_key(|(created, _)| *created)
    }
}
