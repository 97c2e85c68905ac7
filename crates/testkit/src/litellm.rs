use std::path::{Path, PathBuf};

use crate::debian_host::cache;
use crate::python_tools::python_tools;

/// The release that everything said of the proxy was seen with.
pub const LITELLM_VERSION: &str = "1.106.2";

/// The LiteLLM proxy, as pip brings it.
#[derive(Debug, Clone)]
pub struct LiteLlmProgram {
    program: PathBuf,
}

impl LiteLlmProgram {
    /// Has it in the user's cache, installed there by the first test. `None`, with a word on stderr, where it cannot be
    /// had; a panic where `CI=true`.
    ///
    /// # Panics
    /// If it cannot be had although `CI=true`.
    pub fn or_skip(what: &str) -> Option<Self> {
        match Self::had(&cache().join(format!("litellm-{LITELLM_VERSION}"))) {
            Ok(program) => Some(program),
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} needs LiteLLM here: {why}");
                eprintln!("left out: {what} ({why})");
                None
            }
        }
    }

    fn had(folder: &Path) -> Result<Self, String> {
        let programs = python_tools(folder, &[&format!("litellm[proxy]=={LITELLM_VERSION}")])?;
        Ok(Self { program: programs.join("litellm") })
    }

    /// The command of the proxy.
    pub fn program(&self) -> &Path {
        &self.program
    }
}
