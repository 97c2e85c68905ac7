//! Accepts a key that another keyroll made at the same account, or withdraws that.

use keyroll_codes::Code;
use keyroll_config::{OtherKey, accept_key as with_key, withdraw_key};
use keyroll_port::Journal as _;
use keyroll_rotation::Label;

use crate::config_file;
use crate::configured::secret;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::acts::{self, Act};
use crate::records::open_rotation_guard::open_own;
use crate::records::recorded::rotations_unread;
use crate::redact;
use crate::stored_values::stored_values;
use crate::wiring::open::{journal, runtime};

/// A key of another keyroll.
#[derive(Debug)]
pub struct AcceptKeyRequest<'a> {
    /// The secret at whose account the key is.
    pub name: &'a str,
    /// The issuer's id of the key.
    pub id: &'a str,
    /// The whole label of the key.
    pub label: &'a str,
    /// keyroll stops at the key again.
    pub withdraw: bool,
}

/// Writes the key into `other_keys` of keyroll.toml, or takes it out again. An open rotation reads the file when it is
/// continued.
///
/// # Errors
/// The secret is not configured, the label is none of another keyroll, or something cannot be written.
pub fn accept_key(
    request: &AcceptKeyRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    let name = secret(&config, request.name)?.name.as_str();
    let key = OtherKey { id: request.id.to_owned(), label: request.label.to_owned() };
    refuse_values(installation, &key)?;
    let path = installation.config_path();
    let (text, file) = (config_file::read(&path)?, path.display().to_string());
    let edited = match request.withdraw {
        false => with_key(&text, &file, name, &key)?,
        true => withdraw_key(&text, &file, name, &key)?,
    };
    if edited == text {
        let known = if request.withdraw { "is not accepted" } else { "is accepted already" };
        operator.note(format!("key {} {known} for {name} in {file}: nothing was changed", key.id));
        return Ok(());
    }
    if !request.withdraw {
        refuse_own(&places, &key)?;
    }
    let about = open_rotation(&places, name)?;
    let detail = Some(format!("key {} with the label {}", key.id, key.label));
    let what = if request.withdraw { "secret accept-key --withdraw" } else { "secret accept-key" };
    let act = Act { secret: Some(name.to_owned()), about, detail, ..acts::asked(what, &places) };
    acts::record(&act, &places)?;
    config_file::replace(&path, &text, &edited)?;
    operator.event(written(request, name, &file));
    operator.note(match &act.about {
        Some(id) => format!("the open rotation reads it when it is continued: keyroll retry {id}"),
        None => format!("next: keyroll plan {name}"),
    });
    Ok(())
}

/// What was written, and how to undo that.
fn written(request: &AcceptKeyRequest<'_>, name: &str, file: &str) -> Event {
    let AcceptKeyRequest { id, label, withdraw, .. } = request;
    let (what, with) = match withdraw {
        false => ("keyroll leaves it alone", "with --withdraw"),
        true => ("keyroll stops at it again", "without --withdraw"),
    };
    Event::Undo {
        what: format!("key {id} ({label}) at the account of {name}: {what}; written to {file}"),
        with: format!("the same command {with}"),
    }
}

/// A value in the place of an id would be written into two files. It is not repeated here.
fn refuse_values(installation: &Installation, key: &OtherKey) -> Result<(), Problem> {
    // The store's values are known from here on. Without its passphrase only the form of a value is.
    drop(stored_values(installation, false));
    let is_value = |text: &str| redact::pass(text) != text;
    let (what, wrong) = (is_value(&key.id), is_value(&key.label));
    if !what && !wrong {
        return Ok(());
    }
    let option = if what { "--id" } else { "--label" };
    Err(Problem::new(Code::UsageWrong, "accept the key of another keyroll")
        .because(format!("what stands behind {option} is a stored value, or has the form of a credential"))
        .help("give the issuer's id of the key, and its label: keyroll plan shows both")
        .exits(Exit::Usage))
}

/// A key of a rotation of this journal is never another keyroll's: left alone, an orphan of ours would stay.
fn refuse_own(places: &Places, key: &OtherKey) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let all = runtime(places)?.block_on(journal(places)?.list()).map_err(rotations_unread)?;
    let rotation = Label::parse(&key.label).map(|label| label.rotation);
    match all.iter().find(|one| Some(one.id.0.as_str()) == rotation) {
        None => Ok(()),
        Some(own) => Err(Problem::new(Code::UsageWrong, "accept the key of another keyroll")
            .because(format!("rotation {} of this journal made a key with this label", own.id))
            .help(format!("keyroll status {}", own.id))
            .exits(Exit::Usage)),
    }
}

fn open_rotation(places: &Places, name: &str) -> Result<Option<String>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let open = runtime(places)?.block_on(open_own(&*journal(places)?, name)).map_err(rotations_unread)?;
    Ok(open.map(|id| id.0))
}
