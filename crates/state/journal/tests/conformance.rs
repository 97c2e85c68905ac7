//! The journal's conformance suite, run by the journal on SQLite.

use async_trait::async_trait;
use keyroll_journal::{SqliteJournal, encode_opening};
use keyroll_port::conformance::journal::{JournalHarness, run};
use keyroll_port::{Journal, Opening, RotationId};
use keyroll_rotation::PROTOCOL;

use crate::sample::{self, Place};

/// An open journal in its folder.
struct Open {
    place: Place,
    journal: Option<SqliteJournal>,
}

#[async_trait]
impl JournalHarness for Open {
    async fn fresh(&mut self) {
        self.journal = None;
        self.place = Place::new();
        self.journal = Some(self.place.open());
    }

    async fn reopen(&mut self) {
        // One at a time: writes that the first one has not finished are lost.
        self.journal = None;
        self.journal = Some(self.place.open());
    }

    fn journal(&self) -> &dyn Journal {
        self.journal.as_ref().expect("an open journal")
    }

    fn opening(&self, secret: &str) -> Opening {
        sample::opening(secret)
    }

    async fn plant_newer(&mut self, id: &RotationId, secret: &str, protocol: u32) -> bool {
        let ours = String::from_utf8(encode_opening(&sample::opening(secret)).unwrap()).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let by = |number: u32, keyroll: &str| format!("{{\"number\":{number},\"keyroll\":\"{keyroll}\"}}");
        let newer = ours.replace(&by(PROTOCOL, version), &by(protocol, "9.9.9"));
        assert_ne!(newer, ours);
        // Written without the journal and without a link; the next opening compares the links.
        let database = rusqlite::Connection::open(self.place.database()).unwrap();
        let rotation = "INSERT INTO rotations (id, secret, open, epoch, unix_ms) VALUES (?1, ?2, 1, 0, 0)";
        database.execute(rotation, [&id.0, secret]).unwrap();
        let entry = "INSERT INTO entries (entry, rotation, seq, bytes, unix_ms, chain)
                     VALUES (100, last_insert_rowid(), 0, ?1, 0, zeroblob(32))";
        database.execute(entry, [newer.as_bytes()]).unwrap() == 1
    }
}

#[tokio::test]
async fn the_journal_keeps_every_rule() {
    run(&mut Open { place: Place::new(), journal: None }).await.unwrap();
}
