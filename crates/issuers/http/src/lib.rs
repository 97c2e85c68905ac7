//! The HTTP client: one request on a connection of its own, and TLS that verifies the server.
//!
//! Invariants, by what is absent: no request is sent twice, no connection is used twice, no redirect is followed, no
//! proxy is used, and no environment variable is read but the two that name the machine's root certificates
//! (`SSL_CERT_FILE`, `SSL_CERT_DIR`). No error holds a byte of a request or of an answer, except the name of a key that an
//! object of JSON has twice. Every exchange has a time limit, and every answer a largest head and body. The caller chooses
//! the server: a credential goes only where the caller connects to. From another machine ([`via`]) only TLS is spoken.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod addresses;
/// Requests for callers without an asynchronous runtime.
pub mod blocking;
mod connect;
mod error;
mod exchange;
mod request;
mod stream;
/// JSON answers in which no object has a key twice.
pub mod strict_json;
/// TLS with the server's certificate and name verified.
pub mod tls;
/// Connections that leave from another machine.
pub mod via;

pub use addresses::{Addresses, OwnMachine, is_loopback, own_machine};
pub use connect::{Endpoint, connect, connect_within, dial};
pub use error::HttpError;
pub use exchange::{Excess, Limits, Response, exchange};
pub use hyper::header;
pub use hyper::{HeaderMap, Method, Uri};
pub use request::{Request, base64_text, basic, bearer, joined, percent_encode, secret_header};
pub use stream::Stream;
