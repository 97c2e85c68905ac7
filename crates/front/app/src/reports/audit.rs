//! Who asked for what, as the journal recorded it.

use keyroll_journal::SqliteJournal;

use crate::configured;
use crate::installation::Installation;
use crate::operator::ActShown;
use crate::problem::Problem;
use crate::records::acts;
use crate::records::recorded::rotations_unread;
use crate::wiring::open;

/// Acts that are shown unless all are asked for.
const SHOWN_MAX: usize = 50;
/// Acts that are read at once.
const READ_MAX: usize = 500;

/// Which acts to read.
pub struct AuditRequest<'a> {
    /// The name of a secret, or the beginning of the id of a rotation, plan or incident; none = everything.
    pub about: Option<&'a str>,
    /// All of them instead of the newest.
    pub all: bool,
}

/// Acts, the newest first.
pub struct Audit {
    /// Each act that was asked for.
    pub rows: Vec<ActShown>,
    /// There are older ones.
    pub older: bool,
    /// Why nothing may be done by this journal, if it was opened unchecked.
    pub doubt: Option<Problem>,
}

/// Reads who asked for what; none where nothing was ever begun.
///
/// # Errors
/// The journal cannot be read.
pub fn audit(request: &AuditRequest<'_>, installation: &Installation) -> Result<Option<Audit>, Problem> {
    let places = installation.places()?;
    if !places.has_journal() {
        return Ok(None);
    }
    let (journal, doubt) = open::journal_for_a_look(&places)?;
    let runtime = open::runtime(&places)?;
    let (mut rows, mut before) = (Vec::new(), None);
    loop {
        let read: Vec<ActShown> = runtime.block_on(page(&journal, before))?;
        let Some(last) = read.last() else {
            // A mistyped name must not look like a secret that nobody touched.
            if let (true, Some(about)) = (rows.is_empty(), request.about) {
                known(about, installation)?;
            }
            return Ok(Some(Audit { rows, older: false, doubt }));
        };
        before = Some(last.entry);
        rows.extend(read.into_iter().filter(|act| request.about.is_none_or(|about| is_about(act, about))));
        if !request.all && rows.len() > SHOWN_MAX {
            rows.truncate(SHOWN_MAX);
            return Ok(Some(Audit { rows, older: true, doubt }));
        }
    }
}

/// Refuses what is neither the name of a secret nor looks like an id.
fn known(about: &str, installation: &Installation) -> Result<(), Problem> {
    let is_id = about.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(()) } else { configured::secret(&installation.config()?, about).map(drop) }
}

async fn page(journal: &SqliteJournal, before: Option<u64>) -> Result<Vec<ActShown>, Problem> {
    let read = journal.acts(before, READ_MAX).await.map_err(rotations_unread)?;
    Ok(read.into_iter().map(acts::shown).collect())
}

/// Whether the act is about this secret, rotation, plan or incident. An operator may have typed the beginning of an id, and
/// the reader another beginning.
fn is_about(act: &ActShown, about: &str) -> bool {
    let is_id = |id: &str| !id.is_empty() && (id.starts_with(about) || about.starts_with(id));
    act.secret.as_deref() == Some(about) || act.about.as_deref().is_some_and(is_id)
}

#[cfg(test)]
mod tests {
    use keyroll_journal::{Act, RecordedAct};

    use super::*;

    #[test]
    fn an_act_is_about_its_secret_and_about_what_its_id_begins_with() {
        let act = |secret: Option<&str>, about: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let act = Act { secret: own(secret), about: own(about), ..Act::default() };
            acts::shown(RecordedAct { entry: 1, unix_ms: 0, act })
        };
        assert!(is_about(&act(Some("db"), None), "db") && !is_about(&act(Some("db2"), None), "db"));
        let typed = act(None, Some("01a2"));
        assert!(is_about(&typed, "01a2f0") && is_about(&typed, "01") && !is_about(&typed, "01b"));
        assert!(!is_about(&act(None, None), "01"));
    }
}
