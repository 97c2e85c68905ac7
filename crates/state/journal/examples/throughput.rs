//! Compares the speed of the journal with that of SQLite alone: prints one line of JSON.
//!
//! Three workloads take short turns, so that all meet the same disk: bare one-row commits with `synchronous=FULL` in
//! WAL mode; events of one rotation, one after the other; events of 32 rotations at once in one process. Rates and
//! ratios are medians over the turns. `open_ms` is the time to open the last journal, which reads and checks all of its
//! entries.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal, Opening, RotationId};
use keyroll_rotation::{
    Capabilities, EndpointId, Event, Fact, HostId, Kinds, LastUsed, MintedBy, OnFailure, Overlap, Plan,
    Policy, Refusals, Stamp, Which,
};
use rusqlite::Connection;

const TURNS: u64 = 60;
const SERIAL_PER_TURN: u64 = 50;
const ROTATIONS: u64 = 32;
const PER_ROTATION_AND_TURN: u64 = 5;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name);
    let connection = bare(&place("bare.db"))?;
    let one = runtime.block_on(opened(&place("one"), 1))?;
    let many = runtime.block_on(opened(&place("many"), ROTATIONS))?;
    let (mut alone, mut serial, mut together) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        alone.push(bare_commits(&connection, turn)?);
        serial.push(runtime.block_on(events(&one, 1, turn, SERIAL_PER_TURN))?);
        together.push(runtime.block_on(events(&many, ROTATIONS, turn, PER_ROTATION_AND_TURN))?);
    }
    let entries = ROTATIONS * (TURNS * PER_ROTATION_AND_TURN + 1);
    drop(many);
    let since = Instant::now();
    drop(SqliteJournal::open(&place("many"), &place("many-config").join("witness"))?);
    let open = since.elapsed().as_secs_f64() * 1_000.0;
    println!(
        "{{\"bare_commits_per_s\":{:.0},\"serial_events_per_s\":{:.0},\"serial_to_bare\":{:.2},\
         \"rotations\":{ROTATIONS},\"together_events_per_s\":{:.0},\"together_to_serial\":{:.1},\
         \"entries\":{entries},\"open_ms\":{open:.1}}}",
        median(alone.clone()),
        median(serial.clone()),
        median(ratios(&serial, &alone)),
        median(together.clone()),
        median(ratios(&together, &serial)),
    );
    Ok(())
}

fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    these.iter().zip(those).map(|(this, that)| this / that).collect()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn per_second(count: u64, since: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / since.elapsed().as_secs_f64()
}

fn bare(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE rows (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
    )?;
    Ok(connection)
}

fn bare_commits(connection: &Connection, turn: u64) -> Outcome<f64> {
    let mut insert = connection.prepare_cached("INSERT INTO rows VALUES (?1, ?2)")?;
    let row = vec![b'x'; 120];
    let since = Instant::now();
    for number in 0..SERIAL_PER_TURN {
        insert.execute(((turn * SERIAL_PER_TURN + number).cast_signed(), &row))?;
    }
    Ok(per_second(SERIAL_PER_TURN, since))
}

async fn opened(folder: &Path, rotations: u64) -> Outcome<Arc<SqliteJournal>> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let witness = folder.with_file_name(format!("{name}-config")).join("witness");
    let journal = SqliteJournal::open(folder, &witness)?;
    for number in 0..rotations {
        journal.open(&id(number), &opening(number)).await?;
    }
    Ok(Arc::new(journal))
}

async fn events(journal: &Arc<SqliteJournal>, rotations: u64, turn: u64, each: u64) -> Outcome<f64> {
    let since = Instant::now();
    let appends = (0..rotations).map(|number| {
        let journal = journal.clone();
        tokio::spawn(async move {
            for seq in turn * each + 1..=(turn + 1) * each {
                journal.append(&id(number), seq, &event(seq), seq).await?;
            }
            Ok(())
        })
    });
    for append in appends.collect::<Vec<_>>() {
        let appended: Outcome<()> = append.await?;
        appended?;
    }
    Ok(per_second(rotations * each, since))
}

fn id(number: u64) -> RotationId {
    RotationId(format!("0190a5b2-7c11-7000-8000-{number:012}"))
}

/// The most frequent kind of event.
fn event(seq: u64) -> Event {
    let fact = Fact::Probed {
        endpoint: EndpointId(0),
        version: Which::New,
        answer: keyroll_rotation::ProbeResult::Alive,
        control: None,
    };
    Event { at: Stamp { ms: seq, boot: 0x1234_5678_9abc_def0, epoch: 1 }, fact }
}

fn opening(number: u64) -> Opening {
    let capabilities = Capabilities {
        minted_by: MintedBy::Api,
        overlap: Overlap::Independent { max: 0 },
        disable: true,
        label: true,
        mint_replaces: false,
        list: true,
        last_used: LastUsed::NotVisible,
        refusals: Refusals::NotVisible,
        sessions: false,
        attributes: false,
        birth_ms_max: 0,
        death_ms_max: 0,
        request_ms_max: 0,
    };
    let policy = Policy {
        on_failure: OnFailure::Pause,
        parallel_max: 1,
        probes_alive: 1,
        probes_dead: 1,
        idle_ms: 0,
        soak_ms: 0,
        phase_ms_max: 0,
        unit_ms_max: 0,
        look_age_ms_max: u64::MAX,
        require: Kinds::NONE,
        standing_consent: false,
        roll: None,
    };
    let plan = Plan {
        capabilities,
        policy,
        endpoints: vec![HostId(0)],
        files: Vec::new(),
        consumers: Vec::new(),
        bystanders: Vec::new(),
        bound: true,
        denied_is_alive: false,
        recovery: false,
        aim: keyroll_rotation::Aim::Replace,
        protocol: keyroll_rotation::PROTOCOL,
    };
    Opening {
        secret: format!("secret-{number}"),
        from_version: 1,
        plan,
        names: "{}".to_owned(),
        at: Stamp { ms: 0, boot: 0, epoch: 0 },
        unix_ms: 0,
    }
}
