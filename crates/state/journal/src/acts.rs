//! Who asked for what: entries of the same chain as those of the rotations, so that nothing of either can be taken out
//! or changed without the other.

use keyroll_database::rusqlite::{self, Connection, Row};
use keyroll_port::{JournalError, RotationId};
use serde::{Deserialize, Serialize};

use crate::read::{ACTS, genesis, is_linked, unavailable};
use crate::wire::WireError;

/// The form of the entries.
const FORM: u32 = 1;

/// The longest text of an act, bytes; what is longer is cut.
const TEXT_BYTES_MAX: usize = 512;

/// Something that somebody asked for, or that was refused. It is written before it is done, so what became of it stands
/// elsewhere: in its rotation, for one. It never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Act {
    /// Who asked: `token ada`, `user root`, `alert github`, `schedule`.
    pub by: String,
    /// What tells them from another one of the same name: the beginning of a token's digest, a user's number.
    pub id: Option<String>,
    /// What was asked for: `apply`.
    pub what: String,
    /// The secret.
    pub secret: Option<String>,
    /// The rotation, plan, incident or token that it is about.
    pub about: Option<String>,
    /// Reasons and names that were given with it.
    pub detail: Option<String>,
    /// Why nothing was done.
    pub refused: Option<String>,
}

/// An act, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAct {
    /// Its number in the journal.
    pub entry: u64,
    /// Wall clock, for display only: milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The act.
    pub act: Act,
}

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// An entry of a rotation.
    Rotation {
        /// Its number in the journal.
        entry: u64,
        /// The rotation.
        id: RotationId,
    },
    /// An act.
    Act(RecordedAct),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    act: u32,
    /// The time is part of what the chain covers.
    unix_ms: u64,
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// Read before anything else: the rest may have the form of a later version.
#[derive(Deserialize)]
struct FormOnly {
    act: u32,
}

/// An act as bytes.
pub(crate) fn encode(act: &Act, unix_ms: u64) -> Result<Vec<u8>, WireError> {
    let Act { by, id, what, secret, about, detail, refused } = act;
    let some = |text: &Option<String>| text.as_deref().map(cut);
    let form = Form {
        act: FORM,
        unix_ms,
        by: cut(by),
        id: some(id),
        what: cut(what),
        secret: some(secret),
        about: some(about),
        detail: some(detail),
        refused: some(refused),
    };
    serde_json::to_vec(&form).map_err(WireError::Malformed)
}

fn cut(text: &str) -> String {
    match text.len() > TEXT_BYTES_MAX {
        true => format!("{}…", text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()),
        false => text.to_owned(),
    }
}

/// Reads what [`encode`] wrote, and nothing else.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Act, u64), WireError> {
    let FormOnly { act } = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    if act != FORM {
        return Err(WireError::Version(act));
    }
    let Form { act: _, unix_ms, by, id, what, secret, about, detail, refused } =
        serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    Ok((Act { by, id, what, secret, about, detail, refused }, unix_ms))
}

/// The acts before this entry, the newest first; without one, the newest.
pub(crate) fn before(
    connection: &Connection,
    entry: Option<u64>,
    most: usize,
) -> Result<Vec<RecordedAct>, JournalError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT its.entry, its.seq, its.bytes, its.chain, before.chain FROM entries AS its
             LEFT JOIN entries AS before ON before.entry = its.entry - 1
             WHERE its.rotation = (SELECT number FROM rotations WHERE id = ?1) AND its.entry < ?2
             ORDER BY its.seq DESC LIMIT ?3",
        )
        .map_err(unavailable)?;
    let (id, first) = (RotationId(ACTS.to_owned()), genesis(connection).map_err(unavailable)?);
    let below = entry.and_then(|entry| i64::try_from(entry).ok()).unwrap_or(i64::MAX);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query((ACTS, below, most)).map_err(unavailable)?;
    let mut acts = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        let [entry, seq] = numbers(row).map_err(unavailable)?;
        let bytes: Vec<u8> = row.get(2).map_err(unavailable)?;
        if !is_linked(row, &id, seq, &bytes, &first).map_err(unavailable)? {
            return Err(JournalError::Damaged(format!("entry {entry} is not what the chain has there")));
        }
        acts.push(read(entry, &bytes)?);
    }
    Ok(acts)
}

/// The entries after this one, in their order.
pub(crate) fn after(connection: &Connection, entry: u64, most: usize) -> Result<Vec<Noted>, JournalError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT entry, id, CASE id WHEN ?1 THEN bytes END FROM entries
             JOIN rotations ON rotations.number = entries.rotation WHERE entry > ?2 ORDER BY entry LIMIT ?3",
        )
        .map_err(unavailable)?;
    let above = i64::try_from(entry).unwrap_or(i64::MAX);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query((ACTS, above, most)).map_err(unavailable)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        let entry = row.get::<_, i64>(0).map_err(unavailable)?.cast_unsigned();
        all.push(match row.get::<_, Option<Vec<u8>>>(2).map_err(unavailable)? {
            Some(bytes) => Noted::Act(read(entry, &bytes)?),
            None => Noted::Rotation { entry, id: RotationId(row.get(1).map_err(unavailable)?) },
        });
    }
    Ok(all)
}

/// The first two columns.
fn numbers(row: &Row<'_>) -> rusqlite::Result<[u64; 2]> {
    Ok([row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()])
}

fn read(entry: u64, bytes: &[u8]) -> Result<RecordedAct, JournalError> {
    let damaged = |error| JournalError::Damaged(format!("the act of entry {entry}: {error}"));
    decode(bytes).map(|(act, unix_ms)| RecordedAct { entry, unix_ms, act }).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_read_as_it_was_written_and_no_other_form_is() {
        let some = |text: &str| Some(text.to_owned());
        let act = Act {
            by: "token ada".to_owned(),
            id: some("3f9a"),
            what: "apply".to_owned(),
            secret: some("db"),
            about: some("01a2"),
            detail: some("„a\n“"),
            refused: None,
        };
        let bytes = encode(&act, 7).unwrap();
        assert_eq!(decode(&bytes).unwrap(), (act.clone(), 7));
        let text = String::from_utf8(bytes).unwrap();
        assert!(matches!(
            decode(text.replace("\"act\":1", "\"act\":2").as_bytes()),
            Err(WireError::Version(2))
        ));
        assert!(decode(text.replace("\"by\"", "\"who\"").as_bytes()).is_err());
        let long = Act { detail: Some("ä".repeat(4_000)), ..act };
        let kept = decode(&encode(&long, 7).unwrap()).unwrap().0.detail.unwrap();
        assert!(kept.len() <= TEXT_BYTES_MAX + "…".len() && kept.ends_with("ä…"), "{}", kept.len());
    }
}
