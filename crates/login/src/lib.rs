//! What logins need that take turns at a server: which credential is in one, from one credential to the next, the
//! passwords chosen for them, and TLS that verifies whom it talks to.
//!
//! Invariants, by what is absent: no connection is made here, and no id means two credentials, however often a login is
//! used again.

/// Which credential is in a login: ids, labels, marks.
pub mod id;
/// Passwords that we choose.
pub mod password;
/// Where a server is.
pub mod place;
/// Encryption with the server's certificate and name verified.
pub mod tls;
/// From one credential to the next.
pub mod turn;
