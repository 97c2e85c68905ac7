//! When the keys of a Secret were changed last.
//!
//! The API does not say it, but shows a bound. Each writer has an entry with the fields that it owns. A write that gives a
//! field another value makes its writer the owner and sets the time of the writer's entry; a write that changes nothing
//! keeps the time. So no key was changed after the time of an update that owns it, nor before its Secret was made. Source:
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>.
//!
//! A server-side apply is no such bound: if the object already is as it is applied, the applier comes to own the key and
//! keeps its earlier time. It then is the only owner if another applier gives the key up, or if its entry takes over those
//! of others, as Flux and kubectl do. Source: `managedFieldsUpdater.Apply` of
//! <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/managedfieldsupdater.go>.
//!
//! It was changed *at* that time only if nothing else can have set the time: see [`Write::proves`]. Times are whole seconds,
//! so one that was made and written again within the same second has had two values: see [`Write::is_the_first`].

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use keyroll_kube::Owned;

use crate::model::Changed;

/// The API server keeps the entries of ten writers that update, and puts older ones together in this one. Source:
/// <https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/capmanagers.go>.
const ANCIENT: &str = "ancient-changes";

/// One entry of `managedFields`.
struct Write {
    by: String,
    at: Option<i64>,
    /// It was made by an update, a patch or a creation, and not by a server-side apply.
    update: bool,
    owned: Owned,
}

/// When each of these keys was changed last. A key that no entry owns has no time.
pub(crate) fn changed<'a>(
    meta: &ObjectMeta,
    keys: impl IntoIterator<Item = &'a String>,
) -> BTreeMap<String, Changed> {
    let writes: Vec<Write> = meta.managed_fields.iter().flatten().map(Write::of).collect();
    let created = meta.creation_timestamp.as_ref().map(seconds);
    keys.into_iter().filter_map(|key| Some((key.clone(), last(&writes, created, key)?))).collect()
}

/// Whether the Secret has one writer of the second in which it was made. With several, one may have changed what the other
/// made, and a container that was started between them has the former value.
pub(crate) fn made_at_once(meta: &ObjectMeta) -> bool {
    let Some(created) = meta.creation_timestamp.as_ref().map(seconds) else { return false };
    let then = |entry: &&ManagedFieldsEntry| entry.time.as_ref().is_none_or(|time| seconds(time) <= created);
    meta.managed_fields.iter().flatten().filter(then).count() == 1
}

/// A time of the API, in seconds since the Unix epoch.
pub(crate) fn seconds(time: &Time) -> i64 {
    time.0.as_second()
}

fn last(writes: &[Write], created: Option<i64>, key: &str) -> Option<Changed> {
    let bound = writes.iter().any(|write| write.update && write.owned.names(key));
    let mut latest: Option<(i64, &Write)> = None;
    for write in writes.iter().filter(|write| write.owned.may_have(key) && (write.update || !bound)) {
        // Without a time it may be later than all others.
        let at = write.at?;
        if latest.is_none_or(|(time, _)| at > time) {
            latest = Some((at, write));
        }
    }
    let (at, write) = latest?;
    let by = write.by.clone();
    Some(match created {
        // The key has its value since its Secret was made, or since the same second, in which it may have had another.
        Some(created) if created >= at => {
            Changed { at: created, by, sure: write.is_the_first(created, writes), bound }
        }
        Some(_) => Changed { at, by, sure: write.proves(at, key, writes), bound },
        None => Changed { at, by, sure: false, bound },
    })
}

impl Write {
    fn of(entry: &ManagedFieldsEntry) -> Self {
        Self {
            by: entry.manager.clone().unwrap_or_default(),
            at: entry.time.as_ref().map(seconds),
            update: entry.operation.as_deref() == Some("Update"),
            owned: Owned::of(entry),
        }
    }

    /// Whether this write made the Secret, which nobody else wrote in that second. Whoever creates one owns its type; of
    /// an apply nothing but the keys need be seen.
    fn is_the_first(&self, created: i64, writes: &[Self]) -> bool {
        let mut others = writes.iter().filter(|other| !std::ptr::eq(*other, self));
        let alone = others.all(|other| other.at.is_some_and(|other| other > created));
        alone && (!self.update || self.owned.has_others())
    }

    /// Whether this write, the latest that may have changed the key, gave it another value then.
    ///
    /// The writer owns no other field; nor did it lose one to a later writer, whose entry would show that. An apply proves
    /// nothing: its time is also set when it drops a field, or comes to own a value that was there. One case leaves no
    /// trace: the writer changed another field then, which was removed since, or which an apply with an earlier time has.
    fn proves(&self, at: i64, key: &str, writes: &[Self]) -> bool {
        let others = writes.iter().filter(|other| !std::ptr::eq(*other, self));
        let latest = others.map(|other| other.at).all(|other| other.is_some_and(|other| other < at));
        self.update && self.by != ANCIENT && self.owned.is_only(key) && latest
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const MADE: i64 = 1_767_225_600;

    fn time(minute: i64) -> String {
        format!("2026-01-01T00:{minute:02}:00Z")
    }

    /// An entry of this manager, from this minute.
    fn entry(manager: &str, minute: i64, fields: Value) -> Value {
        let mut entry =
            json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": time(minute)});
        entry["fieldsType"] = json!("FieldsV1");
        entry["fieldsV1"] = fields;
        entry
    }

    /// Of a Secret that was made in minute 0, with the keys `a` and `b`.
    fn read(entries: Value) -> BTreeMap<String, Changed> {
        let mut meta = json!({"name": "api", "creationTimestamp": time(0)});
        meta["managedFields"] = entries;
        of(meta)
    }

    fn of(meta: Value) -> BTreeMap<String, Changed> {
        let meta: ObjectMeta = serde_json::from_value(meta).unwrap();
        changed(&meta, &["a".to_owned(), "b".to_owned()])
    }

    fn at(minute: i64, by: &str, sure: bool) -> Option<Changed> {
        Some(Changed { at: MADE + 60 * minute, by: by.to_owned(), sure, bound: true })
    }

    /// It may have been changed later.
    fn open(minute: i64, by: &str, sure: bool) -> Option<Changed> {
        Some(Changed { bound: false, ..at(minute, by, sure)? })
    }

    fn data(keys: &[&str]) -> Value {
        let keys: serde_json::Map<String, Value> =
            keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
        json!({ "f:data": keys })
    }

    #[test]
    fn a_key_was_not_changed_after_the_last_write_of_its_owners() {
        let made =
            entry("kubectl-create", 0, json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:type": {}}));
        let read = read(json!([made, entry("one", 5, data(&["a"])), entry("two", 9, data(&["a"]))]));
        assert_eq!(read.get("a").cloned(), at(9, "two", true));
        assert_eq!(read.get("b").cloned(), at(0, "kubectl-create", true));
    }

    #[test]
    fn a_write_that_owns_more_may_have_changed_something_else() {
        let both = read(json!([entry("two", 9, data(&["a", "b"]))]));
        assert_eq!(both.get("a").cloned(), at(9, "two", false));
        let mut labelled = data(&["a"]);
        labelled["f:metadata"] = json!({"f:labels": {"f:l": {}}});
        assert_eq!(read(json!([entry("two", 9, labelled)])).get("a").cloned(), at(9, "two", false));
    }

    #[test]
    fn a_later_writer_may_have_taken_another_field_over() {
        let later = read(json!([entry("one", 5, data(&["a"])), entry("two", 9, data(&["b"]))]));
        assert_eq!(later.get("a").cloned(), at(5, "one", false));
        assert_eq!(later.get("b").cloned(), at(9, "two", true));
        let mut timeless = entry("two", 9, json!({"f:type": {}}));
        timeless["time"] = Value::Null;
        let read = read(json!([entry("one", 5, data(&["a"])), timeless]));
        assert_eq!(read.get("a").cloned(), at(5, "one", false));
    }

    #[test]
    fn an_apply_and_a_collection_of_old_writes_prove_nothing() {
        let mut applied = entry("flux", 5, data(&["a"]));
        applied["operation"] = json!("Apply");
        assert_eq!(read(json!([applied])).get("a").cloned(), open(5, "flux", false));
        // The update that owns it is a bound, whatever the apply says.
        for (minute, time) in [(3, json!(time(3))), (9, json!(time(9))), (0, Value::Null)] {
            applied["time"] = time;
            let both = read(json!([applied, entry("two", 5, data(&["a"]))]));
            assert_eq!(both.get("a").cloned(), at(5, "two", minute == 3), "{minute}");
        }
        let ancient = read(json!([entry(ANCIENT, 5, data(&["a"]))]));
        assert_eq!(ancient.get("a").cloned(), at(5, ANCIENT, false));
    }

    #[test]
    fn an_entry_that_names_no_keys_counts_for_all_of_them() {
        let read = read(json!([entry("one", 5, data(&["a"])), entry("two", 9, json!({"f:data": {}}))]));
        assert_eq!(read.get("a").cloned(), at(9, "two", false));
        assert_eq!(read.get("b").cloned(), open(9, "two", false));
    }

    #[test]
    fn a_text_that_was_applied_counts_as_its_key() {
        let read = read(json!([
            entry("one", 5, data(&["a"])),
            entry("two", 9, json!({"f:stringData": {"f:a": {}}}))
        ]));
        assert_eq!(read.get("a").cloned(), at(9, "two", true));
    }

    #[test]
    fn a_key_that_nobody_owns_has_no_time() {
        let read = read(json!([entry("one", 5, data(&["a"]))]));
        assert_eq!(read.get("b"), None);
        assert!(of(json!({"name": "api", "creationTimestamp": time(0)})).is_empty());
    }

    #[test]
    fn a_key_whose_owner_has_no_time_has_none() {
        let mut timeless = entry("two", 9, data(&["a"]));
        timeless["time"] = Value::Null;
        let read = read(json!([entry("one", 5, data(&["a", "b"])), timeless]));
        assert_eq!(read.get("a"), None);
        assert_eq!(read.get("b").cloned(), at(5, "one", false));
    }

    #[test]
    fn a_secret_that_two_wrote_in_its_first_second_was_not_made_at_once() {
        let once = |entries: Value| {
            let meta = json!({"name": "api", "creationTimestamp": time(0), "managedFields": entries});
            made_at_once(&serde_json::from_value(meta).unwrap())
        };
        let made = entry("kubectl-create", 0, json!({"f:type": {}}));
        let patched = entry("kubectl-patch", 0, data(&["a"]));
        assert!(once(json!([made])));
        assert!(!once(json!([made, patched])));
        assert!(once(json!([made, entry("kubectl-annotate", 5, json!({"f:metadata": {}}))])));
        let mut timeless = patched;
        timeless["time"] = Value::Null;
        assert!(!once(json!([made, timeless])));
        assert!(!once(json!([])));
    }

    #[test]
    fn a_secret_that_was_written_again_in_the_second_of_its_creation_may_have_had_another_value() {
        let made = |fields: Value| entry("kubectl-create", 0, fields);
        let typed = json!({"f:data": {".": {}, "f:a": {}}, "f:type": {}});
        assert_eq!(read(json!([made(typed.clone())])).get("a").cloned(), at(0, "kubectl-create", true));
        // Somebody else gave it its value: what the creator owned of the key is gone.
        let rest = json!({"f:data": {".": {}}, "f:type": {}});
        let patched = entry("kubectl-patch", 0, data(&["a"]));
        let both = read(json!([made(rest), patched.clone()]));
        assert!(both.get("a").is_some_and(|changed| !changed.sure && changed.at == MADE));
        // The creator owned nothing else, and has no entry any more.
        assert_eq!(read(json!([patched])).get("a").cloned(), at(0, "kubectl-patch", false));
        let mut applied = entry("flux", 0, data(&["a"]));
        applied["operation"] = json!("Apply");
        assert_eq!(read(json!([applied])).get("a").cloned(), open(0, "flux", true));
        // A later label changes nothing.
        let label = entry("kubectl-label", 5, json!({"f:metadata": {"f:labels": {"f:l": {}}}}));
        assert_eq!(read(json!([made(typed), label])).get("a").cloned(), at(0, "kubectl-create", true));
    }

    #[test]
    fn without_the_time_of_its_creation_nothing_is_sure() {
        let meta = json!({"name": "api", "managedFields": [entry("one", 5, data(&["a"]))]});
        assert_eq!(of(meta).get("a").cloned(), at(5, "one", false));
    }
}
