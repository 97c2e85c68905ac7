//! The state that a killed driver left, read from copies of its databases, so that the next driver finds the originals
//! unchanged.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};

use keyroll_database::rusqlite::Connection;
use keyroll_journal::decode_event;
use keyroll_rotation::Fact;
use keyroll_testkit::TempDir;
use zeroize::Zeroizing;

use crate::aimed::kind::Kind;
use crate::kill::scene::Scene;

/// A copy of a database with its log.
fn copied<T>(scene: &Scene, name: &str, with: impl FnOnce(&Connection) -> T) -> T {
    let folder = TempDir::new().unwrap();
    for part in [name.to_owned(), format!("{name}-wal")] {
        let from = scene.home().join("state").join(&part);
        if from.exists() {
            fs::copy(from, folder.path().join(part)).unwrap();
        }
    }
    with(&Connection::open(folder.path().join(name)).unwrap())
}

/// The operations that the last driver began and whose outcome it did not record; and a manual mint whose value is
/// sealed and that no entry names.
pub fn begun(scene: &Scene, id: &str) -> Vec<Kind> {
    let entries: Vec<Vec<u8>> = copied(scene, "journal.db", |journal| {
        let select = "SELECT bytes FROM entries JOIN rotations ON rotations.number = entries.rotation
                      WHERE rotations.id = ?1 AND seq > 0 ORDER BY seq";
        let mut select = journal.prepare(select).unwrap();
        select.query_map([id], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    });
    let (mut open, mut taken) = (BTreeMap::new(), false);
    for (seq, bytes) in (1u64..).zip(&entries) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "other facts open and close no intent")]
        match decode_event(bytes).unwrap().fact {
            Fact::DriverStarted => open.clear(),
            Fact::Intended(op) => drop(open.insert(seq, Kind::of(&op))),
            Fact::Ended { intent, .. } => drop(open.remove(&intent)),
            Fact::HandMinted(_) => taken = true,
            _ => {}
        }
    }
    let mut all: Vec<Kind> = open.into_values().collect();
    let given = copied(scene, "secrets.db", |store| {
        let count = "SELECT count(*) FROM kept WHERE rotation = ?1";
        store.query_row(count, [id], |row| row.get::<_, i64>(0)).unwrap()
    });
    if scene.by_hand() && !taken && given > 0 {
        all.push(Kind::TakeIn);
    }
    all
}

/// The state of the store and the copies, for comparison.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// Per version: its number, its label, and whether this rotation made it.
    versions: Vec<(i64, String, bool)>,
    /// Values kept for this rotation: with an id, and without.
    kept: (usize, usize),
    /// A digest of the copy in the folder that is watched.
    copy: u64,
}

impl Shown {
    pub fn of(scene: &Scene, id: &str, hasher: &RandomState) -> Self {
        let (versions, kept) = copied(scene, "secrets.db", |store| {
            let mut all =
                store.prepare("SELECT number, label, rotation IS ?1 FROM versions ORDER BY number").unwrap();
            let versions = all.query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            let versions = versions.map(Result::unwrap).collect();
            let mut all = store.prepare("SELECT credential IS NULL FROM kept WHERE rotation = ?1").unwrap();
            let kept: Vec<bool> =
                all.query_map([id], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            let without = kept.iter().filter(|without| **without).count();
            (versions, (kept.len() - without, without))
        });
        let content = Zeroizing::new(fs::read(scene.dir().join("api/api.env")).unwrap());
        Self { versions, kept, copy: hasher.hash_one(content.as_slice()) }
    }

    /// Whether the store agrees with how the rotation ended: one version is current, and none is pending.
    pub fn agrees(&self, done: bool) -> bool {
        let current: Vec<bool> =
            self.versions.iter().filter(|(_, label, _)| label == "current").map(|(.., ours)| *ours).collect();
        current == [done] && self.versions.iter().all(|(_, label, _)| label != "pending")
    }

    fn label(&self, ours: bool) -> Option<&str> {
        self.versions.iter().rfind(|(.., made)| *made == ours).map(|(_, label, _)| label.as_str())
    }

    /// Whether the effect of an operation is visible here; `None`: it is visible only at the part that stopped it.
    pub fn effect(&self, kind: Kind, sealed: bool, before: &Self) -> Option<bool> {
        match kind {
            Kind::Choose => Some(self.kept.1 > 0),
            Kind::Mint if sealed => Some(self.kept.0 > 0),
            Kind::TakeIn => Some(self.kept.0 > 1),
            Kind::Stage => Some(self.label(true).is_some()),
            Kind::Promote => Some(self.label(true) == Some("current")),
            Kind::Demote => Some(self.label(false) == Some("current")),
            Kind::RetireOld => Some(self.label(false) == Some("retired")),
            Kind::RetireNew => Some(self.label(true).is_none_or(|label| label == "retired")),
            Kind::DeliverNew | Kind::DeliverOld => Some(self.copy != before.copy),
            Kind::Mint
            | Kind::Fetch
            | Kind::ApplyNew
            | Kind::ApplyOld
            | Kind::Disable
            | Kind::Enable
            | Kind::Revoke
            | Kind::EndSessions
            | Kind::DeleteNew
            | Kind::DeleteOrphan
            | Kind::DeleteAbandoned => None,
        }
    }
}
