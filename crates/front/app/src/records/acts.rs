//! Who asked for what, in the chain of the journal.

use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_host::SystemClock;
pub use keyroll_journal::Act;
use keyroll_journal::RecordedAct;
use keyroll_manager::user_names;
use keyroll_port::{Clock as _, Journal as _, JournalError, Overview};

use crate::installation::Installation;
use crate::operator::ActShown;
use crate::places::{Asker, Places};
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::records::saved_plan::Saved;
use crate::redact;
use crate::wiring::open;

/// What the kernel says of a login that is none.
const NO_LOGIN: u32 = u32::MAX;

/// Records an act before it is done. Where there is no journal yet, nothing is recorded: the first rotation, or the first
/// start of a server, makes it and binds it to this machine, and a stored value may still move to another one.
///
/// # Errors
/// The journal cannot be opened or written: what was asked for must not be done.
pub fn record(act: &Act, places: &Places) -> Result<(), Problem> {
    if !places.has_journal() {
        return Ok(());
    }
    let pass = |text: &Option<String>| text.as_deref().map(|text| redact::pass(text).into_owned());
    let act = Act {
        by: redact::pass(&act.by).into_owned(),
        id: act.id.clone(),
        what: act.what.clone(),
        secret: pass(&act.secret),
        about: pass(&act.about),
        detail: pass(&act.detail),
        refused: pass(&act.refused),
    };
    let now = SystemClock::new().unix_ms();
    let journal = open::journal(places)?;
    let recorded = async {
        journal.record(&act, now).await?;
        // The newest act cannot be taken out unnoticed either. A witness that cannot be written now keeps nobody from
        // asking: what is asked for waits for it before it ends a key.
        match journal.witness().await {
            Err(error @ JournalError::Damaged(_)) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    };
    open::runtime(places)?.block_on(recorded).map_err(|error| {
        Problem::new(Code::StateUnusable, "record in the journal who asks for this")
            .because_of(&error)
            .help("nothing was done; keyroll doctor says what is wrong with the state folder")
    })
}

/// An act as it is shown.
pub(crate) fn shown(recorded: RecordedAct) -> ActShown {
    let RecordedAct { entry, unix_ms, act } = recorded;
    let Act { by, id, what, secret, about, detail, refused } = act;
    ActShown { entry, asked_at: clock(unix_ms), by, id, what, secret, about, detail, refused }
}

/// Whether the configuration has a secret of this name, as it is now: the command may be about to change it.
pub fn is_configured(name: &str, installation: &Installation) -> bool {
    Config::load(&installation.config_path()).is_ok_and(|config| config.secret(name).is_ok())
}

/// What is asked for on behalf of whom this process works, without what it is about.
pub fn asked(what: &str, places: &Places) -> Act {
    places.asker.clone().unwrap_or_else(operator).asks(what)
}

/// The rotation or plan whose id begins with `given`, or the only open rotation, and its secret; none if it is not one.
pub fn meant(given: Option<&str>, places: &Places) -> Option<(String, String)> {
    let all = match places.journal().exists() {
        true => open::runtime(places).ok()?.block_on(open::journal(places).ok()?.list()).ok()?,
        false => Vec::new(),
    };
    let is_meant = |one: &Overview| given.map_or(one.open, |id| one.id.0.starts_with(id));
    let mut its = all.into_iter().filter(is_meant);
    match (its.next(), its.next(), given) {
        (Some(only), None, _) => Some((only.id.0, only.secret)),
        (None, _, Some(id)) => {
            let saved = Saved::meant(places, id).ok()?;
            Some((saved.id.clone(), saved.secret))
        }
        (_, _, _) => None,
    }
}

/// Who runs this process: `user root`, with the one who logged in where that is another (through sudo), and the number.
fn operator() -> Asker {
    let uid = rustix::process::getuid().as_raw();
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|text| text.trim().parse::<u32>().ok()).filter(|login| *login != NO_LOGIN);
    let names = user_names();
    let name = |uid: u32| names.get(&uid).cloned().unwrap_or_else(|| uid.to_string());
    let by = match login.filter(|login| *login != uid) {
        Some(login) => format!("user {} (login {})", name(uid), name(login)),
        None => format!("user {}", name(uid)),
    };
    Asker { by, id: Some(format!("uid {uid}")) }
}
