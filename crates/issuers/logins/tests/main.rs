//! The tests of `keyroll-logins`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, unreachable_pub)]

mod from_host;
mod own_machine;
mod postgres;
mod servers;
mod static_roles;
mod static_roles_real;
