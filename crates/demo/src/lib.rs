//! The demo: a stateful issuer, real workers under load, and the forgotten one.
