//! The body of a request, read strictly: nothing is guessed, and no sentence repeats a part of it.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::answer::Refusal;
use crate::request::{BODY_BYTES_MAX, body, why};

/// The most names in a list.
const NAMES_MAX: usize = 64;
/// The longest name, characters.
const NAME_LENGTH_MAX: usize = 1_024;

/// The body as this type; `form` shows how it is written.
pub(super) async fn read<T: DeserializeOwned>(request: Request, form: &str) -> Result<T, Response> {
    let bytes = body(request, BODY_BYTES_MAX).await?;
    parsed(&bytes, form).map_err(refused)
}

/// The same; an empty body is the default.
pub(super) async fn read_or_default<T: DeserializeOwned + Default>(
    request: Request,
    form: &str,
) -> Result<T, Response> {
    let bytes = body(request, BODY_BYTES_MAX).await?;
    match bytes.is_empty() {
        true => Ok(T::default()),
        false => parsed::<Option<T>>(&bytes, form).map(Option::unwrap_or_default).map_err(refused),
    }
}

/// Refuses a body: what the caller meant by it would be ignored.
pub(super) async fn none(request: Request) -> Result<(), Response> {
    match body(request, BODY_BYTES_MAX).await?.is_empty() {
        true => Ok(()),
        false => Err(refused("this request has no body".to_owned())),
    }
}

/// A pending change, by the name that the plan shows.
#[derive(ToSchema)]
#[schema(as = AcceptedName, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,1024}$")]
#[expect(dead_code, reason = "its form stands in the description of the API")]
pub(super) struct AcceptedName(String);

/// The names of a list, if they can be words of a command.
pub(super) fn names(names: Vec<String>) -> Result<Vec<String>, Refusal> {
    let fits = |name: &String| {
        (1..=NAME_LENGTH_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
    };
    match names.len() <= NAMES_MAX && names.iter().all(fits) {
        true => Ok(names),
        false => Err(Refusal::new(format!(
            "the body is not understood: `accept` has at most {NAMES_MAX} names of 1 to {NAME_LENGTH_MAX} characters, without control characters"
        ))),
    }
}

fn refused(why: String) -> Response {
    Refusal::new(format!("the body is not understood: {why}")).answered(StatusCode::BAD_REQUEST)
}

fn parsed<T: DeserializeOwned>(bytes: &[u8], form: &str) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| why(&error, "of another type", form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        secret: String,
    }

    #[test]
    fn a_body_is_read_strictly_and_never_repeated() {
        let read = |text: &str| parsed::<One>(text.as_bytes(), "{\"secret\": \"NAME\"}");
        assert_eq!(read(r#"{"secret":"db"}"#).unwrap().secret, "db");
        for bad in [
            "",
            "canary",
            "[]",
            "{}",
            r#"{"secret":"db","canary":1}"#,
            r#"{"secret":{"canary":1}}"#,
            r#"{"secret":"db","secret":"canary"}"#,
            r#"{"secret":"db"} canary"#,
        ] {
            let why = read(bad).unwrap_err();
            assert!(!why.contains("canary") && why.contains("send {"), "{why}");
        }
    }

    #[test]
    fn a_name_can_be_a_word_of_a_command() {
        let is = |name: String| names(vec![name]).is_ok();
        assert!(is("PORT of api.env".to_owned()) && is("x".repeat(NAME_LENGTH_MAX)));
        for bad in [String::new(), "a\0b".to_owned(), "a\nb".to_owned(), "x".repeat(NAME_LENGTH_MAX + 1)] {
            assert!(!is(bad));
        }
        assert!(names(vec!["x".to_owned(); NAMES_MAX + 1]).is_err());
    }
}
