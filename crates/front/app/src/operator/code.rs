use keyroll_codes::Code;
use serde::Serialize;

/// One error code with its page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeShown {
    pub code: &'static str,
    pub title: &'static str,
    /// Markdown, as in docs/errors.
    pub page: &'static str,
    /// Numbers of earlier versions that it replaces.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub retired: &'static [&'static str],
}

impl CodeShown {
    /// The event that shows one code.
    pub fn of(code: Code) -> Self {
        Self { code: code.as_str(), title: code.title(), page: code.page(), retired: code.retired() }
    }
}
