use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keyroll_agents::{CoolDown, KeySource};
use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};
use rusqlite::{Connection, OpenFlags};
use rustix::process::geteuid;

use super::{OpenClaw, unknown};
use crate::find::list;

/// How long to wait for OpenClaw's own writers, seconds.
const BUSY_S_MAX: u64 = 5;

/// Write permission for a file's group, and for others.
const OTHERS_WRITE: u32 = 0o022;

impl OpenClaw {
    /// Removes the cool-downs that the former key caused. A new key inherits the cool-down of its provider, and no
    /// command of OpenClaw ends it. Only that entry is removed; the gateway reads it again at the reload. Returns what
    /// was left to end by itself.
    pub(super) fn clear_cool_downs(
        &self,
        source: &KeySource,
        deadline: Instant,
        started: &mut dyn FnMut(ProcessId),
    ) -> Result<String, Failure> {
        let now = now_unix_ms();
        let (mut own, mut left) = (Vec::new(), None);
        for one in self.of_the_key(source, now) {
            match self.own_database(&one.database) {
                Some(path) => own.push((path, one.id)),
                None => left = left.max(Some(one.until_unix_ms)),
            }
        }
        let left = left.map_or_else(String::new, |until| {
            let seconds = until.saturating_sub(now) / 1_000;
            format!(
                "; it leaves {} alone for {seconds} s more: others than this user may write where it keeps that",
                self.provider
            )
        });
        if own.is_empty() {
            return Ok(left);
        }
        let failed = |why: String| {
            self.failed(Class::Unknown, "end the cool-down of the key before")
                .because(why)
                .help("it ends by itself, after 30 s (refused) or 10 min (billing)")
        };
        for (path, id) in &own {
            take_out(path, id).map_err(|error| failed(error.to_string()))?;
        }
        let gateway = self.gateway(&list().map_err(unknown)?).map_err(unknown)?;
        let gateway = gateway.ok_or_else(|| failed("its gateway does not run".to_owned()))?;
        self.reload(&gateway, deadline, started).map_err(unknown)?;
        Ok(left)
    }

    /// The cool-downs of the key that this source has now. An entry that is not visible is left as it is: it ends by itself.
    fn of_the_key(&self, source: &KeySource, now_unix_ms: u64) -> Vec<CoolDown> {
        let mut found = self.home().cool_downs(&self.provider, now_unix_ms).unwrap_or_default();
        found.retain(|one| one.is_of(source, &self.provider) && !one.id.contains(['\u{22}', '\\']));
        found
    }

    /// What [`OpenClaw::clear_cool_downs`] would end now, a clause; `None` = nothing.
    pub(super) fn cool_down_to_end(&self) -> Option<String> {
        let source = self.bound_now().ok()?.source;
        let now = now_unix_ms();
        let mut found = self.of_the_key(&source, now);
        found.retain(|one| self.own_database(&one.database).is_some());
        let until = found.iter().map(|one| one.until_unix_ms).max()?;
        let (provider, seconds) = (&self.provider, until.saturating_sub(now) / 1_000);
        Some(format!(
            "ends the cool-down of {provider} that the key of now has caused, {seconds} s before it would end by itself"
        ))
    }

    /// The real path of a database that only this user can write, in a folder that only this user can write: SQLite
    /// applies any journal file beside a database, with the rights of the process that opens it.
    fn own_database(&self, database: &Path) -> Option<PathBuf> {
        let alone = |meta: &Metadata| meta.uid() == geteuid().as_raw() && meta.mode() & OTHERS_WRITE == 0;
        let state = self.state.canonicalize().ok()?;
        let folder = database.parent()?.canonicalize().ok().filter(|folder| folder.starts_with(&state))?;
        let mut folders = folder.ancestors().take_while(|it| it.starts_with(&state));
        let path = folder.join(database.file_name()?);
        let file = path.symlink_metadata().ok()?;
        let one = file.is_file() && file.nlink() == 1 && alone(&file);
        let all = folders.all(|it| it.metadata().is_ok_and(|meta| alone(&meta)));
        (one && all).then_some(path)
    }
}

#[expect(clippy::disallowed_methods, reason = "OpenClaw tells its pauses by the clock of the day")]
fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

fn take_out(path: &Path, id: &str) -> rusqlite::Result<usize> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(Duration::from_secs(BUSY_S_MAX))?;
    let place = format!("$.usageStats.\"{id}\"");
    database.execute(
        "UPDATE auth_profile_state SET state_json = json_remove(state_json, ?1) WHERE state_key = 'primary'",
        [&place],
    )
}
