//! Redacts output: replaces known values and findings of rules in streams, bodies and answers.
//!
//! [`RedactingStream`] is the one engine: it redacts a stream in pieces, known values first, then rules.
//! [`RedactingWriter`], [`AsyncRedactingWriter`] and [`RedactingReader`] apply it to IO, `layer` to log lines.
//! [`replace_json`] and [`RedactingEvents`] parse HTTP bodies, [`guard()`] whole answers.
//!
//! Invariants: no value is in a report, a marker or an error; memory is bounded for any input; input that cannot be
//! scanned is withheld, never passed.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod events;
mod guard;
mod io;
mod json;
#[cfg(feature = "tracing")]
pub mod layer;
mod marker;
mod patterns;
mod report;
mod stream;

pub use crate::io::reader::RedactingReader;
pub use crate::io::writer::{AsyncRedactingWriter, RedactingWriter};
pub use crate::patterns::Patterns;
pub use events::{EVENT_BYTES_MAX, RedactingEvents, STREAMS_MAX};
pub use guard::{BodyForm, GuardMode, GuardedBody, NOTICE, guard};
pub use json::parse::JSON_DEPTH_MAX;
pub use json::{JSON_BYTES_MAX, replace_json};
pub use report::Report;
pub use stream::RedactingStream;
