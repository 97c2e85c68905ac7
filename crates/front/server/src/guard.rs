//! What every request must have: a host and an origin of this machine, and a valid token. Nothing of a request's body is
//! read before that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use keyroll_app::problem::Problem;

use crate::answer::Refusal;
use crate::listen::Connection;
use crate::server::Server;

/// The header of the token.
const TOKEN: &str = "x-admin-token";

/// Who sent a request: the name of the token.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) String);

/// Refuses a page of another site, which a browser on this machine may have loaded: its requests have a foreign `Host`
/// or `Origin`.
pub(crate) async fn local(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let named = || only(headers, header::HOST.as_str()).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|it| it.as_str()).or_else(named);
    if !host.is_some_and(is_local) {
        let refusal = Refusal::new("the request's Host is not this machine: use http://127.0.0.1:PORT");
        return refusal.answered(StatusCode::FORBIDDEN);
    }
    let foreign = headers.get_all(header::ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        !origin.strip_prefix("http://").is_some_and(is_local)
    });
    if foreign {
        let refusal = Refusal::new("the request comes from a page of another site (its Origin)");
        return refusal.answered(StatusCode::FORBIDDEN);
    }
    next.run(request).await
}

/// Refuses a request without a valid token.
pub(crate) async fn admin(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let given = only(request.headers(), TOKEN).map_or(Vec::new(), |token| token.as_bytes().to_vec());
    match server.caller(&given) {
        Ok(Some(name)) => {
            if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
                connection.is_known();
            }
            request.headers_mut().remove(TOKEN);
            request.extensions_mut().insert(Caller(name));
            next.run(request).await
        }
        Ok(None) => closing(unknown(&server)),
        Err(problem) => closing(unreadable(&server, &problem)),
    }
}

/// Who is not let in does not keep the connection.
pub(crate) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn unknown(server: &Server) -> Response {
    match server.guesses.count(Instant::now()) {
        Ok(()) => {
            server.log("refused a request: no valid token");
            Refusal::new("the header X-Admin-Token has no valid token").answered(StatusCode::UNAUTHORIZED)
        }
        Err(after) => {
            Refusal::new("too many requests without a valid token; one with a valid token is answered")
                .later(StatusCode::TOO_MANY_REQUESTS, after.as_secs() + 1)
        }
    }
}

/// The file of the tokens cannot be used: nobody is let in, and the operator reads why in the log.
fn unreadable(server: &Server, problem: &Problem) -> Response {
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
