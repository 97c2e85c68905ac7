//! `GET /v1/openapi.json`: what the server answers, made from the handlers and from the types of their answers.

use axum::http::StatusCode;
use axum::response::Response;
use keyroll_app::operator::ActShown;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Content, Ref, RefOr, Response as Described};
use utoipa::{Modify, OpenApi};

use crate::answer::{PROBLEM_JSON, ProblemAnswer, json};

/// What the guard, and a state that cannot be read, may answer to any request.
const ALWAYS: [(&str, &str); 4] = [
    ("401", "No valid token, or more than one"),
    ("403", "The role of the token does not allow it, or the Host or the Origin is not this machine"),
    ("429", "Too many requests; Retry-After has the seconds"),
    ("503", "What is needed cannot be read now; Retry-After has the seconds"),
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "keyroll",
        description = "Replaces API keys while they are in use. The server listens on loopback; every answer is made from \
                       the journal, and none has a value of a secret."
    ),
    paths(
        crate::api::rotations::list,
        crate::api::rotations::one,
        crate::api::rotations::begin,
        crate::api::rotations::resume,
        crate::api::rotations::retry,
        crate::api::rotations::pause,
        crate::api::rotations::abort,
        crate::api::plans::plan,
        crate::api::approvals::approve,
        crate::api::reads::history,
        crate::api::reads::audit,
        crate::api::reads::due,
        crate::api::reads::secrets,
        crate::api::reads::incidents,
        crate::api::events::events,
        crate::api::commands::run,
        crate::rotate::rotate,
        crate::show::status,
        openapi,
    ),
    components(schemas(ProblemAnswer, ActShown)),
    security(("bearer" = []), ("header" = [])),
    tags(
        (name = "rotations", description = "Shows rotations, begins them, and goes on with them"),
        (name = "plans", description = "Makes plans; nothing is touched"),
        (name = "approvals", description = "Consents to the end of an old key"),
        (name = "reads", description = "Reads what keyroll knows"),
        (name = "commands", description = "Runs commands of keyroll that only read"),
        (name = "emergency", description = "Replaces a leaked key"),
    ),
    modifiers(&Everywhere)
)]
struct Api;

/// What holds for every operation: how a token is sent, and the form of a refusal.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_with(Components::new);
        let header = ApiKeyValue::new("X-Admin-Token");
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("header", SecurityScheme::ApiKey(ApiKey::Header(header)));
        for item in api.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                complete(operation);
            }
        }
    }
}

fn complete(operation: &mut Operation) {
    // Without a tag of its own, an operation has the path of its module.
    for tag in operation.tags.iter_mut().flatten() {
        if let Some((_, module)) = tag.rsplit_once("::") {
            *tag = module.to_owned();
        }
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in ALWAYS {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Described::new(description)));
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) && response.content.is_empty() {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert(PROBLEM_JSON.to_owned(), problem);
        }
    }
}

/// This description of the API.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "reads",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")),
)]
pub(crate) async fn openapi() -> Response {
    json(StatusCode::OK, &Api::openapi())
}

/// The description of the server's API as OpenAPI 3.1, for `keyroll serve --openapi`.
pub fn openapi_json() -> String {
    Api::openapi().to_pretty_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    /// Each path with its method.
    fn described(document: &Value) -> BTreeSet<(String, String)> {
        let paths = document["paths"].as_object().unwrap();
        let mut all = BTreeSet::new();
        for (path, item) in paths {
            all.extend(item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())));
        }
        all
    }

    /// The same of the routes that the source registers, without those that have forms of their own.
    fn registered(source: &str) -> BTreeSet<(String, String)> {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let code: String = code.split_whitespace().collect();
        let mut all = BTreeSet::new();
        for rest in code.split(".route(\"").skip(1) {
            let (path, rest) = rest.split_once('"').unwrap();
            let mut depth = 0;
            let call = rest.chars().take_while(|c| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth >= 0
            });
            let call: String = call.collect();
            let methods = ["get", "post"].into_iter().filter(|method| call.contains(&format!("{method}(")));
            all.extend(methods.map(|method| (path.to_owned(), method.to_owned())));
        }
        all.retain(|(path, _)| path != "/metrics" && path != "/health" && !path.starts_with("/alerts/"));
        all
    }

    /// Calls `see` with every object of the document.
    fn walk(value: &Value, see: &mut impl FnMut(&serde_json::Map<String, Value>)) {
        if let Some(object) = value.as_object() {
            see(object);
            object.values().for_each(|value| walk(value, see));
        }
        value.as_array().into_iter().flatten().for_each(|value| walk(value, see));
    }

    #[test]
    fn every_route_is_described_and_no_other() {
        let mut routes = registered(include_str!("../serve.rs"));
        routes.extend(registered(include_str!("../api.rs")));
        assert!(routes.len() > 10, "{routes:?}");
        assert_eq!(described(&document()), routes);
    }

    #[test]
    fn every_operation_may_refuse_and_says_how() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let known: BTreeSet<&str> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        let mut ids = BTreeSet::new();
        for (path, method) in described(&document) {
            let operation = &document["paths"][&path][&method];
            for status in ["401", "403", "503"] {
                let content = &operation["responses"][status]["content"][PROBLEM_JSON];
                assert_eq!(
                    content["schema"]["$ref"], "#/components/schemas/Problem",
                    "{method} {path} {status}"
                );
            }
            let tag = operation["tags"][0].as_str().unwrap();
            assert!(known.contains(tag), "{method} {path}: {tag}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        }
    }

    #[test]
    fn every_form_is_there_and_none_has_a_value() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        walk(&document, &mut |object| {
            if let Some(name) = object.get("$ref").and_then(Value::as_str) {
                let name = name.strip_prefix("#/components/schemas/").unwrap();
                assert!(schemas.contains_key(name), "{name}");
            }
        });
        for (name, schema) in schemas {
            walk(schema, &mut |object| {
                for property in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    let asked = name == "RotateSecret" && property.0 == "new_value";
                    assert!(asked || !property.0.contains("value"), "{name}: {}", property.0);
                }
            });
        }
        let new_value = &schemas["RotateSecret"]["properties"]["new_value"];
        assert_eq!(new_value["writeOnly"], true, "{new_value}");
    }
}
