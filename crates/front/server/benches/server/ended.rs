//! Ended rotations in a journal: the entries of a real one, written again under new ids by the journal itself.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, Recorded, RotationId};
use tokio::runtime::{Builder, Runtime};

use crate::scene::Scene;

/// Threads that hand entries to the journal's writer.
const THREADS: usize = 2;

/// The only rotation of a scene.
pub struct Ended {
    recorded: Arc<Recorded>,
    state: PathBuf,
    witness: PathBuf,
}

impl Ended {
    /// Drives one in a scene without a server, and reads its entries.
    pub fn of(scene: &Scene) -> Self {
        scene.rotate();
        let (state, witness) = (scene.state(), scene.witness());
        let journal = SqliteJournal::open_for_a_look(&state).unwrap();
        let recorded = runtime().block_on(async {
            let all = journal.list().await.unwrap();
            assert!(all.len() == 1 && !all[0].open, "{all:?}");
            journal.load(&all[0].id).await.unwrap()
        });
        Self { recorded: Arc::new(recorded), state, witness }
    }

    /// How many entries one rotation has.
    pub fn entries(&self) -> usize {
        self.recorded.events.len() + 1
    }

    /// Writes a copy for each number. No secret has two open rotations, so each lane writes for a secret of its own,
    /// and the journal commits the entries of all lanes together. The first lane has the real secret.
    pub fn write(&self, numbers: &Range<u64>, lanes: u64) {
        let journal = Arc::new(SqliteJournal::open(&self.state, &self.witness).unwrap());
        runtime().block_on(async {
            let lane = |lane| copies(journal.clone(), self.recorded.clone(), numbers.clone(), (lane, lanes));
            let all: Vec<_> = (0..lanes).map(|number| tokio::spawn(lane(number))).collect();
            for lane in all {
                lane.await.unwrap();
            }
            journal.witness().await.unwrap();
        });
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap()
}

/// The copies of one lane.
async fn copies(
    journal: Arc<SqliteJournal>,
    real: Arc<Recorded>,
    numbers: Range<u64>,
    (lane, lanes): (u64, u64),
) {
    let mut opening = real.opening.clone();
    if lane > 0 {
        opening.secret = format!("{}-{lane}", opening.secret);
    }
    for number in numbers.filter(|number| number % lanes == lane) {
        // As a UUID v7 is written, with the time of the real one.
        let id = RotationId(format!("{:012x}70008{number:015x}", opening.unix_ms));
        journal.open(&id, &opening).await.unwrap();
        for (seq, (event, at)) in (1..).zip(real.events.iter().zip(&real.unix_ms)) {
            journal.append(&id, seq, event, *at).await.unwrap();
        }
        journal.close(&id).await.unwrap();
    }
}
