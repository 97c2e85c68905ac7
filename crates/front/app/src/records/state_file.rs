//! One file of the state folder, as JSON.

use std::fs;
use std::path::Path;

use keyroll_codes::Code;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic_file;
use crate::problem::Problem;

/// Reads the file; an absent one is empty.
///
/// # Errors
/// It cannot be read.
pub(crate) fn load<T: DeserializeOwned + Default>(path: &Path) -> Result<T, Problem> {
    let attempted = || Problem::new(Code::StateUnusable, format!("read {}", path.display()));
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| attempted().because_of(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(attempted().because_of(&error)),
    }
}

/// Replaces the file in one step.
///
/// # Errors
/// It cannot be written.
pub(crate) fn replace(path: &Path, content: &impl Serialize) -> Result<(), Problem> {
    let attempted = || Problem::new(Code::StateUnusable, format!("write {}", path.display()));
    let text = serde_json::to_string_pretty(content).map_err(|error| attempted().because_of(&error))?;
    atomic_file::replace_private(path, text.as_bytes()).map_err(|error| attempted().because_of(&error))
}
