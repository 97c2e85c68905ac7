use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_rotation::{Capabilities, LastUsed, MintedBy, Overlap, Refusals};
use keyroll_secret::{Credential, Fields, SecretBytes};

use crate::{id, password};

/// A login is seen by every new connection once the change is answered; a second is far more than that takes.
const VISIBLE_MS_MAX: u64 = 1_000;
/// What a decoy holds if the system has no randomness; no password of ours has a dash.
const DECOY_WITHOUT_RANDOMNESS: &str = "keyroll-decoy";

/// The warning that goes with every login.
pub(crate) const OPEN_SESSIONS: &str =
    "sessions that are open outlive a revoked password until they are ended";

/// What is attempted when a server is asked under which address it sees a connection.
pub(crate) fn asking_seen_as(endpoint: &str) -> String {
    format!("ask {endpoint} under which address it sees a connection")
}

/// An endpoint that cannot be asked that.
pub(crate) fn unreachable(endpoint: &str) -> Failure {
    Failure::new(Class::Permanent, Code::RequestFailed, asking_seen_as(endpoint))
        .because("it is no host:port, or would be reached unencrypted")
}

/// The inputs of a mint: a free slot, and the password that was chosen for it.
pub(crate) struct Turn<'a> {
    /// The login that consumers use now.
    pub(crate) user: &'a str,
    /// The login that gets the password.
    pub(crate) slot: &'a str,
    /// The password.
    pub(crate) password: &'a SecretBytes,
    /// The whole proposed credential.
    pub(crate) proposed: &'a Credential,
}

/// Why a mint has no valid inputs, as a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// This field of a credential is missing, empty or no text.
    Field(&'static str),
    /// keyroll did not make the proposed credential or the label.
    Proposal(&'static str),
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        let permanent =
            |attempted: String| Self::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted);
        match wrong {
            Wrong::Field(field) => permanent(format!("read the field `{field}` of the credential"))
                .because("it is missing, empty or no text")
                .help("a login's secret has the fields user and password"),
            Wrong::Proposal(why) => permanent("mint a login".to_owned()).because(why),
        }
    }
}

/// What a server with two logins can do.
pub(crate) fn capabilities(attributes: bool, request_ms_max: u64) -> Capabilities {
    Capabilities {
        minted_by: MintedBy::Us,
        overlap: Overlap::TwoSlots,
        disable: true,
        label: true,
        mint_replaces: false,
        list: true,
        last_used: LastUsed::NotVisible,
        refusals: Refusals::ConsumerLogs,
        sessions: true,
        attributes,
        birth_ms_max: VISIBLE_MS_MAX,
        death_ms_max: VISIBLE_MS_MAX,
        request_ms_max,
    }
}

/// Reads the admin's file: `user:password` on one line; the password is all after the first colon, without the line's
/// end.
///
/// # Errors
/// Why it is none; the message shows nothing of it.
pub(crate) fn read_admin(
    content: &SecretBytes,
    is_name: impl Fn(&str) -> bool,
    attempted: &str,
) -> Result<(String, SecretBytes), Failure> {
    let wrong = |why: &str| {
        Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
            .because(why)
            .help("write one line `user:password` into the file that `admin` names")
    };
    let text = std::str::from_utf8(content.expose()).map_err(|_| wrong("it is not UTF-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains('\n') {
        return Err(wrong("it has more than one line"));
    }
    match line.split_once(':') {
        Some((user, password)) if is_name(user) && !password.is_empty() => {
            Ok((user.to_owned(), SecretBytes::new(password.as_bytes().to_vec())))
        }
        _ => Err(wrong("it is not of the form `user:password`")),
    }
}

/// The field `user` of a credential.
///
/// # Errors
/// [`Wrong::Field`]
pub(crate) fn user_of(credential: &Credential) -> Result<&str, Wrong> {
    let field = credential.fields.get("user");
    let text = field.and_then(|field| std::str::from_utf8(field.value.expose()).ok());
    text.filter(|user| !user.is_empty()).ok_or(Wrong::Field("user"))
}

/// The field `password` of a credential.
///
/// # Errors
/// [`Wrong::Field`]
pub(crate) fn password_of(credential: &Credential) -> Result<&SecretBytes, Wrong> {
    let field = credential.fields.get("password").map(|field| &field.value);
    field.filter(|password| !password.is_empty()).ok_or(Wrong::Field("password"))
}

/// The slot for the next credential: the other one. The first if the current login is no slot.
pub(crate) fn next_slot<'a>(slots: &'a [String; 2], current: &str) -> &'a str {
    let [one, two] = slots;
    if current == one { two } else { one }
}

/// The next credential: the next slot with a new password. `own` are parts that a credential may lack.
///
/// # Errors
/// The credential has no user, or the system no randomness.
pub(crate) fn propose(
    current: &Credential,
    slots: &[String; 2],
    own: &[(&str, String)],
) -> Result<Option<Credential>, Failure> {
    let slot = next_slot(slots, user_of(current)?);
    let fields = filled(current, slot, password::generate()?, own);
    Ok(Some(Credential { id: None, fields }))
}

/// The fields of the next credential: those of `current`, with this login and password. `own` are parts that a credential
/// may lack.
pub(crate) fn filled(
    current: &Credential,
    slot: &str,
    password: SecretBytes,
    own: &[(&str, String)],
) -> Fields {
    let mut fields = current.fields.duplicate();
    for (name, value) in own {
        if fields.get(name).is_none() {
            fields.insert(*name, SecretBytes::from(value.clone()), false);
        }
    }
    let secret_user = fields.get("user").is_some_and(|field| field.secret);
    fields.insert("user", SecretBytes::from(slot.to_owned()), secret_user);
    fields.insert("password", password, true);
    fields
}

/// The inputs of a mint, if `proposed` comes from [`propose`] and `label` is one of ours.
///
/// # Errors
/// [`Wrong`]
pub(crate) fn turn<'a>(
    slots: &[String; 2],
    label: &str,
    current: &'a Credential,
    proposed: Option<&'a Credential>,
) -> Result<Turn<'a>, Wrong> {
    let proposed = proposed.ok_or(Wrong::Proposal("nothing was proposed"))?;
    let (slot, password) = (user_of(proposed)?, password_of(proposed)?);
    let turn = Turn { user: user_of(current)?, slot, password, proposed };
    if !slots.iter().any(|slot| slot == turn.slot) || turn.slot == turn.user {
        return Err(Wrong::Proposal("the proposed user is not the free slot"));
    }
    if !password::is_plain(turn.password) {
        return Err(Wrong::Proposal("the proposed password is not printable ASCII"));
    }
    if !id::is_label(label) {
        return Err(Wrong::Proposal("the label does not start with keyroll/"));
    }
    Ok(turn)
}

/// A credential that must be refused: every secret field is wrong but the user. The user stays right, so that the
/// negative control tests this login and not another.
pub(crate) fn decoy(current: &Credential) -> Credential {
    let mut fields = current.fields.duplicate();
    let wrong = password::generate().unwrap_or_else(|_| DECOY_WITHOUT_RANDOMNESS.to_owned().into());
    let secret = current.fields.secrets().map(|(name, _)| name.to_owned()).filter(|name| name != "user");
    let secret: Vec<String> = secret.collect();
    for name in &secret {
        fields.insert(name.as_str(), wrong.duplicate(), true);
    }
    fields.insert("password", wrong, true);
    Credential { id: None, fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> [String; 2] {
        ["orders_a", "orders_b"].map(str::to_owned)
    }

    fn credential(user: &str, password: &str) -> Credential {
        let mut fields = Fields::new();
        fields.insert("user", SecretBytes::from(user.to_owned()), false);
        fields.insert("password", SecretBytes::from(password.to_owned()), true);
        Credential { id: None, fields }
    }

    #[test]
    fn the_slots_take_turns() {
        let slots = slots();
        assert_eq!(next_slot(&slots, "orders"), "orders_a");
        assert_eq!(next_slot(&slots, "orders_a"), "orders_b");
        assert_eq!(next_slot(&slots, "orders_b"), "orders_a");
    }

    #[test]
    fn the_admin_file_is_one_line_and_never_shown() {
        let read =
            |text: &str| read_admin(&SecretBytes::from(text.to_owned()), |name| !name.is_empty(), "read it");
        let (user, password) = read("ada:se:cret\n").unwrap();
        assert_eq!((user.as_str(), password.expose()), ("ada", &b"se:cret"[..]));
        for text in ["", "canary", ":canary", "canary:", "a:canary\nb:canary\n"] {
            let failure = read(text).err().unwrap();
            assert!(!format!("{failure:?}").contains("canary"));
        }
    }

    #[test]
    fn only_a_proposal_of_ours_is_a_turn() {
        let (slots, current) = (slots(), credential("orders", "old"));
        let own = [("host", "127.0.0.1".to_owned())];
        let proposed = propose(&current, &slots, &own).unwrap().unwrap();
        assert_eq!(proposed.fields.get("host").map(|field| field.secret), Some(false));
        let wrong =
            |label: &str, proposed: Option<&Credential>| turn(&slots, label, &current, proposed).err();
        assert_eq!(wrong("keyroll/r/1", Some(&proposed)), None);
        for (label, proposed) in [
            ("keyroll/r/1", None),
            ("other/r/1", Some(&proposed)),
            ("keyroll/r/1", Some(&credential("orders", "new"))),
            ("keyroll/r/1", Some(&credential("somebody", "new"))),
            ("keyroll/r/1", Some(&credential("orders_a", "n\u{e9}w"))),
        ] {
            assert!(matches!(wrong(label, proposed), Some(Wrong::Proposal(_))), "{label}");
        }
        assert_eq!(wrong("keyroll/r/1", Some(&credential("orders_a", ""))), Some(Wrong::Field("password")));
    }

    #[test]
    fn a_decoy_is_the_same_user_with_every_secret_wrong() {
        let mut current = credential("orders", "old");
        current.fields.insert("token", SecretBytes::from("old".to_owned()), true);
        let decoy = decoy(&current);
        assert_eq!(user_of(&decoy), Ok("orders"));
        assert!(decoy.fields.secrets().all(|(_, secret)| secret.expose() != b"old"));
    }
}
