//! The command and the arguments of a container.
//!
//! A reference in them stands for the value that the variable has when the container starts. Source:
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/>.

use keyroll_secret::SecretBytes;

use crate::model::{From, Taking, Way};

use super::container::ContainerSpec;
use super::environment::Environment;
use super::object::Part;

/// What a container takes in its command and its arguments.
pub(super) fn arguments(container: &ContainerSpec<'_>, environment: &Environment<'_>) -> Vec<Taking> {
    let mut parts: Vec<Part> = Vec::new();
    let mut takes = Vec::new();
    let mut named = false;
    for argument in container.command.iter().chain(container.args) {
        for part in environment.expand(argument).parts {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if let Some(value) = value(argument, named) {
            let expanded = environment.expand(value);
            if expanded.literal {
                let text = From::Text(SecretBytes::new(expanded.text.into_bytes()));
                takes.push(container.taking(text, Way::Argument, false));
            }
        }
        named = argument.starts_with("--") && argument.len() > 2 && !argument.contains('=');
    }
    takes.extend(parts.iter().map(|part| container.taking(part.source(), Way::Argument, part.optional)));
    takes
}

/// The value in an argument: of `--name=value` or `NAME=value`, or all of it after a `--name`.
fn value(argument: &str, named: bool) -> Option<&str> {
    let is_name = |name: &str| {
        let mut characters = name.chars();
        name.contains(char::is_alphabetic)
            && characters.all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
    };
    let value = match argument.split_once('=') {
        Some((name, value)) if is_name(name) => value,
        _ if named && !argument.starts_with('-') => argument,
        _ => return None,
    };
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::alphanumeric;

    use super::*;

    #[test]
    fn a_value_stands_after_its_name() {
        let text = alphanumeric(24);
        for name in ["--api-key", "-api.key", "API_KEY"] {
            assert!(value(&format!("{name}={text}"), false) == Some(text.as_str()), "{name}");
        }
        assert!(value(&text, true) == Some(text.as_str()));
    }

    #[test]
    fn an_argument_without_a_name_is_no_value() {
        assert_eq!(value("serve", false), None);
        assert_eq!(value("--verbose", true), None);
        assert_eq!(value("--api-key=", false), None);
        assert_eq!(value("test $A = b", false), None);
    }
}
