//! Variables of env files in which a value is a part: `DATABASE_URL` with a password in it.

use keyroll_copy::{Format, Variables};
use keyroll_secret::SecretBytes;

use super::file_fingerprint::file_fingerprint;
use super::{CopySetup, FileSetup};

/// The variables of a file in which the text of a template is; none if the file is no env file.
pub(super) fn variables_within(file: &FileSetup) -> Vec<String> {
    if !has_within(file) {
        return Vec::new();
    }
    let Some(content) = file_fingerprint(&file.path).ok().and_then(|found| found.content) else {
        return Vec::new();
    };
    let mut variables = Format::Dotenv.variables(content.expose()).unwrap_or_default();
    drop_within(&file.copies, content.expose(), &mut variables)
}

/// Takes away the variables of such a file in which the text of a template is; returns their names.
pub(super) fn drop_within(copies: &[CopySetup], content: &[u8], variables: &mut Variables) -> Vec<String> {
    let mut within = Vec::new();
    variables.retain(|(name, value)| {
        let is_within = is_within(copies, content, name, value.as_ref().ok());
        if is_within {
            within.push(name.clone());
        }
        !is_within
    });
    within
}

/// Whether a copy in a file is found by the text around it.
pub(super) fn has_within(file: &FileSetup) -> bool {
    file.copies.iter().any(|copy| matches!(copy, CopySetup::Within(_)))
}

/// Whether the text of a template is in a variable: in its value, or in its line with its name and its quotes. A delivery
/// changes such a variable.
fn is_within(copies: &[CopySetup], content: &[u8], name: &str, value: Option<&SecretBytes>) -> bool {
    let lines = || content.split(|byte| *byte == b'\n').filter(|line| name_of(line) == Some(name));
    copies.iter().any(|copy| match copy {
        CopySetup::Within(template) => {
            let has = |text: &[u8]| !template.find(text).is_empty();
            value.is_some_and(|value| has(value.expose())) || lines().any(has)
        }
        CopySetup::Value { .. } | CopySetup::Login { .. } => false,
    })
}

/// The name of the variable that a line sets.
fn name_of(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?.trim_start();
    let (name, _) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    Some(name.trim())
}
