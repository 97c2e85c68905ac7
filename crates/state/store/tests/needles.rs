//! Values of retired versions that stay sealed for searching. They are used for nothing else, and are removed when the
//! owner does not want them.

use std::fs;

use keyroll_database::rusqlite::Connection;
use keyroll_port::{Label, RotationId, Staging as _, Store};
use keyroll_store::SealedStore;

use crate::sample::{Place, stage, text, value, with_id};

fn rotation() -> RotationId {
    RotationId("0190-1".to_owned())
}

/// The values that are still sealed for searching, by version.
async fn needles(store: &SealedStore, secret: &str) -> Vec<(u32, String)> {
    let all = store.needles(secret).await.unwrap();
    let text = |value: &keyroll_secret::SecretBytes| String::from_utf8(value.expose().to_vec()).unwrap();
    all.iter().flat_map(|(number, values)| values.iter().map(|one| (*number, text(one)))).collect()
}

/// Replaces the current version of `db`, and retires the one before it.
async fn replaced(store: &SealedStore, before: u32, value: &str) {
    let intent = u64::from(before);
    store.keep("db", &rotation(), intent, &with_id(&format!("key-{intent}"), value)).await.unwrap();
    let next = stage(store, "db", &rotation(), intent).await.unwrap();
    store.promote("db", before, next).await.unwrap();
    let versions = store.versions("db").await.unwrap();
    if let Some(made_by) = versions.iter().find(|it| it.number == before).and_then(|it| it.made_by.as_ref()) {
        store.forget("db", made_by).await.unwrap();
    }
    store.retire("db", before).await.unwrap();
}

#[tokio::test]
async fn a_retired_value_stays_where_its_owner_wants_it_and_is_given_to_nobody_who_uses_it() {
    let place = Place::new();
    let store = place.open().keeping("db");
    let (first, second, third) = (value(), value(), value());
    store.add("db", &with_id("key-0", &first)).await.unwrap();
    replaced(&store, 1, &second).await;
    // A second time is harmless.
    store.retire("db", 1).await.unwrap();
    assert_eq!(text(&store, "db", 1).await, None);
    assert_eq!(needles(&store, "db").await, [(1, first.clone())]);
    replaced(&store, 2, &third).await;
    assert!(store.kept("db", &rotation(), 1).await.unwrap().is_none(), "it is kept in one place alone");
    drop(store);
    // Every handle of the store finds them, whether or not it asks for retired values to stay.
    let store = place.open();
    assert_eq!(needles(&store, "db").await, [(1, first.clone()), (2, second.clone())]);
    let all = store.versions("db").await.unwrap();
    let labels: Vec<Label> = all.iter().map(|it| it.label).collect();
    assert_eq!(labels, [Label::Retired, Label::Retired, Label::Current]);
    for (number, expected) in [(1, None), (2, None), (3, Some(third))] {
        assert_eq!(text(&store, "db", number).await, expected);
    }
    drop(store);
    for (name, bytes) in fs::read_dir(place.folder()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.clone(), fs::read(path).unwrap())
    }) {
        for value in [&first, &second] {
            let stands = bytes.windows(value.len()).any(|part| part == value.as_bytes());
            assert!(!stands, "a value stands in {name:?}");
        }
    }
}

#[tokio::test]
async fn without_that_wish_nothing_stays_and_who_takes_it_back_drops_all() {
    let place = Place::new();
    let store = place.open().keeping("other");
    store.add("db", &with_id("key-0", &value())).await.unwrap();
    replaced(&store, 1, &value()).await;
    assert!(needles(&store, "db").await.is_empty());
    drop(store);
    let store = place.open().keeping("db");
    replaced(&store, 2, &value()).await;
    assert_eq!(needles(&store, "db").await.len(), 1);
    drop(store);
    let store = place.open();
    replaced(&store, 3, &value()).await;
    assert!(needles(&store, "db").await.is_empty());
    drop(store);
    let rows: i64 = Connection::open(place.database())
        .unwrap()
        .query_row("SELECT count(*) FROM needles", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
    place.open();
}

#[tokio::test]
async fn a_version_that_was_given_up_or_closed_stays_as_one_that_was_retired() {
    let place = Place::new();
    let store = place.open().keeping("db");
    let (first, second) = (value(), value());
    store.add("db", &with_id("key-0", &first)).await.unwrap();
    store.keep("db", &rotation(), 1, &with_id("key-1", &second)).await.unwrap();
    stage(&store, "db", &rotation(), 1).await.unwrap();
    for _ in 0..2 {
        store.retire("db", 2).await.unwrap();
        store.discard("db", &rotation(), None, None).await.unwrap();
    }
    store.close("db", 1).await.unwrap();
    assert_eq!(needles(&store, "db").await, [(1, first), (2, second)]);
    assert_eq!((text(&store, "db", 1).await, text(&store, "db", 2).await), (None, None));
}

#[tokio::test]
async fn what_is_not_what_was_sealed_is_refused() {
    let place = Place::new();
    let store = place.open().keeping("db");
    store.add("db", &with_id("key-0", &value())).await.unwrap();
    replaced(&store, 1, &value()).await;
    replaced(&store, 2, &value()).await;
    drop(store);
    let good = fs::read(place.database()).unwrap();
    for sql in [
        "DELETE FROM needles WHERE number = 1",
        "UPDATE needles SET sealed = (SELECT sealed FROM needles WHERE number = 2) WHERE number = 1",
        "UPDATE needles SET number = 3 WHERE number = 2",
        "INSERT INTO needles SELECT secret, 3, sealed FROM versions WHERE number = 3",
    ] {
        fs::write(place.database(), &good).unwrap();
        assert_eq!(Connection::open(place.database()).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
        assert_eq!(place.try_open().err().map(|failure| failure.code.as_str()), Some("K0603"), "{sql}");
    }
    fs::write(place.database(), &good).unwrap();
    place.open();
}

#[tokio::test]
async fn a_store_of_before_there_were_any_is_opened() {
    let place = Place::new();
    let store = place.open();
    let (first, second) = (value(), value());
    store.add("db", &with_id("key-0", &first)).await.unwrap();
    replaced(&store, 1, &second).await;
    drop(store);
    let connection = Connection::open(place.database()).unwrap();
    connection.execute_batch("DROP TABLE needles; PRAGMA user_version = 1").unwrap();
    drop(connection);
    let store = place.open().keeping("db");
    assert_eq!(text(&store, "db", 2).await, Some(second.clone()));
    assert!(needles(&store, "db").await.is_empty());
    replaced(&store, 2, &value()).await;
    assert_eq!(needles(&store, "db").await, [(2, second)]);
}
