//! The variables of cron's jobs: the assignments in their crontabs.

use std::path::PathBuf;

use keyroll_observe::read_small;
use keyroll_secret::SecretBytes;

use crate::Cron;

/// The largest table that is read, bytes.
const TABLE_BYTES_MAX: usize = 1 << 20;

/// Where crontabs stand, and whether their lines name a user. Source: cron(8) of Debian, cronie and busybox.
const FOLDERS: [(&str, bool); 4] = [
    ("/etc/cron.d", true),
    ("/var/spool/cron/crontabs", false),
    ("/var/spool/cron", false),
    ("/etc/crontabs", false),
];

/// A line `NAME=VALUE` of a table; it holds for the jobs behind it.
pub struct CronVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SecretBytes,
    /// Its line, from 1 on.
    pub line: u64,
}

/// A line of a crontab that starts a job.
pub struct CronJob {
    /// Its line, from 1 on.
    pub line: u64,
    /// The shell command. It may hold a value.
    pub command: SecretBytes,
}

/// A table, as cron reads it.
#[derive(Default)]
pub struct CronTable {
    /// Its assignments in their order; for a job, the last assignment of a name before it counts.
    pub variables: Vec<CronVariable>,
    /// Its jobs.
    pub jobs: Vec<CronJob>,
}

impl Cron {
    /// The tables of this machine that are visible to this user.
    pub fn tables() -> Vec<Self> {
        let mut all = vec![Self { table: PathBuf::from("/etc/crontab"), with_user: true }];
        for (folder, with_user) in FOLDERS {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            all.extend(entries.map(|entry| Self { table: entry.path(), with_user }));
        }
        all.retain(|one| one.table.is_file());
        all.sort_by(|one, other| one.table.cmp(&other.table));
        all
    }

    /// What the table says now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> std::io::Result<CronTable> {
        let text = read_small(&self.table, TABLE_BYTES_MAX)?;
        let mut table = CronTable::default();
        for (bytes, line) in text.expose().split(|byte| *byte == b'\n').zip(1..) {
            if let Some((name, value)) = assignment(bytes) {
                table.variables.push(CronVariable { name, value, line });
            } else if let Some(command) = std::str::from_utf8(bytes).ok().and_then(|text| self.command(text))
            {
                table.jobs.push(CronJob { line, command: SecretBytes::from(command) });
            }
        }
        Ok(table)
    }
}

/// `NAME = "value"`: the quotes are optional, of either kind, and nothing is expanded. Source: crontab(5).
fn assignment(line: &[u8]) -> Option<(String, SecretBytes)> {
    let line = line.trim_ascii();
    let at = line.iter().position(|byte| *byte == b'=')?;
    let unquoted = |text: &[u8]| match text {
        [first @ (b'"' | b'\''), inner @ .., last] if first == last => inner.to_vec(),
        plain => plain.to_vec(),
    };
    let name = unquoted(line.get(..at)?.trim_ascii_end());
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let good = !name.is_empty() && name.iter().all(word) && !name.first().is_some_and(u8::is_ascii_digit);
    let value = || SecretBytes::new(unquoted(line.get(at + 1..).unwrap_or_default().trim_ascii()));
    good.then(|| (String::from_utf8_lossy(&name).into_owned(), value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_of_a_table_are_told_from_its_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("jobs");
        let text = "# A=comment\nSHELL=/bin/sh\nA = \"one two\"\n5 4 * * * root B=x ./job\n'C'='d'\n@daily root ./other\n";
        std::fs::write(&table, text).unwrap();
        let read = Cron { table, with_user: true }.read().unwrap();
        let variables = read.variables.iter();
        let told: Vec<String> = variables
            .map(|one| format!("{} {}={}", one.line, one.name, String::from_utf8_lossy(one.value.expose())))
            .collect();
        assert_eq!(told, ["2 SHELL=/bin/sh", "3 A=one two", "5 C=d"]);
        assert_eq!(read.jobs.iter().map(|one| one.line).collect::<Vec<_>>(), [4, 6]);
        assert_eq!(read.jobs[0].command.expose(), b"B=x ./job");
    }
}
