use std::path::Path;

use keyroll_leak::{Rule, Rules};
use keyroll_needle::Encoding;
use keyroll_secret::SecretBytes;

use crate::entries::in_file;
use crate::kinds::format_of;

/// A value in a text that is a file of settings.
pub struct InText {
    /// The value.
    pub value: SecretBytes,
    /// Its name there: a variable, or the path of a document.
    pub name: Option<String>,
    /// The rule that matches its form.
    pub rule: Option<&'static Rule>,
    /// The form in which it stands there.
    pub encoding: Encoding,
}

/// The possible secrets in a text that would be the content of this file.
pub fn values_in(name: &Path, text: &[u8]) -> Vec<InText> {
    let Ok(rules) = Rules::shipped() else { return Vec::new() };
    let held = in_file(text, format_of(name, text), rules).into_iter();
    held.map(|one| InText { value: one.value, name: one.name, rule: one.rule, encoding: one.encoding })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_registry_is_found_under_its_path() {
        let password = keyroll_testkit::alphanumeric(20);
        let text =
            format!("{{\"auths\":{{\"registry.test\":{{\"username\":\"u\",\"password\":\"{password}\"}}}}}}");
        let found = values_in(Path::new(".dockerconfigjson"), text.as_bytes());
        let named: Vec<_> = found.iter().map(|one| (one.value.expose(), one.name.as_deref())).collect();
        assert_eq!(named, [(password.as_bytes(), Some("auths.registry.test.password"))]);
    }
}
