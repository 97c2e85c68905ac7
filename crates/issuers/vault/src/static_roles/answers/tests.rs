use keyroll_codes::Code;
use keyroll_http::HeaderMap;
use keyroll_testkit::alphanumeric;
use zeroize::Zeroizing;

use super::*;
use crate::attempt::{Codes, Nature};

const AT: &str = "2026-11-28T06:11:22.123456789Z";

fn role() -> StaticRole {
    StaticRole::parse("database/orders-a").unwrap()
}

fn answer(status: u16, body: &str) -> Response {
    Response { status, headers: HeaderMap::new(), body: Zeroizing::new(body.as_bytes().to_vec()) }
}

fn attempt(nature: Nature) -> Attempt<'static> {
    Attempt { what: "use", place: "database/orders-a", nature, codes: &Codes::ISSUER }
}

fn reads(body: &str) -> Result<RoleState, Failure> {
    state(&attempt(Nature::Read), &role(), &answer(200, body))
}

fn gives(body: &str) -> Result<RoleCredential, Failure> {
    credential(&attempt(Nature::Read), &role(), &answer(200, body))
}

/// The answer of Vault 1.21 about a role, with one thing changed.
fn of_role(now: &str, then: &str) -> String {
    let body = format!(
        "{{\"request_id\":\"r\",\"data\":{{\"credential_type\":\"password\",\"db_name\":\"orders\",\
         \"last_vault_rotation\":\"{AT}\",\"rotation_period\":86400,\"rotation_statements\":[],\
         \"skip_import_rotation\":false,\"username\":\"orders_a\"}}}}"
    );
    assert!(body.contains(now), "{now}");
    body.replace(now, then)
}

/// The answer with a password, as it stands in JSON, with one thing changed.
fn with_password(password: &str, now: &str, then: &str) -> String {
    let body = format!(
        "{{\"data\":{{\"last_vault_rotation\":\"{AT}\",\"password\":{password},\"rotation_period\":86400,\
         \"ttl\":86399,\"username\":\"orders_a\"}}}}"
    );
    assert!(body.contains(now), "{now}");
    body.replace(now, then)
}

/// The words of a failure.
fn words(failure: &Failure) -> String {
    let why = failure.source.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{failure}: {why}: {}", failure.help.as_deref().unwrap_or_default())
}

#[test]
fn a_role_is_read_as_vault_shows_it() {
    let read = reads(&of_role("orders_a", "orders_a")).unwrap();
    let expected = RoleState {
        username: "orders_a".to_owned(),
        database: "orders".to_owned(),
        is_password: true,
        rotated: AT.to_owned(),
        turns: Turns::Period { s: 86_400 },
    };
    assert_eq!(read, expected);
    let schedule = of_role("\"rotation_period\":86400", "\"rotation_schedule\":\"0 0 * * SAT\"");
    assert_eq!(reads(&schedule).unwrap().turns, Turns::Schedule("0 0 * * SAT".to_owned()));
    assert!(!reads(&of_role("\"password\"", "\"rsa_private_key\"")).unwrap().is_password);
    let zoned = "2026-11-28T06:11:22.123456789+01:00";
    assert_eq!(reads(&of_role(AT, zoned)).unwrap().rotated, zoned);
}

#[test]
fn a_password_that_vault_did_not_change_yet_is_refused() {
    let none = format!("\"last_vault_rotation\":\"{AT}\",");
    for body in [of_role(&none, ""), of_role(AT, "0001-01-01T00:00:00Z")] {
        let failure = reads(&body).unwrap_err();
        assert_eq!((failure.class, failure.code), (Class::Permanent, Code::IssuerSettingsInvalid));
        assert!(words(&failure).contains("vault write -f database/rotate-role/orders-a"), "{failure}");
    }
    let failure = gives(&with_password("\"p\"", &none, "")).err().unwrap();
    assert!(words(&failure).contains("has not changed"), "{failure}");
}

#[test]
fn an_answer_of_another_form_is_not_believed() {
    let canary = alphanumeric(20);
    for body in [
        String::new(),
        format!("<html>{canary}</html>"),
        "{\"data\":null}".to_owned(),
        of_role("\"rotation_period\":86400,", ""),
        of_role("\"rotation_period\":86400", "\"rotation_period\":0"),
        of_role("\"rotation_period\":86400", "\"rotation_period\":86400,\"rotation_schedule\":\"* * * * *\""),
        of_role(AT, &canary),
        of_role(AT, "2026-11-28T06:11:22Z[UTC]"),
        of_role("\"orders_a\"", "\"\""),
        of_role("\"orders_a\"", "\"a\\u001b[2J\""),
        of_role("\"orders_a\"", &format!("\"orders_a\",\"username\":\"{canary}\"")),
    ] {
        let failure = reads(&body).unwrap_err();
        assert_eq!((failure.class, failure.code), (Class::Retryable, Code::RequestFailed), "{body}");
        assert!(!words(&failure).contains(&canary), "{body}");
    }
}

#[test]
fn a_password_is_read_without_its_escapes_and_never_shown() {
    let password = format!("{}<&>\"\\-é", alphanumeric(20));
    let json = serde_json::to_string(&password).unwrap().replace('<', "\\u003c").replace('&', "\\u0026");
    let read = gives(&with_password(&json, "orders_a", "orders_a")).ok().unwrap();
    assert_eq!(read.password.expose(), password.as_bytes());
    assert_eq!((read.username.as_str(), read.rotated.as_str(), read.ttl_s), ("orders_a", AT, Some(86_399)));
    let without = gives(&with_password(&json, ",\"rotation_period\":86400,\"ttl\":86399", "")).ok().unwrap();
    assert_eq!(without.ttl_s, None);

    let named = format!("\"password\":{json}");
    for (then, class, word) in [
        ("\"rsa_private_key\":\"k\"".to_owned(), Class::Permanent, "no password"),
        ("\"password\":\"\"".to_owned(), Class::Retryable, "not Vault's"),
        ("\"password\":7".to_owned(), Class::Retryable, "not Vault's"),
        (format!("{named},{named}"), Class::Retryable, "not Vault's"),
        (format!("{named},"), Class::Retryable, "not Vault's"),
    ] {
        let failure = gives(&with_password(&json, &named, &then)).err().unwrap();
        let words = words(&failure);
        assert_eq!(failure.class, class, "{words}");
        assert!(words.contains(word), "{words}");
        assert!(!words.contains(password.get(..20).unwrap()), "{words}");
    }
}

#[test]
fn what_does_not_exist_is_named_with_the_next_command() {
    let missing = answer(404, "{\"errors\":[]}");
    let unknown = answer(400, "{\"errors\":[\"unknown role: orders-a\"]}");
    let no_role = answer(400, "{\"errors\":[\"no static role found for role name\"]}");
    let no_engine =
        answer(404, "{\"errors\":[\"no handler for route \\\"database/static-roles/orders-a\\\"\"]}");
    let (look, turn) = (attempt(Nature::Read), attempt(Nature::Change));
    for (failure, word) in [
        (state(&look, &role(), &missing).err(), "`vault list database/static-roles`"),
        (credential(&look, &role(), &unknown).err(), "`vault list database/static-roles`"),
        (rotated(&turn, &role(), &no_role).err(), "`vault list database/static-roles`"),
        (state(&look, &role(), &no_engine).err(), "`vault secrets list`"),
        (rotated(&turn, &role(), &no_engine).err(), "`vault secrets list`"),
    ] {
        let failure = failure.unwrap();
        assert_eq!((failure.class, failure.code), (Class::Permanent, Code::IssuerSettingsInvalid), "{word}");
        let words = words(&failure);
        assert!(words.contains(word), "{words}");
    }
}

#[test]
fn a_role_that_its_connection_does_not_allow_has_no_password() {
    let denied =
        answer(500, "{\"errors\":[\"1 error occurred:\\n\\t* \\\"orders-a\\\" is not an allowed role\"]}");
    let failure = credential(&attempt(Nature::Read), &role(), &denied).err().unwrap();
    assert_eq!((failure.class, failure.code), (Class::Permanent, Code::IssuerSettingsInvalid));
    assert!(words(&failure).contains("allowed_roles"), "{failure}");
}

#[test]
fn the_outcome_of_a_change_is_open_unless_vault_says_that_it_did_nothing() {
    let turn = attempt(Nature::Change);
    let of = |status: u16, body: &str| rotated(&turn, &role(), &answer(status, body));
    assert!(of(204, "").is_ok());
    assert!(of(200, "{\"warnings\":[\"w\"]}").is_ok());
    let unfinished = "{\"errors\":[\"1 error occurred:\\n\\t* unable to finish rotating credentials; retries will \
                      continue in the background but it is also safe to retry manually: error setting credentials\"]}";
    let denied = unfinished.replace("error setting credentials", "\\\"orders-a\\\" is not an allowed role");
    for (status, body, class, word) in [
        (500, unfinished, Class::Unknown, "tries again by itself"),
        (500, denied.as_str(), Class::Unknown, "allowed_roles"),
        (500, "{\"errors\":[\"internal error\"]}", Class::Unknown, "status 500"),
        (503, "{\"errors\":[\"no active Vault instance found\"]}", Class::Unknown, "standby"),
        (502, "<html></html>", Class::Unknown, "status 502"),
        (307, "", Class::Unknown, "another address"),
        (473, "", Class::Unknown, "performance standby"),
        (503, "{\"errors\":[\"Vault is sealed\"]}", Class::Retryable, "vault operator unseal"),
        (429, "", Class::Retryable, "limits the rate"),
        (412, "", Class::Retryable, "not up to date"),
    ] {
        let failure = of(status, body).unwrap_err();
        let words = words(&failure);
        assert_eq!((failure.class, failure.code), (class, Code::RequestFailed), "{words}");
        assert!(words.contains(word), "{words}");
    }
}

#[test]
fn a_right_is_missing_unless_its_path_has_it_or_all() {
    let wanted = [("a".to_owned(), "\"read\""), ("b".to_owned(), "\"update\"")];
    let of = |body: &str| {
        let answer = answer(200, body);
        missing(&answer, &wanted).map(|missing| missing.len())
    };
    assert_eq!(of("{\"data\":{\"a\":[\"list\",\"read\"],\"b\":[\"update\"]}}"), Some(0));
    assert_eq!(of("{\"data\":{\"a\":[\"root\"],\"b\":[\"root\"]}}"), Some(0));
    assert_eq!(of("{\"data\":{\"a\":[\"deny\"],\"b\":[\"read\",\"create\"]}}"), Some(2));
    assert_eq!(of("{\"data\":{\"a\":[\"read\"]}}"), None);
    assert_eq!(of("{\"data\":null}"), None);
}
