//! Formats: bytes in, bytes out; find and replace one value, touch nothing else.
//!
//! Invariants, by what is absent: no IO, no clock, no randomness; no error holds a byte of a file or of a value;
//! nothing is written that a reader of such a file would read as another value.

mod dialect;
mod dotenv;
mod entries;
mod error;
mod format;
mod formats_page;
mod ini;
mod json;
mod line;
mod percent;
mod quoted;
mod slot;
mod spelling;
mod spot;
mod supervisor;
mod template;
mod toml;
mod tree;
mod userlist;
mod whole;
mod yaml;

pub use dialect::{DOTENV_FORMS, DOTENV_READERS, DotenvForm, DotenvRead, DotenvReader};
pub use dotenv::Variables;
pub use entries::Entry;
pub use error::CopyError;
pub use format::{Edit, FILE_BYTES_MAX, Format};
pub use formats_page::formats_markdown;
pub use json::strict as strict_json;
pub use percent::decode as percent_decoded;
pub use slot::{Part, Pointer, Slot};
pub use spot::MADE_OF_OTHERS;
pub use supervisor::{SupervisorSetting, SupervisorVariable, supervisor_settings};
pub use template::{Carried, FieldValues, Template};
pub use userlist::{Before, Login, Userlist};
