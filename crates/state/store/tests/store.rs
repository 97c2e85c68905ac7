//! The sealed store's contract: what each call changes, and that a second call is harmless.

use keyroll_port::{Class, Failure, Label, MadeBy, RotationId, Staging as _, Store};
use keyroll_secret::{CredentialId, SealingKey};
use keyroll_store::SealedStore;

use crate::sample::{self, Place, credential, stage, text, value, with_id};

fn code<T>(result: Result<T, Failure>) -> (&'static str, Class) {
    let failure = result.err().expect("a failure");
    (failure.code.as_str(), failure.class)
}

fn rotation() -> RotationId {
    RotationId("0190-1".to_owned())
}

async fn labels(store: &SealedStore, secret: &str) -> Vec<(u32, Label)> {
    store.versions(secret).await.unwrap().iter().map(|it| (it.number, it.label)).collect()
}

#[tokio::test]
async fn a_whole_rotation_each_step_twice() {
    let place = Place::new();
    let store = place.open();
    let (old, new) = (value(), value());
    let first = store.add("db", &with_id("key-1", &old)).await.unwrap();
    assert_eq!((first.number, first.label), (1, Label::Current));
    assert_eq!(first.credential, Some(CredentialId::new("key-1")));

    // The value is chosen without an id, then minted with an id under another intent.
    let r = rotation();
    for _ in 0..2 {
        store.keep("db", &r, 2, &credential(&new)).await.unwrap();
        store.keep("db", &r, 4, &with_id("key-2", &new)).await.unwrap();
        assert_eq!(stage(&store, "db", &r, 4).await.unwrap(), 2);
    }
    assert_eq!(labels(&store, "db").await, [(1, Label::Current), (2, Label::Pending)]);
    for _ in 0..2 {
        store.promote("db", 1, 2).await.unwrap();
        assert_eq!(labels(&store, "db").await, [(1, Label::Previous), (2, Label::Current)]);
    }
    for _ in 0..2 {
        store.demote("db", 1, 2).await.unwrap();
        assert_eq!(labels(&store, "db").await, [(1, Label::Current), (2, Label::Pending)]);
    }
    store.promote("db", 1, 2).await.unwrap();
    assert_eq!(code(store.retire("db", 2).await), ("K0613", Class::Permanent));
    drop(store);

    let store = place.open();
    assert_eq!(text(&store, "db", 1).await, Some(old));
    for _ in 0..2 {
        store.retire("db", 1).await.unwrap();
        assert_eq!(labels(&store, "db").await, [(1, Label::Retired), (2, Label::Current)]);
    }
    assert_eq!(text(&store, "db", 1).await, None);
    assert_eq!(text(&store, "db", 2).await, Some(new));
    let versions = store.versions("db").await.unwrap();
    assert_eq!(versions[0].fingerprints, first.fingerprints, "fingerprints stay");
    // Late repetitions change nothing.
    store.promote("db", 1, 2).await.unwrap();
    assert_eq!(stage(&store, "db", &r, 4).await.unwrap(), 2);
    assert!(store.kept("db", &r, 4).await.unwrap().is_some());
}

#[tokio::test]
async fn a_version_that_is_given_up_takes_what_was_kept_with_it() {
    let place = Place::new();
    let store = place.open();
    let (r, new) = (rotation(), value());
    store.add("db", &credential(&value())).await.unwrap();
    store.keep("db", &r, 2, &credential(&new)).await.unwrap();
    store.keep("db", &r, 4, &with_id("key-2", &new)).await.unwrap();
    assert_eq!(stage(&store, "db", &r, 4).await.unwrap(), 2);
    let made_by = store.versions("db").await.unwrap().remove(1).made_by.unwrap();
    assert_eq!(made_by, MadeBy { rotation: r.clone(), intent: 4 });
    store.forget("db", &made_by).await.unwrap();
    store.retire("db", 2).await.unwrap();
    for intent in [2, 4] {
        assert!(store.kept("db", &r, intent).await.unwrap().is_none());
        // A late writer does not bring it back.
        store.keep("db", &r, intent, &with_id("key-2", &new)).await.ok();
        assert!(store.kept("db", &r, intent).await.unwrap().is_none());
    }
    assert_eq!(stage(&store, "db", &r, 4).await.unwrap(), 2, "and is no version once more");
    assert_eq!(text(&store, "db", 2).await, None);
    assert_eq!(code(store.promote("db", 1, 2).await), ("K0613", Class::Permanent));
    // The next one gets the next number.
    store.keep("db", &r, 9, &with_id("key-3", &value())).await.unwrap();
    assert_eq!(stage(&store, "db", &r, 9).await.unwrap(), 3);
}

#[tokio::test]
async fn what_a_rotation_gave_up_is_dropped_and_nothing_else() {
    let place = Place::new();
    let store = place.open();
    let (r, other) = (rotation(), RotationId("0190-2".to_owned()));
    let (leaked, next, chosen, slot) = (value(), value(), value(), value());
    store.add("db", &with_id("key-1", &value())).await.unwrap();
    // Five credentials: one of another rotation; one chosen and minted; one in the new one's slot; one only chosen; and
    // the new one, chosen and minted.
    store.keep("db", &other, 4, &with_id("key-2", &value())).await.unwrap();
    store.keep("db", &r, 2, &credential(&leaked)).await.unwrap();
    store.keep("db", &r, 4, &with_id("key-2", &leaked)).await.unwrap();
    store.keep("db", &r, 6, &with_id("key-3", &slot)).await.unwrap();
    store.keep("db", &r, 7, &credential(&chosen)).await.unwrap();
    store.keep("db", &r, 8, &credential(&next)).await.unwrap();
    store.keep("db", &r, 9, &with_id("key-3", &next)).await.unwrap();
    for (intent, number) in [(4, 2), (9, 3)] {
        assert_eq!(stage(&store, "db", &r, intent).await.unwrap(), number);
    }
    let sealed = async |store: &SealedStore| {
        let mut sealed = Vec::new();
        for (of, intent) in [(&other, 4), (&r, 2), (&r, 4), (&r, 6), (&r, 7), (&r, 8), (&r, 9)] {
            sealed.push(store.kept("db", of, intent).await.unwrap().is_some());
        }
        sealed
    };
    for _ in 0..2 {
        store.discard("db", &r, Some(&CredentialId::new("key-2")), Some(9)).await.unwrap();
        let labels = labels(&store, "db").await;
        assert_eq!(labels, [(1, Label::Current), (2, Label::Pending), (3, Label::Pending)]);
        assert_eq!(sealed(&store).await, [true, false, false, true, true, true, true]);
    }
    for _ in 0..2 {
        store.discard("db", &r, None, Some(9)).await.unwrap();
        assert_eq!(sealed(&store).await, [true, false, false, false, false, true, true]);
    }
    drop(store);
    let store = place.open();
    assert_eq!(text(&store, "db", 2).await.as_deref(), Some(leaked.as_str()), "a version is the store's own");
    assert_eq!(text(&store, "db", 3).await, Some(next));
    // A late writer does not bring it back.
    store.keep("db", &r, 4, &with_id("key-2", &leaked)).await.ok();
    assert!(store.kept("db", &r, 4).await.unwrap().is_none());
}

#[tokio::test]
async fn one_intent_has_one_value() {
    let place = Place::new();
    let store = place.open();
    let (r, new) = (rotation(), value());
    store.add("db", &credential(&value())).await.unwrap();
    store.keep("db", &r, 2, &credential(&new)).await.unwrap();
    assert_eq!(code(store.keep("db", &r, 2, &credential(&value())).await).0, "K0613");
    store.keep("db", &r, 2, &with_id("key-2", &new)).await.unwrap();
    store.keep("db", &r, 2, &credential(&new)).await.unwrap();
    assert_eq!(code(store.keep("db", &r, 2, &with_id("key-9", &new)).await).0, "K0613");
    let kept = store.kept("db", &r, 2).await.unwrap().unwrap();
    assert_eq!(kept.id, Some(CredentialId::new("key-2")));
    assert!(store.kept("db", &r, 3).await.unwrap().is_none());
    assert_eq!(code(stage(&store, "db", &r, 3).await).0, "K0805");
}

#[tokio::test]
async fn the_same_value_has_one_name_and_one_version() {
    let place = Place::new();
    let store = place.open();
    let (r, shared) = (rotation(), value());
    store.add("a", &credential(&shared)).await.unwrap();
    assert_eq!(code(store.add("b", &credential(&shared)).await).0, "K0613");
    assert_eq!(code(store.add("a", &credential(&value())).await).0, "K0613");
    // The same is known before anything is written.
    assert_eq!(code(store.check("b", &credential(&shared), false).await).0, "K0613");
    assert_eq!(code(store.check("a", &credential(&value()), false).await).0, "K0613");
    assert!(store.check("b", &credential(&value()), true).await.is_err(), "nothing is there to replace");
    store.check("b", &credential(&value()), false).await.unwrap();
    store.check("a", &credential(&value()), true).await.unwrap();
    assert_eq!(store.secrets().await.unwrap(), ["a"]);
    // A value that replaced itself would be revoked with itself.
    store.keep("a", &r, 2, &credential(&shared)).await.unwrap();
    assert_eq!(code(stage(&store, "a", &r, 2).await).0, "K0613");
}

#[tokio::test]
async fn only_the_expected_version_is_replaced() {
    let place = Place::new();
    let store = place.open();
    let r = rotation();
    store.add("db", &credential(&value())).await.unwrap();
    for intent in [2, 3] {
        store.keep("db", &r, intent, &credential(&value())).await.unwrap();
        stage(&store, "db", &r, intent).await.unwrap();
    }
    store.promote("db", 1, 2).await.unwrap();
    for (expected, next, refused) in [(1, 3, "K0613"), (3, 2, "K0613"), (2, 2, "K0613"), (2, 7, "K0805")] {
        assert_eq!(code(store.promote("db", expected, next).await).0, refused);
    }
    assert_eq!(code(store.demote("db", 3, 2).await).0, "K0613");
    let expected = [(1, Label::Previous), (2, Label::Current), (3, Label::Pending)];
    assert_eq!(labels(&store, "db").await, expected);
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_written() {
    let place = Place::new();
    let store = place.open();
    for name in ["", "a\nb", &"x".repeat(256)] {
        assert_eq!(code(store.add(name, &credential(&value())).await).0, "K0806");
    }
    assert_eq!(code(store.add("a", &credential("")).await).0, "K0806");
    assert_eq!(code(store.add("a", &credential(&"x".repeat(64 * 1024 + 1))).await).0, "K0806");
    assert_eq!(code(store.add("a", &sample::without_secret()).await).0, "K0806");
    assert!(store.secrets().await.unwrap().is_empty());
    assert_eq!(code(store.versions("a").await).0, "K0805");
    assert_eq!(code(Store::read(&store, "a", 1).await).0, "K0805");
    assert_eq!(code(store.retire("a", 1).await).0, "K0805");
    store.add("a", &credential(&value())).await.unwrap();
    assert!(Store::read(&store, "a", 2).await.unwrap().is_none());
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let place = Place::new();
    place.open().add("a", &credential(&value())).await.unwrap();
    let other = SealedStore::open(&place.folder(), SealingKey::generate().unwrap());
    assert_eq!(code(other).0, "K0826");
}

#[tokio::test]
async fn a_secret_may_begin_without_a_version_and_end_without_one() {
    let place = Place::new();
    let store = place.open();
    let (r, new) = (rotation(), value());
    for _ in 0..2 {
        store.found("db").await.unwrap();
        assert_eq!(labels(&store, "db").await, []);
    }
    store.keep("db", &r, 4, &with_id("key-1", &new)).await.unwrap();
    assert_eq!(stage(&store, "db", &r, 4).await.unwrap(), 1);
    for _ in 0..2 {
        store.promote("db", 0, 1).await.unwrap();
        assert_eq!(labels(&store, "db").await, [(1, Label::Current)]);
    }
    for _ in 0..2 {
        store.demote("db", 0, 1).await.unwrap();
        assert_eq!(labels(&store, "db").await, [(1, Label::Pending)]);
    }
    store.promote("db", 0, 1).await.unwrap();
    // While another version is current, none can become the first.
    store.keep("db", &r, 6, &with_id("key-2", &value())).await.unwrap();
    assert_eq!(stage(&store, "db", &r, 6).await.unwrap(), 2);
    assert_eq!(code(store.promote("db", 0, 2).await), ("K0613", Class::Permanent));
    store.retire("db", 2).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(text(&store, "db", 1).await, Some(new));
    for _ in 0..2 {
        store.close("db", 1).await.unwrap();
        assert_eq!(labels(&store, "db").await, [(1, Label::Retired), (2, Label::Retired)]);
        assert_eq!(text(&store, "db", 1).await, None);
    }
    assert_eq!(
        code(store.promote("db", 0, 1).await),
        ("K0613", Class::Permanent),
        "what is dropped stays so"
    );
}

#[tokio::test]
async fn a_secret_that_was_only_begun_can_be_taken_in() {
    let place = Place::new();
    let store = place.open();
    store.found("db").await.unwrap();
    store.add("db", &credential(&value())).await.unwrap();
    assert_eq!(labels(&store, "db").await, [(1, Label::Current)]);
}

#[tokio::test]
async fn a_value_that_keyroll_did_not_write_becomes_the_current_version_once() {
    let place = Place::new();
    let store = place.open();
    let (old, by_hand) = (value(), value());
    assert_eq!(code(store.accept("db", &credential(&old)).await), ("K0805", Class::Permanent));
    store.add("db", &with_id("key-1", &old)).await.unwrap();
    for _ in 0..2 {
        let info = store.accept("db", &with_id("key-2", &by_hand)).await.unwrap();
        assert_eq!((info.number, info.label, info.made_by), (2, Label::Current, None));
        assert_eq!(labels(&store, "db").await, [(1, Label::Previous), (2, Label::Current)]);
    }
    assert_eq!(text(&store, "db", 1).await, Some(old.clone()), "the one before it stays sealed");
    // It was a mistake: the one before it is current again, and then not.
    for (value, number) in [(&old, 1), (&by_hand, 2)] {
        let info = store.accept("db", &credential(value)).await.unwrap();
        assert_eq!((info.number, info.label), (number, Label::Current));
        let current = (number, Label::Current);
        let previous = (3 - number, Label::Previous);
        let mut both = [current, previous];
        both.sort_by_key(|(number, _)| *number);
        assert_eq!(labels(&store, "db").await, both);
    }
    // The value of another secret is not taken over.
    store.add("other", &credential(&value())).await.unwrap();
    assert_eq!(code(store.accept("other", &credential(&by_hand)).await), ("K0613", Class::Permanent));
    // While a rotation has a pending version, it decides which one is next.
    let r = rotation();
    store.keep("db", &r, 4, &with_id("key-3", &value())).await.unwrap();
    assert_eq!(stage(&store, "db", &r, 4).await.unwrap(), 3);
    assert_eq!(code(store.accept("db", &credential(&value())).await), ("K0613", Class::Permanent));
    store.promote("db", 2, 3).await.unwrap();
    store.retire("db", 2).await.unwrap();
    // The key of a version that was retired may be ended.
    assert_eq!(code(store.accept("db", &credential(&by_hand)).await), ("K0613", Class::Permanent));
    drop(store);
    assert_eq!(text(&place.open(), "db", 1).await, Some(old), "all of it is vouched for");
}
