//! Who wrote which field, and when: `managedFields`.
//!
//! A writer that gives a field another value owns it from then on, alone, and the time of its entry is set. Who owns nothing
//! any more has no entry. Source: `merge/update.go` of <https://github.com/kubernetes-sigs/structured-merge-diff> and
//! `managedfieldsupdater.go` of
//! <https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal>.
//! Lists are one field here; the real server looks into them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The place of a field.
type Place = Vec<String>;

/// The writers of one object: their fields, and when each wrote last.
#[derive(Default, Clone)]
pub(super) struct Writers(BTreeMap<String, (BTreeSet<Place>, String)>);

impl Writers {
    /// Notes a write at this time.
    pub(super) fn note(&mut self, by: &str, before: &Value, after: &Value, time: &str) {
        let (before, after) = (fields(before), fields(after));
        let changed: BTreeSet<Place> = after
            .iter()
            .filter(|(place, value)| before.get(*place) != Some(*value))
            .map(|(place, _)| place.clone())
            .collect();
        self.0.retain(|_, (own, _)| {
            own.retain(|place| after.contains_key(place) && !changed.contains(place));
            !own.is_empty()
        });
        // Who only removes fields has no entry.
        if !changed.is_empty() {
            let (own, at) = self.0.entry(by.to_owned()).or_default();
            own.extend(changed);
            time.clone_into(at);
        }
    }

    /// As an object shows them, the earliest first.
    pub(super) fn shown(&self, api_version: &str) -> Value {
        let mut all: Vec<(&String, &(BTreeSet<Place>, String))> = self.0.iter().collect();
        all.sort_by(|one, other| one.1.1.cmp(&other.1.1));
        let entry = |(by, (own, time)): (&String, &(BTreeSet<Place>, String))| {
            json!({
                "manager": by, "operation": "Update", "apiVersion": api_version, "time": time,
                "fieldsType": "FieldsV1", "fieldsV1": fields_v1(own),
            })
        };
        all.into_iter().map(entry).collect()
    }
}

/// The fields of an object, without those that the server keeps.
fn fields(object: &Value) -> BTreeMap<Place, Value> {
    let mut all = BTreeMap::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for name in ["labels", "annotations", "ownerReferences", "finalizers"] {
                    if let Some(value) = value.get(name) {
                        add(&mut all, vec!["metadata".to_owned(), name.to_owned()], value);
                    }
                }
            }
            _ => add(&mut all, vec![name.clone()], value),
        }
    }
    all
}

fn add(all: &mut BTreeMap<Place, Value>, place: Place, value: &Value) {
    let Value::Object(map) = value else {
        all.insert(place, value.clone());
        return;
    };
    let below = |name: &str| [place.as_slice(), &[name.to_owned()]].concat();
    // A map is a field itself; what has a fixed form, such as `spec`, is not.
    if place.last().is_some_and(|last| ["data", "labels", "annotations"].contains(&last.as_str())) {
        all.insert(below("."), Value::Null);
    }
    for (name, value) in map {
        add(all, below(name), value);
    }
}

/// `fieldsV1` of an entry.
fn fields_v1(own: &BTreeSet<Place>) -> Value {
    let mut all = Value::Object(Map::new());
    for place in own {
        let mut at = &mut all;
        for name in place {
            let name = if name == "." { name.clone() } else { format!("f:{name}") };
            at = at.as_object_mut().unwrap().entry(name).or_insert_with(|| json!({}));
        }
    }
    all
}
