//! Formats: bytes in, bytes out; find and replace one value, touch nothing else.
//!
//! Invariants, by what is absent: no IO, no clock, no randomness; no error holds a byte of a file or of a value;
//! no spelling is written that a reader of such a file would read as something else.

mod dotenv;
mod error;
mod format;
mod percent;
mod spelling;
mod template;
mod whole;

pub use error::CopyError;
pub use format::{Edit, FILE_BYTES_MAX, Format, Slot, Variables};
pub use spelling::VARIABLE_BYTES_MAX;
pub use template::{Carried, Found, TEMPLATE_BYTES_MAX, Template};
