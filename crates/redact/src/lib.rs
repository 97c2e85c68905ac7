//! What goes out passes here: known values and what rules find are replaced in streams, bodies and answers.
//!
//! [`Shield`] is the one engine: a stream in pieces, known values first, then rules. [`ShieldWriter`], [`AsyncShieldWriter`] and
//! [`ShieldReader`] put it before IO, `layer` before the lines of a log. [`replace_json`] and [`EventShield`] look at what bodies of
//! HTTP mean, [`guard()`] at whole answers.
//!
//! Invariants: no value is in a report, a marker or an error; what is kept is bounded whatever comes in; what cannot be looked at is
//! withheld, never passed.

mod covered;
mod deltas;
mod events;
mod frame;
mod guard;
mod json;
#[cfg(feature = "tracing")]
pub mod layer;
mod loose;
mod own;
mod reader;
mod report;
mod rest;
mod rules_stream;
mod shapes;
mod sought;
mod stream;
mod text;
mod tokens;
mod writer;

pub use events::{EVENT_BYTES_MAX, EventShield, STREAMS_MAX};
pub use guard::{Form, Guarded, Mode, NOTICE, guard};
pub use json::{JSON_BYTES_MAX, JSON_DEPTH_MAX, replace_json};
pub use reader::ShieldReader;
pub use report::Report;
pub use sought::Sought;
pub use stream::Shield;
pub use writer::{AsyncShieldWriter, ShieldWriter};
