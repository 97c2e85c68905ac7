use std::collections::BTreeMap;

use jiff::Timestamp;
use keyroll_http::{Response, strict_json};
use keyroll_port::{Class, Failure};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::role::{ROTATE, RoleCredential, RoleState, STATE, StaticRole, Turns};
use crate::attempt::Attempt;
use crate::failure::{foreign, refused, says};
use crate::json_text;

/// The longest login that is read, bytes. PostgreSQL takes 63.
/// Source: <https://www.postgresql.org/docs/current/limits.html>.
const LOGIN_BYTES_MAX: usize = 256;

/// The longest schedule or name of a connection that is read, bytes.
const TEXT_BYTES_MAX: usize = 512;

/// The longest time, bytes: `2026-11-28T06:11:22.123456789+01:00`.
const TIME_BYTES_MAX: usize = 35;

/// What is said of a role that the connection does not allow.
/// Source: <https://github.com/hashicorp/vault/blob/main/builtin/logical/database/path_creds_create.go>.
const NOT_ALLOWED: &str = "is not an allowed role";

/// What is said where the database did not take the new password.
/// Source: <https://github.com/hashicorp/vault/blob/main/builtin/logical/database/path_rotate_credentials.go>.
const UNFINISHED: &str = "unable to finish rotating credentials";

/// The answer about a role.
/// Source: <https://github.com/hashicorp/vault/blob/main/builtin/logical/database/path_roles.go>, `pathStaticRoleRead`.
#[derive(Deserialize)]
struct StateAnswer {
    data: State,
}

#[derive(Deserialize)]
struct State {
    username: String,
    db_name: String,
    credential_type: String,
    /// Missing where Vault has not changed the password yet.
    last_vault_rotation: Option<String>,
    /// Seconds. Either this or the schedule is there.
    rotation_period: Option<u64>,
    rotation_schedule: Option<String>,
}

/// The answer with a password.
/// Source: <https://github.com/hashicorp/vault/blob/main/builtin/logical/database/path_creds_create.go>,
/// `pathStaticCredsRead`.
#[derive(Deserialize)]
struct CredentialAnswer<'a> {
    #[serde(borrow)]
    data: Given<'a>,
}

#[derive(Deserialize)]
struct Given<'a> {
    username: String,
    /// Borrowed as it stands there: the parser copies no byte of it. Missing where the credential is a key.
    #[serde(borrow)]
    password: Option<&'a RawValue>,
    last_vault_rotation: Option<String>,
    /// Seconds.
    ttl: Option<u64>,
}

/// The answer about capabilities, by path.
/// Source: <https://developer.hashicorp.com/vault/api-docs/system/capabilities-self>.
#[derive(Deserialize)]
struct CapabilitiesAnswer {
    data: BTreeMap<String, Vec<String>>,
}

/// A role as it is there.
pub(super) fn state(
    attempt: &Attempt<'_>,
    role: &StaticRole,
    answer: &Response,
) -> Result<RoleState, Failure> {
    match answer.status {
        200 => {}
        // Vault answers so where there is nothing to read. Another server's page of this status does not have the word.
        404 if says(answer, "\"errors\"") => return Err(absent(attempt, role, answer)),
        _ => return Err(refused(attempt, answer)),
    }
    let read: Result<StateAnswer, _> = strict_json::read(&answer.body);
    let state = read.map_err(|_| foreign(attempt, answer))?.data;
    let turns = match (state.rotation_period, state.rotation_schedule) {
        (Some(s), None) if s > 0 => Turns::Period { s },
        (None, Some(schedule)) if is_text(&schedule, TEXT_BYTES_MAX) => Turns::Schedule(schedule),
        _ => return Err(foreign(attempt, answer)),
    };
    if !is_text(&state.username, LOGIN_BYTES_MAX) || !is_text(&state.db_name, TEXT_BYTES_MAX) {
        return Err(foreign(attempt, answer));
    }
    Ok(RoleState {
        username: state.username,
        database: state.db_name,
        is_password: state.credential_type == "password",
        rotated: rotated_at(attempt, role, answer, state.last_vault_rotation)?,
        turns,
    })
}

/// The password of a role.
pub(super) fn credential(
    attempt: &Attempt<'_>,
    role: &StaticRole,
    answer: &Response,
) -> Result<RoleCredential, Failure> {
    match answer.status {
        200 => {}
        400 if says(answer, "unknown role") => return Err(absent(attempt, role, answer)),
        404 if says(answer, "\"errors\"") => return Err(absent(attempt, role, answer)),
        500 if says(answer, NOT_ALLOWED) => {
            let why = "its connection in Vault does not allow this role (500)";
            return Err(unsuitable(attempt, why, allow(role)));
        }
        _ => return Err(refused(attempt, answer)),
    }
    // The parser's own message is dropped: it repeats a part of the text.
    let read: Result<CredentialAnswer<'_>, _> = serde_json::from_slice(&answer.body);
    let given = read.map_err(|_| foreign(attempt, answer))?.data;
    let Some(password) = given.password else {
        let help = "name static roles with `credential_type=password` in `vault_roles`".to_owned();
        return Err(unsuitable(attempt, "its credential is no password", help));
    };
    let password = json_text::secret(password.get()).ok_or_else(|| foreign(attempt, answer))?;
    let rotated = rotated_at(attempt, role, answer, given.last_vault_rotation)?;
    if password.is_empty() || !is_text(&given.username, LOGIN_BYTES_MAX) {
        return Err(foreign(attempt, answer));
    }
    Ok(RoleCredential { username: given.username, password, rotated, ttl_s: given.ttl })
}

/// Whether the password was changed.
pub(super) fn rotated(attempt: &Attempt<'_>, role: &StaticRole, answer: &Response) -> Result<(), Failure> {
    match answer.status {
        200..=299 => Ok(()),
        400 if says(answer, "no static role found") => Err(absent(attempt, role, answer)),
        404 if says(answer, "\"errors\"") => Err(absent(attempt, role, answer)),
        500 if says(answer, UNFINISHED) => Err(unfinished(attempt, role, answer)),
        _ => Err(refused(attempt, answer)),
    }
}

/// The new password may be there already, or later: Vault keeps it and tries again.
fn unfinished(attempt: &Attempt<'_>, role: &StaticRole, answer: &Response) -> Failure {
    let (why, first) = if says(answer, NOT_ALLOWED) {
        ("its connection does not allow this role", allow(role))
    } else {
        let why = "Vault got no confirmation that the database took the new password";
        (why, "the log of the Vault server says why: see that Vault reaches the database and may change this login".to_owned())
    };
    let failure = attempt.unclear(format!("{why} (500); it tries again by itself, about every 10 seconds"));
    failure.help(format!(
        "{first}; `vault read {}` shows a new last_vault_rotation when it has succeeded",
        role.path(STATE)
    ))
}

/// The failure for a role, an engine or a namespace that does not exist.
fn absent(attempt: &Attempt<'_>, role: &StaticRole, answer: &Response) -> Failure {
    let (mount, name) = (&role.mount, &role.name);
    if says(answer, "namespace not found") {
        let help = "correct `namespace` in keyroll.toml, or VAULT_NAMESPACE: `vault namespace list`";
        return unsuitable(attempt, "there is no such namespace", help.to_owned());
    }
    // Source: <https://github.com/hashicorp/vault/blob/main/vault/router.go>; the second, of an engine of another kind.
    if ["no handler for route", "unsupported path"].iter().any(|words| says(answer, words)) {
        let why = "there is no database engine at this path";
        let help =
            format!("correct {mount} in `vault_roles`: `vault secrets list` names the database engines");
        return unsuitable(attempt, why, help);
    }
    let why = format!("there is no static role of this name ({})", answer.status);
    let help = format!(
        "correct `vault_roles`: `vault list {mount}/{STATE}` names those that exist; or make it, which changes the password of \
         its login at once: `vault write {mount}/{STATE}/{name} db_name=CONNECTION username=LOGIN rotation_period=8760h`"
    );
    unsuitable(attempt, &why, help)
}

fn allow(role: &StaticRole) -> String {
    format!(
        "add {} to the others in `allowed_roles` of its connection: `vault read {}` names the connection in db_name, `vault \
         read {}/config/NAME` shows the others",
        role.name,
        role.path(STATE),
        role.mount
    )
}

fn unsuitable(attempt: &Attempt<'_>, why: &str, help: String) -> Failure {
    attempt.fail(Class::Permanent, attempt.codes.unsuitable).because(why.to_owned()).help(help)
}

/// The time of the last change as it is shown. Vault leaves it out where it did not change the password yet
/// (`skip_import_rotation`); an older one may show the year 1.
fn rotated_at(
    attempt: &Attempt<'_>,
    role: &StaticRole,
    answer: &Response,
    shown: Option<String>,
) -> Result<String, Failure> {
    let never = || {
        let why = "Vault has not changed the password of this login yet";
        let help = format!(
            "at a time when no program uses this login: `vault write -f {}`; then the same command again",
            role.path(ROTATE)
        );
        unsuitable(attempt, why, help)
    };
    let shown = shown.ok_or_else(never)?;
    let time = moment(&shown).ok_or_else(|| foreign(attempt, answer))?;
    if time > Timestamp::UNIX_EPOCH { Ok(shown) } else { Err(never()) }
}

/// Whether one time is later than another, as Vault shows them; two that are no times are compared as texts.
pub fn is_later(shown: &str, than: &str) -> bool {
    match (moment(shown), moment(than)) {
        (Some(shown), Some(than)) => shown > than,
        _ => shown != than,
    }
}

/// A time in the form of RFC 3339, and in no other.
fn moment(text: &str) -> Option<Timestamp> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || b"-+:.TZ".contains(&byte);
    let is_short = text.len() <= TIME_BYTES_MAX;
    (is_short && text.bytes().all(is_plain)).then(|| text.parse().ok())?
}

/// A name that can be shown.
fn is_text(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The rights of these that the token does not have; `None` where the answer does not tell.
pub(super) fn missing<'a>(
    answer: &Response,
    wanted: &'a [(String, &'static str)],
) -> Option<Vec<(&'a str, &'a str)>> {
    let read: CapabilitiesAnswer = strict_json::read(&answer.body).ok()?;
    let mut missing = Vec::new();
    for (path, capability) in wanted {
        let held = read.data.get(path)?;
        let one = capability.trim_matches('"');
        if !held.iter().any(|held| held == one || held == "root") {
            missing.push((path.as_str(), *capability));
        }
    }
    Some(missing)
}

#[cfg(test)]
mod tests;
