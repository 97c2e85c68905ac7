//! What must be true of the logins before one of them is changed.

use crate::directory::{Login, Switch};
use crate::id::{Mark, Standing, is_ambiguous, split, standing};
use crate::options::Options;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::CredentialId;

/// A login by its name.
pub(crate) fn find<'a>(logins: &'a [Login], name: &str) -> Option<&'a Login> {
    logins.iter().find(|login| login.name == name)
}

/// The current login must be distinguishable from every other, and only its own password may open it.
pub(crate) fn check_current(logins: &[Login], options: &Options, current: &str) -> Result<(), Failure> {
    let refuse = |code: Code, why: String, help: &str| {
        let attempted = format!("rotate the login {current:?} at {}", options.endpoint());
        Err(Failure::new(Class::Permanent, code, attempted).because(why).help(help))
    };
    let Some(login) = find(logins, current) else {
        return refuse(
            Code::IssuerSettingsInvalid,
            "no such login exists".to_owned(),
            "check the field `user` of the secret",
        );
    };
    if is_ambiguous(current) {
        let why = "its name looks like the name of another login followed by a label".to_owned();
        return refuse(Code::IssuerSettingsInvalid, why, "let consumers use a login of another name");
    }
    if current == options.admin.user {
        let why = "it is keyroll's own login: ending it would shut keyroll out".to_owned();
        return refuse(Code::IssuerSettingsInvalid, why, "make a login of its own for the admin");
    }
    if login.open {
        let why = "it needs no password: no check would mean anything".to_owned();
        return refuse(Code::NegativeControlAccepted, why, "give it a password");
    }
    if login.passwords > 1 {
        let why = format!("it has {} passwords, and ending the login would end them all", login.passwords);
        return refuse(Code::IssuerSettingsInvalid, why, "find out who uses the others, and remove them");
    }
    Ok(())
}

/// The slot must be unused, as the server shows it, or have exactly the credential that was minted under this label.
pub(crate) fn check_slot(
    slot: &str,
    login: Option<&Login>,
    sessions: usize,
    label: &str,
) -> Result<(), Failure> {
    let refuse = |code: Code, why: String, help: &str| {
        let attempted = format!("mint into the slot {slot:?}");
        Err(Failure::new(Class::Permanent, code, attempted).because(why).help(help.to_owned()))
    };
    let Some(login) = login else { return Ok(()) };
    let why = match &login.mark {
        Mark::Ended(ended) if ended == label => {
            let why = format!("{label} was minted here and revoked");
            return refuse(Code::LoginReplaced, why, "start another rotation: a label is minted once");
        }
        Mark::Ours(ours) if ours == label => return Ok(()),
        _ if sessions > 0 => format!("it has {sessions} live sessions"),
        Mark::Ours(ours) if !login.is_off() => format!("it can be used, with what {ours} minted"),
        Mark::Foreign | Mark::Ended(_) if !login.is_off() => {
            "it can be used, with a password that keyroll did not make".to_owned()
        }
        Mark::Foreign | Mark::Ours(_) | Mark::Ended(_) => return Ok(()),
    };
    refuse(Code::LoginSlotTaken, why, "if nothing uses it: disable it, and end its sessions")
}

/// The login that a switch may change; `None` if the credential that the switch would end is already gone.
pub(crate) fn switchable<'a>(
    logins: &'a [Login],
    id: &CredentialId,
    switch: Switch,
) -> Result<Option<&'a Login>, Failure> {
    let (name, label) = split(id);
    let refuse = |why: &str| {
        let attempted = format!("{} {:?}", switch.attempt(), id.as_str());
        Err(Failure::new(Class::Permanent, Code::LoginReplaced, attempted).because(why.to_owned()))
    };
    let login = find(logins, name);
    let stands = login.map_or(Standing::Gone, |login| standing(label, &login.mark));
    match (stands, switch) {
        (Standing::Gone, Switch::Off | Switch::End) => Ok(None),
        (Standing::Gone, Switch::On) => refuse("the login is gone, or carries a later credential"),
        (Standing::Unclear, _) => refuse("the mark that says which credential the login carries was removed"),
        (Standing::Same, Switch::On) if login.is_some_and(is_ended) => {
            refuse("it was revoked: its password is gone")
        }
        (Standing::Same, _) => Ok(login),
    }
}

/// Whether the login's credential was ended permanently.
pub(crate) fn is_ended(login: &Login) -> bool {
    matches!(login.mark, Mark::Ended(_)) || (login.passwords == 0 && !login.open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(mark: Mark, on: bool) -> Login {
        Login { name: "app_a".to_owned(), on, passwords: 1, open: false, mark }
    }

    fn code(outcome: Result<(), Failure>) -> Option<Code> {
        outcome.err().map(|failure| failure.code)
    }

    #[test]
    fn only_a_slot_that_nobody_uses_is_overwritten() {
        let ours = || Mark::Ours("keyroll/r/1".to_owned());
        let ended = || Mark::Ended("keyroll/r/1".to_owned());
        let check = |login: Option<Login>, sessions, label: &str| {
            code(check_slot("app_a", login.as_ref(), sessions, label))
        };
        assert_eq!(check(None, 0, "keyroll/r/1"), None);
        assert_eq!(check(Some(login(ours(), true)), 3, "keyroll/r/1"), None, "the same mint again");
        assert_eq!(check(Some(login(ended(), false)), 0, "keyroll/r/1"), Some(Code::LoginReplaced));
        assert_eq!(check(Some(login(ours(), true)), 0, "keyroll/r/2"), Some(Code::LoginSlotTaken));
        assert_eq!(check(Some(login(ended(), false)), 1, "keyroll/r/2"), Some(Code::LoginSlotTaken));
        assert_eq!(check(Some(login(Mark::Foreign, true)), 0, "keyroll/r/2"), Some(Code::LoginSlotTaken));
        assert_eq!(check(Some(login(ended(), false)), 0, "keyroll/r/2"), None);
    }

    #[test]
    fn what_was_in_a_slot_before_is_not_what_is_in_it_now() {
        let id = CredentialId::new("app_a#keyroll/r/1");
        let later = [login(Mark::Ours("keyroll/r/2".to_owned()), true)];
        assert!(switchable(&later, &id, Switch::End).is_ok_and(|login| login.is_none()));
        assert!(switchable(&later, &id, Switch::On).is_err());
        let unclear = [login(Mark::Foreign, true)];
        assert!(switchable(&unclear, &id, Switch::End).is_err());
        let same = [login(Mark::Ours("keyroll/r/1".to_owned()), true)];
        assert!(switchable(&same, &id, Switch::Off).is_ok_and(|login| login.is_some()));
    }
}
