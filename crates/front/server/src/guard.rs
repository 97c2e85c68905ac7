//! What every request must have: a host and an origin of this machine, and a valid token of a role that may do what is
//! asked. Nothing of a request's body is read before that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use keyroll_app::places::Asker;
use keyroll_app::problem::Problem;
use zeroize::Zeroizing;

use crate::answer::Refusal;
use crate::counters::Reason;
use crate::listen::Connection;
use crate::role::Role;
use crate::server::Server;
use crate::tokens::Caller;

/// The header of the token; the other one is `Authorization`.
const TOKEN: &str = "x-admin-token";

/// Every page behind a token: its method, its path as the router has it, and the role that it needs. A page that is not
/// here is refused, so that a new one is not open by mistake.
const PAGES: &[(&str, &str, Role)] = &[
    ("GET", "/metrics", Role::Viewer),
    ("GET", "/secret-status", Role::Viewer),
    ("POST", "/rotate-secret", Role::Responder),
    ("GET", "/v1/rotations", Role::Viewer),
    ("POST", "/v1/rotations", Role::Operator),
    ("GET", "/v1/rotations/{id}", Role::Viewer),
    ("POST", "/v1/rotations/{id}/resume", Role::Operator),
    ("POST", "/v1/rotations/{id}/retry", Role::Operator),
    ("POST", "/v1/rotations/{id}/pause", Role::Operator),
    ("POST", "/v1/rotations/{id}/abort", Role::Operator),
    ("POST", "/v1/rotations/{id}/approve", Role::Approver),
    ("POST", "/v1/plans", Role::Operator),
    ("GET", "/v1/history", Role::Viewer),
    ("GET", "/v1/audit", Role::Viewer),
    ("GET", "/v1/due", Role::Viewer),
    ("GET", "/v1/secrets", Role::Viewer),
    ("GET", "/v1/incidents", Role::Viewer),
    ("GET", "/v1/events", Role::Viewer),
    ("GET", "/v1/openapi.json", Role::Viewer),
    // The command itself says which role it needs.
    ("POST", "/v1/commands", Role::Viewer),
];

/// Refuses a page of another site, which a browser on this machine may have loaded: its requests have a foreign `Host`
/// or `Origin`.
pub(crate) async fn local(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let named = || only(headers, header::HOST.as_str()).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|it| it.as_str()).or_else(named);
    if !host.is_some_and(is_local) {
        server.counters.refused(Reason::Host);
        let refusal = Refusal::new("the request's Host is not this machine: use http://127.0.0.1:PORT");
        return refusal.answered(StatusCode::FORBIDDEN);
    }
    let foreign = headers.get_all(header::ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        !origin.strip_prefix("http://").is_some_and(is_local)
    });
    if foreign {
        server.counters.refused(Reason::Origin);
        let refusal = Refusal::new("the request comes from a page of another site (its Origin)");
        return refusal.answered(StatusCode::FORBIDDEN);
    }
    next.run(request).await
}

/// Refuses a request without a valid token, or with one of a role that may not do this.
pub(crate) async fn token(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let given = given(request.headers());
    match server.caller(&given) {
        Ok(Some(caller)) => {
            // Who cannot begin an emergency makes room for one, like anybody else.
            if let Some(connection) =
                request.extensions().get::<Arc<Connection>>().filter(|_| caller.role.allows(Role::Responder))
            {
                connection.is_known();
            }
            match page(request.method(), request.uri().path()) {
                Page::Known { needed, .. } if caller.role.allows(needed) => {
                    request.headers_mut().remove(TOKEN);
                    request.headers_mut().remove(header::AUTHORIZATION);
                    request.extensions_mut().insert(caller);
                    next.run(request).await
                }
                Page::Known { needed, name } => without_role(&server, &caller, needed, &name),
                Page::OtherMethods(methods) => with_methods(&methods),
                Page::Unknown => no_page().await,
            }
        }
        Ok(None) => {
            let asked = match page(request.method(), request.uri().path()) {
                Page::Known { name, .. } => name,
                Page::OtherMethods(_) | Page::Unknown => "another page".to_owned(),
            };
            closing(unknown(&server, &asked))
        }
        Err(problem) => closing(unreadable(&server, &problem)),
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Page {
    /// A page that needs this role, with its name.
    Known {
        needed: Role,
        name: String,
    },
    /// A page that is asked for by these methods only.
    OtherMethods(Vec<&'static str>),
    Unknown,
}

fn page(method: &Method, path: &str) -> Page {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let of_path = || PAGES.iter().filter(move |(_, known, _)| is_path(path, known));
    if let Some((known, name, needed)) = of_path().find(|(known, _, _)| *known == method) {
        return Page::Known { needed: *needed, name: format!("{known} {name}") };
    }
    let methods: Vec<&str> = of_path().map(|(method, _, _)| *method).collect();
    if methods.is_empty() { Page::Unknown } else { Page::OtherMethods(methods) }
}

/// Whether this is the path of the page, where `{id}` is any one part.
fn is_path(path: &str, page: &str) -> bool {
    let (given, known): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), page.split('/').collect());
    let same = |(given, known): (&&str, &&str)| match known.starts_with('{') {
        true => !given.is_empty(),
        false => given == known,
    };
    given.len() == known.len() && given.iter().zip(&known).all(same)
}

/// Nothing is at this path.
pub(crate) async fn no_page() -> Response {
    let why = "no such page: POST /rotate-secret, GET /secret-status, GET /metrics, GET /health; GET \
               /v1/openapi.json names those under /v1";
    Refusal::new(why).answered(StatusCode::NOT_FOUND)
}

/// The page has other methods.
pub(crate) async fn no_method() -> Response {
    with_methods(&[])
}

fn with_methods(methods: &[&str]) -> Response {
    let has = if methods.is_empty() { String::new() } else { format!(", only {}", methods.join(" and ")) };
    let why = format!("this page has no such method{has}; GET /v1/openapi.json lists them");
    let mut response = Refusal::new(why).answered(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", "))
        && !methods.is_empty()
    {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// The token of the request: in one header, and in one of the two that may have it. Nothing is a token that nobody has.
fn given(headers: &HeaderMap) -> Zeroizing<Vec<u8>> {
    let bearer = header::AUTHORIZATION.as_str();
    let given = match (headers.contains_key(TOKEN), headers.contains_key(bearer)) {
        (true, false) => only(headers, TOKEN).map(HeaderValue::as_bytes),
        (false, true) => only(headers, bearer).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
        }),
        (true, true) | (false, false) => None,
    };
    Zeroizing::new(given.unwrap_or_default().to_vec())
}

/// The caller is known, so this is no guess.
pub(crate) fn without_role(server: &Arc<Server>, caller: &Caller, needed: Role, page: &str) -> Response {
    server.counters.refused(Reason::NoRole);
    let why = format!("the role {} does not allow it", caller.role.word());
    server.record_refused(caller.asker(), page, why);
    let (name, has, needs) = (&caller.name, caller.role.word(), needed.word());
    if server.denials.count(Instant::now()).is_ok() {
        server.log(&format!(
            "refused a request: the token {name} has the role {has}, and {page} needs {needs}"
        ));
    }
    let why = format!("the token {name} has the role {has}, and {page} needs the role {needs}");
    let help = Some(format!(
        "make a token with the role {needs} on the machine of keyroll: keyroll token new --help"
    ));
    Refusal { help, ..Refusal::new(why) }.answered(StatusCode::FORBIDDEN)
}

/// Who is not let in does not keep the connection.
pub(crate) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Who sends no valid token.
pub(crate) fn stranger() -> Asker {
    Asker { by: "unknown".to_owned(), id: None }
}

/// `asked`: the page, in words of the server's own.
fn unknown(server: &Arc<Server>, asked: &str) -> Response {
    server.record_refused(stranger(), asked, "no valid token".to_owned());
    match server.guesses.count(Instant::now()) {
        Ok(()) => {
            server.counters.refused(Reason::NoToken);
            server.log("refused a request: no valid token");
            let why = "the request has no valid token: send one, and only one, as X-Admin-Token: TOKEN or as \
                       Authorization: Bearer TOKEN";
            Refusal::new(why).answered(StatusCode::UNAUTHORIZED)
        }
        Err(after) => {
            server.counters.refused(Reason::TooMany);
            Refusal::new("too many requests without a valid token; one with a valid token is answered")
                .later(StatusCode::TOO_MANY_REQUESTS, after.as_secs() + 1)
        }
    }
}

/// The file of the tokens cannot be used: nobody is let in, and the operator reads why in the log.
fn unreadable(server: &Server, problem: &Problem) -> Response {
    server.counters.refused(Reason::TokensUnreadable);
    if server.guesses.count(Instant::now()).is_ok() {
        server.log(&format!("refused every request: {}", problem.sentence()));
    }
    Refusal::new("the server cannot read its admin tokens; its log says why")
        .later(StatusCode::SERVICE_UNAVAILABLE, 60)
}

/// The header, if there is exactly one of this name.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h HeaderValue> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only),
        (_, _) => None,
    }
}

/// `localhost`, or an address of loopback, with or without a port.
fn is_local(host: &str) -> bool {
    let address = host.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    let name = host.rsplit_once(':').map_or(host, |(name, port)| match port.parse::<u16>() {
        Ok(_) => name,
        Err(_) => host,
    });
    address || ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_in_one_header() {
        let given = |all: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in all {
                headers.append(*name, HeaderValue::from_static(value));
            }
            String::from_utf8(super::given(&headers).to_vec()).unwrap()
        };
        for one in [("x-admin-token", "T"), ("authorization", "Bearer T"), ("authorization", "bearer T")] {
            assert_eq!(given(&[one]), "T", "{one:?}");
        }
        for none in [
            &[][..],
            &[("authorization", "T")],
            &[("authorization", "Basic T")],
            &[("authorization", "Bearer")],
            &[("x-admin-token", "T"), ("x-admin-token", "T")],
            &[("authorization", "Bearer T"), ("authorization", "Bearer T")],
            &[("x-admin-token", "T"), ("authorization", "Bearer T")],
            &[("x-admin-token", "T"), ("authorization", "Basic T")],
        ] {
            assert_eq!(given(none), "", "{none:?}");
        }
    }

    #[test]
    fn each_page_needs_a_role_and_another_page_is_none() {
        for (method, path, role) in [
            (Method::GET, "/metrics", Role::Viewer),
            (Method::GET, "/secret-status", Role::Viewer),
            (Method::POST, "/rotate-secret", Role::Responder),
            (Method::GET, "/v1/rotations", Role::Viewer),
            (Method::HEAD, "/v1/rotations/01a2", Role::Viewer),
            (Method::POST, "/v1/rotations", Role::Operator),
            (Method::POST, "/v1/rotations/01a2/resume", Role::Operator),
            (Method::POST, "/v1/rotations/01a2/retry", Role::Operator),
            (Method::POST, "/v1/rotations/01a2/pause", Role::Operator),
            (Method::POST, "/v1/rotations/01a2/abort", Role::Operator),
            (Method::POST, "/v1/rotations/01a2/approve", Role::Approver),
            (Method::POST, "/v1/plans", Role::Operator),
            (Method::POST, "/v1/commands", Role::Viewer),
            (Method::GET, "/v1/events", Role::Viewer),
        ] {
            assert!(
                matches!(page(&method, path), Page::Known { needed, .. } if needed == role),
                "{method} {path}"
            );
        }
        for (method, path, has) in [
            (Method::GET, "/v1/rotations/01a2/approve", &["POST"][..]),
            (Method::POST, "/v1/rotations/01a2", &["GET"][..]),
            (Method::DELETE, "/v1/history", &["GET"][..]),
            (Method::PUT, "/v1/rotations", &["GET", "POST"][..]),
            (Method::HEAD, "/v1/plans", &["POST"][..]),
            (Method::POST, "/v1/events", &["GET"][..]),
        ] {
            assert_eq!(page(&method, path), Page::OtherMethods(has.to_vec()), "{method} {path}");
        }
        for path in [
            "/new",
            "/metrics/",
            "/v1",
            "/v1/rotations/",
            "/v1/rotations/01a2/",
            "/v1/rotations//resume",
            "/v1/rotations/01a2/%72esume",
            "/V1/plans",
            "//v1/plans",
            "/v1/x/../plans",
        ] {
            for method in [Method::GET, Method::POST] {
                assert_eq!(page(&method, path), Page::Unknown, "{method} {path}");
            }
        }
        let refused = with_methods(&["GET", "POST"]);
        assert_eq!(refused.headers()[header::ALLOW], "GET, POST");
    }

    /// The pages that the router has behind the guard are those of the table, so that no page is without a role.
    #[test]
    fn the_table_has_every_page_of_the_router() {
        let code: String = include_str!("serve.rs").split_whitespace().collect();
        let (guarded, _) = code.split_once("guard::token").unwrap();
        let mut registered = Vec::new();
        for route in guarded.split(".route(\"").skip(1) {
            let (path, handlers) = route.split_once('"').unwrap();
            let methods = [("get(", "GET"), ("post(", "POST"), ("put(", "PUT"), ("delete(", "DELETE")];
            let its = methods.into_iter().filter(|(call, _)| handlers.contains(call));
            registered.extend(its.map(|(_, method)| (method, path)));
        }
        let mut known: Vec<(&str, &str)> = PAGES.iter().map(|(method, path, _)| (*method, *path)).collect();
        registered.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, registered);
    }

    #[test]
    fn a_host_is_this_machine_or_another() {
        for own in [
            "localhost",
            "LocalHost:9090",
            "127.0.0.1",
            "127.0.0.1:9090",
            "[::1]:9090",
            "[::1]",
            "127.0.0.2:1",
        ] {
            assert!(is_local(own), "{own}");
        }
        for other in
            ["", "example.org", "localhost.example.org:9090", "127.0.0.1.example.org", "0.0.0.0:9090", "null"]
        {
            assert!(!is_local(other), "{other}");
        }
    }
}
