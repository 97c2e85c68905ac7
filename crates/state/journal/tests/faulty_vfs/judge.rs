//! Judges what keyroll makes of a folder after a failure.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::Unwatched;
use crate::script::{Effect, Process, Script, Step, World, witness};

/// Waits for a call. Everything here waits for threads of journal and store alone.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The entry and the epoch in a witness; `None` without one.
pub(crate) fn witnessed(folder: &Path) -> Option<(u64, u64)> {
    let _unwatched = Unwatched::begin();
    let text = fs::read_to_string(witness(folder)).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some((json["entry"].as_u64()?, json["epoch"].as_u64()?))
}

/// Which of two worlds a process finds: before a step that was under way, or after it. Journal and store are two
/// databases, and either may be ahead.
pub(crate) async fn world_of(
    script: &Script,
    process: &Process,
    before: &World,
    after: &World,
) -> Result<World, String> {
    let journal = script.in_journal(process).await.map_err(|trouble| format!("journal: {trouble:?}"))?;
    let store = script.in_store(process).await.map_err(|trouble| format!("store: {trouble:?}"))?;
    if journal != before.journal && journal != after.journal {
        return Err(format!("journal has {journal:?}, not {:?} or {:?}", before.journal, after.journal));
    }
    if store != before.store && store != after.store {
        return Err(format!("store has {store:?}, not {:?} or {:?}", before.store, after.store));
    }
    Ok(World { journal, store, epoch: before.epoch, witnessed: before.witnessed })
}

/// A folder that a crash left while `step` was under way: it opens, everything that was acknowledged is there, and a
/// new driver continues. Returns the world that it has made.
pub(crate) fn opens(script: &Script, folder: &Path, before: &World, step: Step) -> Result<World, String> {
    let process = script.start(folder).map_err(|trouble| format!("does not open: {trouble:?}"))?;
    wait(async {
        let found = world_of(script, &process, before, &before.after(step)).await?;
        let seen = witnessed(folder).map(|(entry, _)| entry);
        if seen != Some(found.entries()) {
            return Err(format!("the witness says {seen:?}, the journal has {} entries", found.entries()));
        }
        continues(script, &process, &found).await
    })
}

/// A new driver takes over, appends, and advances the witness.
async fn continues(script: &Script, process: &Process, found: &World) -> Result<World, String> {
    let mut steps = Vec::new();
    if found.store.versions.is_empty() {
        steps.push(Step::Import);
    }
    match found.journal.open {
        None => steps.push(Step::Open),
        Some(_) => {
            steps.push(Step::TakeOver);
            if found.journal.events < script.events().len() as u64 {
                steps.push(Step::Append(found.journal.events + 1));
            }
        }
    }
    steps.push(Step::Witness);
    if found.store.kept && found.store.versions.len() < 2 {
        steps.push(Step::Stage);
    }
    let mut world = found.clone();
    for step in steps {
        let done = script.carry_out(process, step, world.epoch).await;
        let epoch = done.map_err(|trouble| format!("{step:?} after it: {trouble:?}"))?;
        world = world.after(step);
        if let Some(epoch) = epoch {
            if epoch <= world.epoch {
                return Err(format!("epoch {epoch} is given again, {} was given", world.epoch));
            }
            world.epoch = epoch;
        }
    }
    Ok(world)
}

/// A folder that a crash left after a sync that was a lie. Acknowledged entries may be lost; then either the witness
/// never saw them, or the journal is refused (`true`). What is there is what was written, and the store is in one of its
/// states.
pub(crate) fn is_refused_or_older(script: &Script, folder: &Path, worlds: &[World]) -> Result<bool, String> {
    let seen = witnessed(folder);
    let process = match script.start(folder) {
        Ok(process) => process,
        Err(trouble) if trouble.effect() == Effect::Refused => return Ok(true),
        Err(trouble) => return Err(format!("is refused in the wrong words: {trouble:?}")),
    };
    wait(async {
        let journal = script.in_journal(&process).await.map_err(|trouble| format!("journal: {trouble:?}"))?;
        let store = script.in_store(&process).await.map_err(|trouble| format!("store: {trouble:?}"))?;
        if !worlds.iter().any(|world| world.journal == journal) {
            return Err(format!("journal has {journal:?}"));
        }
        if !worlds.iter().any(|world| world.store == store) {
            return Err(format!("store has {store:?}"));
        }
        let entries = World { journal, ..World::default() }.entries();
        match seen {
            Some((entry, _)) if entry > entries => {
                Err(format!("the witness saw entry {entry}, and a journal with {entries} is opened"))
            }
            Some(_) | None => Ok(false),
        }
    })
}

/// A folder in memory for one image.
pub(crate) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let path = fs::canonicalize(folder.path()).unwrap();
    (folder, path)
}
