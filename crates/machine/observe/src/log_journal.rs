//! The journal of systemd, from a cursor on. Sources: journalctl(1) (`--cursor`, `--all`, `-u`, `+`),
//! systemd.journal-fields(7), and systemd.io/JOURNAL_EXPORT_FORMATS ("Journal JSON Format").

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use serde_json::Value;

use crate::LogCounts;
use crate::log_patterns::Patterns;
use crate::log_program::{Take, not_read, run};

/// The message with which the journal reports that it dropped messages of the same service because they came too fast.
/// Source: sd-messages.h, SD_MESSAGE_JOURNAL_DROPPED.
const DROPPED: &str = "a596d6fe7bfa4994828e72309e95d61e";

/// journalctl's message to a user who may not read the lines of services. Source: journalctl's access check.
const OTHERS_HIDDEN: &str = "not seeing messages from other users";

/// A unit whose lines are in the journal of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalUnit {
    /// Its name; without a suffix `.service` is meant.
    pub unit: String,
    /// The number of the user whose own service manager has it; `None` = the system's.
    pub user: Option<u32>,
}

/// The lines of one unit.
pub(crate) struct JournalTail {
    unit: JournalUnit,
    patterns: Patterns,
    /// The last entry of the journal that was seen; `None` = the journal was empty.
    cursor: Option<String>,
}

impl JournalTail {
    pub(crate) fn at_end(unit: &JournalUnit, patterns: Patterns) -> Result<Self, Failure> {
        let mut cursor = None;
        let words = ["journalctl", "--no-pager", "-o", "json", "--output-fields=__CURSOR", "-n", "1"];
        read(unit, &words, |entry| cursor = text(entry, "__CURSOR").or(cursor.take()))?;
        Self::at(unit, patterns, cursor)
    }

    pub(crate) fn at(
        unit: &JournalUnit,
        patterns: Patterns,
        cursor: Option<String>,
    ) -> Result<Self, Failure> {
        Ok(Self { unit: unit.whole()?, patterns, cursor })
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    pub(crate) fn look(&mut self) -> Result<LogCounts, Failure> {
        let mut counts = LogCounts { gap: !self.is_there()?, ..LogCounts::default() };
        // With matches, `--after-cursor` of systemd 252 omits the first matching entry if the cursor's own entry does
        // not match. Therefore the journal is read from the cursor on, and that entry is skipped here.
        let from = self.cursor.as_ref().map(|cursor| format!("--cursor={cursor}"));
        // Without `--all` a long line would be omitted.
        let mut words = vec!["journalctl", "--no-pager", "--all", "-o", "json"];
        words.push("--output-fields=__CURSOR,MESSAGE,MESSAGE_ID,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,_UID");
        words.extend(from.as_deref());
        let matches = self.unit.matches();
        words.extend(matches.iter().map(String::as_str));
        let (patterns, unit, seen, mut last) = (&self.patterns, &self.unit, &self.cursor, None);
        counts.more = read(&self.unit, &words, |entry| {
            let cursor = text(entry, "__CURSOR");
            if cursor.is_some() && cursor == *seen {
                return;
            }
            last = cursor.or(last.take());
            counts.gap |= text(entry, "MESSAGE_ID").is_some_and(|id| id == DROPPED);
            if !unit.wrote(entry) {
                return;
            }
            match message(entry) {
                Some(message) => patterns.count(&message, &mut counts),
                // The message is not readable: it may be any line.
                None => counts.gap = true,
            }
        })?;
        self.cursor = last.or(self.cursor.take());
        Ok(counts)
    }

    /// Whether the last entry is still in the journal: if not, later entries may be gone too.
    fn is_there(&self) -> Result<bool, Failure> {
        let Some(cursor) = &self.cursor else { return Ok(true) };
        let from = format!("--cursor={cursor}");
        let mut first = None;
        let words =
            ["journalctl", "--no-pager", "-o", "json", "--output-fields=__CURSOR", "-n", "1", from.as_str()];
        read(&self.unit, &words, |entry| first = first.take().or(text(entry, "__CURSOR")))?;
        Ok(first.as_ref() == Some(cursor))
    }
}

/// A unit's name with its suffix: `my.app` is `my.app.service`, as in systemctl. With another name no line would match,
/// and nobody would notice. Source: systemd.unit(5).
fn whole_name(unit: &str) -> String {
    let kinds = [".service", ".socket", ".device", ".mount", ".automount", ".swap"];
    let more = [".target", ".path", ".timer", ".slice", ".scope"];
    match kinds.iter().chain(&more).any(|kind| unit.ends_with(kind)) {
        true => unit.to_owned(),
        false => format!("{unit}.service"),
    }
}

impl JournalUnit {
    /// The unit by its full name, which the journal stores with each line: the configured name may be an alias. If a manager
    /// does not answer, or knows no such unit now, the name stays as it was configured.
    ///
    /// # Errors `K0502`: its lines are in a journal of their own (`LogNamespace=`), which is not followed.
    fn whole(&self) -> Result<Self, Failure> {
        let given = Self { unit: whole_name(&self.unit), user: self.user };
        // A user's manager cannot give its services a journal of their own, and is not asked.
        if self.user.is_some() {
            return Ok(given);
        }
        let words = ["systemctl", "show", "--property=Id,LoadState,LogNamespace", "--", given.unit.as_str()];
        let mut told = Vec::new();
        let asked = run(&format!("the name of {given}"), &words, Take::Output, |line| {
            let line = String::from_utf8_lossy(line);
            told.extend(line.trim().split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
        });
        let told = |key: &str| told.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        if !asked.is_ok_and(|ran| ran.good) || told("LoadState") != Some("loaded") {
            return Ok(given);
        }
        if let Some(apart) = told("LogNamespace").filter(|apart| !apart.is_empty()) {
            return Err(Failure::new(Class::Permanent, Code::LogUnreadable, format!("read the journal of {given}"))
                .because(format!("its lines are in a journal of their own, LogNamespace={apart}"))
                .help("let the service write a file and name that: `log = { file = PATH, … }`; or remove LogNamespace="));
        }
        Ok(Self { unit: told("Id").filter(|id| !id.is_empty()).map_or(given.unit, str::to_owned), ..given })
    }

    /// The matches for journalctl. Its own `--user-unit` means the units of the calling user. Messages that were
    /// dropped because they came too fast are counted for all units of a user together, and only root can see that.
    fn matches(&self) -> Vec<String> {
        let unit = &self.unit;
        match self.user {
            None => vec!["-u".to_owned(), unit.clone()],
            Some(user) => vec![
                format!("_SYSTEMD_USER_UNIT={unit}"),
                format!("_UID={user}"),
                "+".to_owned(),
                format!("MESSAGE_ID={DROPPED}"),
                format!("OBJECT_SYSTEMD_UNIT=user@{user}.service"),
                "_UID=0".to_owned(),
            ],
        }
    }

    /// Whether the unit itself wrote an entry. The service manager's own lines about it contain its description, and
    /// prove nothing.
    fn wrote(&self, entry: &Value) -> bool {
        let (field, user) = match self.user {
            None => ("_SYSTEMD_UNIT", true),
            Some(user) => {
                ("_SYSTEMD_USER_UNIT", text(entry, "_UID").is_some_and(|uid| uid == user.to_string()))
            }
        };
        user && text(entry, field).as_ref() == Some(&self.unit)
    }
}

/// `app.service`, `app.service of user 1000`.
impl std::fmt::Display for JournalUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.user {
            None => write!(f, "{}", self.unit),
            Some(user) => write!(f, "{} of user {user}", self.unit),
        }
    }
}

/// Runs journalctl; each line must be an entry, and everything must be seen.
fn read(unit: &JournalUnit, words: &[&str], mut each: impl FnMut(&Value)) -> Result<bool, Failure> {
    let what = format!("the journal of {unit}");
    let mut wrong = false;
    let ran = run(&what, words, Take::Output, |line| match serde_json::from_slice::<Value>(line) {
        Ok(entry) => each(&entry),
        Err(_) => wrong = true,
    })?;
    if ran.complaint.contains(OTHERS_HIDDEN) {
        return Err(
            not_read(&what).because("this user sees no lines of services: it is not in systemd-journal")
        );
    }
    match (ran.good, wrong) {
        (true, false) => Ok(ran.more),
        (true, true) => Err(not_read(&what).because("journalctl printed a line that is not an entry")),
        // Its messages name files and rights, never lines of the log.
        (false, _) => Err(not_read(&what).because(ran.complaint)),
    }
}

fn text(entry: &Value, key: &str) -> Option<String> {
    entry.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// A message is a text, or an array of bytes where it is not printable.
fn message(entry: &Value) -> Option<Vec<u8>> {
    match entry.get("MESSAGE")? {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(bytes) => {
            bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_name_has_a_kind_whatever_dots_are_in_it() {
        for (given, whole) in [
            ("app", "app.service"),
            ("app.service", "app.service"),
            ("my.app", "my.app.service"),
            ("app@1.2", "app@1.2.service"),
            ("user@0.service", "user@0.service"),
            ("backup.timer", "backup.timer"),
        ] {
            assert_eq!(whole_name(given), whole);
        }
    }
}
