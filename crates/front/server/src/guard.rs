//! What every request must have: a host and an origin of this machine, and a valid token of a role that may do what is
//! asked. Nothing of a request's body is read before that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use keyroll_app::problem::Problem;
use zeroize::Zeroizing;

use crate::answer::Refusal;
use crate::counters::Reason;
use crate::listen::Connection;
use crate::role::Role;
use crate::server::Server;

/// The header of the token; the other one is `Authorization`.
const TOKEN: &str = "x-admin-token";

/// Who sent a request: the name of the token.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) String);

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
        Ok(Some((name, role))) => {
            // Who may only read makes room for an emergency, like anybody else.
            if let Some(connection) =
                request.extensions().get::<Arc<Connection>>().filter(|_| role == Role::Admin)
            {
                connection.is_known();
            }
            let (needed, page) = needed(request.uri().path());
            if !role.allows(needed) {
                return without_role(&server, &name, role, needed, page);
            }
            request.headers_mut().remove(TOKEN);
            request.headers_mut().remove(header::AUTHORIZATION);
            request.extensions_mut().insert(Caller(name));
            next.run(request).await
        }
        Ok(None) => closing(unknown(&server)),
        Err(problem) => closing(unreadable(&server, &problem)),
    }
}

/// The role that a page needs, and the page in words. A page that is not named here needs the most, so that a new one is
/// not open by mistake.
fn needed(path: &str) -> (Role, &'static str) {
    match path {
        "/metrics" => (Role::Viewer, "GET /metrics"),
        "/secret-status" => (Role::Viewer, "GET /secret-status"),
        "/rotate-secret" => (Role::Admin, "POST /rotate-secret"),
        _ => (Role::Admin, "this page"),
    }
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
fn without_role(server: &Server, name: &str, role: Role, needed: Role, page: &str) -> Response {
    server.counters.refused(Reason::NoRole);
    let (has, needs) = (role.word(), needed.word());
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

fn unknown(server: &Server) -> Response {
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
    fn a_page_that_nobody_named_needs_an_admin() {
        for (path, role) in [
            ("/metrics", Role::Viewer),
            ("/secret-status", Role::Viewer),
            ("/rotate-secret", Role::Admin),
            ("/metrics/", Role::Admin),
            ("/new", Role::Admin),
        ] {
            assert_eq!(needed(path).0, role, "{path}");
        }
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
