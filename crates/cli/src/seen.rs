//! This machine as `scan`, `why`, `trace` and `graph` show it. Nothing here changes anything.

mod cause;
mod drawn;
mod look;
mod meant;
mod missed;
mod shown;
mod svg;
mod told;

pub(crate) use cause::{cause, doubt, verdict_word};
pub(crate) use drawn::{dot, drawn, mermaid};
pub(crate) use look::{Seen, folders, look, run_key};
pub(crate) use meant::{Meant, is_called, meant, refuse_missing, secret};
pub(crate) use missed::tell_missed;
pub(crate) use shown::keeper;
pub(crate) use svg::svg;
pub(crate) use told::{causes, summed};
