//! The approvals that were given, in a file of the state folder. One counts for a day, for the waivers that the rotation
//! had then, while its token is valid, and until a driver has ended with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use keyroll_app::atomic_file;
use keyroll_app::installation::Installation;
use keyroll_app::places::{Locations, Places};
use keyroll_app::problem::Problem;
use keyroll_app::reports::operate::{self, Named};
use keyroll_app::wall_clock;
use keyroll_codes::Code;
use keyroll_config::Config;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::consent_text::consent_text;
use crate::role::Role;
use crate::tokens::Tokens;

/// How long an approval counts, seconds.
const COUNTS_S: u64 = 24 * 60 * 60;
/// What is asked for where the configuration has no server any more.
const APPROVALS_MAX: u8 = 2;

/// The approvals of the end of an old key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Approvals)]
pub(crate) struct ApprovalsShown {
    /// The names of the tokens whose approvals count.
    pub(crate) given: Vec<String>,
    /// How many are needed.
    pub(crate) of: u8,
}

/// The approvals of each rotation, by its id.
pub(super) type Ledger = BTreeMap<String, Entry>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The waivers that the rotation had.
    waived: Vec<String>,
    /// The ids of the tokens, and when each approved, Unix seconds. A name would count for the next token of that name,
    /// and twice for a token that an operator wrote on another line.
    given: BTreeMap<String, u64>,
}

/// What an approval is judged by.
pub(super) struct Now<'a> {
    pub(super) waived: &'a [String],
    /// The valid tokens that may approve, by id, with their names.
    pub(super) valid: &'a BTreeMap<String, String>,
    pub(super) at_s: u64,
}

impl Entry {
    /// The ids of the tokens whose approvals count, with their names.
    fn counted<'n>(&self, now: &'n Now<'_>) -> BTreeMap<&'n str, &'n str> {
        let young = |at: u64| now.at_s.checked_sub(at).is_some_and(|age| age < COUNTS_S);
        let all = self.given.iter().filter(|(_, at)| self.waived == now.waived && young(**at));
        let all = all.filter_map(|(id, _)| now.valid.get_key_value(id));
        all.map(|(id, name)| (id.as_str(), name.as_str())).collect()
    }

    /// The names of the tokens whose approvals count.
    pub(super) fn counts(&self, now: &Now<'_>) -> Vec<String> {
        let mut names: Vec<String> = self.counted(now).into_values().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Another one. Returns whether other waivers made earlier ones void.
    pub(super) fn add(&mut self, id: &str, now: &Now<'_>) -> bool {
        let void = self.waived != now.waived && !self.given.is_empty();
        let counted = self.counted(now);
        self.given.retain(|id, _| counted.contains_key(id.as_str()));
        self.waived = now.waived.to_vec();
        self.given.insert(id.to_owned(), now.at_s);
        void
    }
}

pub(super) fn now_s() -> u64 {
    u64::try_from(wall_clock::now().timestamp().as_second()).unwrap_or_default()
}

/// How many are needed.
pub(super) fn needed(config: &Config) -> u8 {
    config.server.as_ref().map_or(APPROVALS_MAX, |server| server.approvals)
}

/// The valid tokens that may approve, by id, with their names.
pub(super) fn approvers(tokens: &Path) -> Result<BTreeMap<String, String>, Problem> {
    let all = Tokens::read(tokens)?.list().into_iter();
    Ok(all.filter(|token| token.role.allows(Role::Approver)).map(|token| (token.id, token.name)).collect())
}

fn read(places: &Places) -> Result<Ledger, Problem> {
    let path = places.approvals();
    let failed = || Problem::new(Code::StateUnusable, format!("read {}", path.display()));
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            failed().because_of(&error).help("remove the file: the approvals are given again")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Ledger::new()),
        Err(error) => Err(failed().because_of(&error)),
    }
}

fn write(ledger: &Ledger, places: &Places) -> Result<(), Problem> {
    let path = places.approvals();
    let failed = || Problem::new(Code::StateUnusable, format!("write {}", path.display()));
    let text = serde_json::to_vec(ledger).map_err(|error| failed().because_of(&error))?;
    atomic_file::replace_private(&path, &text).map_err(|error| failed().because_of(&error))
}

/// Held while the file is changed: a caller who approves and a driver that ends would undo what the other wrote.
static CHANGING: Mutex<()> = Mutex::new(());

/// Changes the ledger. Rotations that are over are left out.
pub(super) fn change<T>(places: &Places, change: impl FnOnce(&mut Ledger) -> T) -> Result<T, Problem> {
    let _one = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut ledger, open) = (read(places)?, operate::open_ids(places)?);
    ledger.retain(|rotation, _| open.contains(rotation));
    let done = change(&mut ledger);
    write(&ledger, places)?;
    Ok(done)
}

/// The approvals of a rotation that count now.
pub(super) fn standing(
    named: &Named,
    config: &Config,
    places: &Places,
    tokens: &Path,
) -> Result<ApprovalsShown, Problem> {
    let now = Now { waived: &named.waived, valid: &approvers(tokens)?, at_s: now_s() };
    let given = read(places)?.get(&named.row.id).map(|entry| entry.counts(&now)).unwrap_or_default();
    Ok(ApprovalsShown { given, of: needed(config) })
}

/// What a driver must know of approvals before it ends a key, and what becomes of them after it.
pub(crate) struct Consents {
    pub(crate) locations: Locations,
    pub(crate) tokens: PathBuf,
}

impl Consents {
    /// Whether the end of the old key is approved now; or why it is not. Approvals may have become void since a caller
    /// gave the last one. It may wait for the journal.
    ///
    /// # Errors
    /// The journal, the tokens or the approvals cannot be read.
    pub(crate) fn check(&self, rotation: &str) -> Result<Result<(), String>, Problem> {
        let (named, ApprovalsShown { given, of }) = self.standing(rotation)?;
        // Past the point of no return nothing is consented to any more, and half an end helps nobody.
        if named.row.decided || named.row.ended || given.len() >= usize::from(of) {
            return Ok(Ok(()));
        }
        let count = given.len();
        Ok(Err(format!(
            "the approvals do not count any more: {count} of {of} do, because a waiver was added, a token was revoked or a \
             day has passed"
        )))
    }

    /// Whether a consent of one who decides alone counts now: for the waivers that the rotation has.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn check_text(&self, rotation: &str, text: &str) -> Result<Result<(), String>, Problem> {
        let installation = Installation::new(self.locations.clone());
        let named = operate::named(rotation, &installation.places()?)?;
        let counts = named.row.decided || named.row.ended || consent_text(rotation, &named.waived) == text;
        Ok(if counts { Ok(()) } else { Err("a waiver was added since the consent".to_owned()) })
    }

    /// Whether as many approvals of this rotation count as are needed. It may wait for the journal.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn given(&self, rotation: &str) -> Result<bool, Problem> {
        let (_, ApprovalsShown { given, of }) = self.standing(rotation)?;
        Ok(given.len() >= usize::from(of))
    }

    fn standing(&self, rotation: &str) -> Result<(Named, ApprovalsShown), Problem> {
        let installation = Installation::new(self.locations.clone());
        let places = installation.places()?;
        let named = operate::named(rotation, &places)?;
        let standing = standing(&named, &installation.config()?, &places, &self.tokens)?;
        Ok((named, standing))
    }

    /// The approvals of this rotation were used: the next end of a key needs others. It may wait for the journal.
    ///
    /// # Errors
    /// The journal or the approvals cannot be read, or the latter not written.
    pub(crate) fn spend(&self, rotation: &str) -> Result<(), Problem> {
        let places = Installation::new(self.locations.clone()).places()?;
        change(&places, |ledger| drop(ledger.remove(rotation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_counts_for_a_day_and_for_what_was_waived_then() {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let tokens = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
            all.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect()
        };
        let valid = tokens(&[("02", "ada"), ("01", "bob")]);
        let (none, one) = (names(&[]), names(&["3f"]));
        let now = |waived, at_s| Now { waived, valid: &valid, at_s };
        let mut entry = Entry::default();
        assert!(!entry.add("02", &now(&none, 1_000)));
        assert!(!entry.add("02", &now(&none, 1_001)), "the same token again");
        assert_eq!(entry.counts(&now(&none, 1_001)), ["ada"]);
        assert!(!entry.add("01", &now(&none, 1_002)));
        assert_eq!(entry.counts(&now(&none, 1_002)), ["ada", "bob"]);
        // It ends after a day; a clock that was set back makes it no longer.
        assert_eq!(entry.counts(&now(&none, 1_001 + COUNTS_S)), ["bob"]);
        assert_eq!(entry.counts(&now(&none, 1_000)), names(&[]));
        // A waiver that came later makes it void.
        assert_eq!(entry.counts(&now(&one, 1_003)), names(&[]));
        assert!(entry.add("01", &now(&one, 1_004)));
        assert_eq!(entry.counts(&now(&one, 1_004)), ["bob"]);
        // A token that was revoked does not count, nor does the next one of its name; another name is the same token.
        let other = tokens(&[("03", "bob")]);
        assert_eq!(entry.counts(&Now { waived: &one, valid: &other, at_s: 1_005 }), names(&[]));
        let renamed = tokens(&[("01", "line-2")]);
        assert_eq!(entry.counts(&Now { waived: &one, valid: &renamed, at_s: 1_005 }), ["line-2"]);
    }
}
