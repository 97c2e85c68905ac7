use keyroll_codes::Code;
use keyroll_observe::ProcessId;
use keyroll_port::{Class, Failure};

/// The longest name of an instance, bytes.
const NAME_BYTES_MAX: usize = 64;

/// The placeholder for an instance's name in commands, paths and unit names.
pub(crate) const PLACEHOLDER: &str = "{instance}";

/// One process of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceProcess {
    /// Which process: pid, start ticks and boot.
    pub process: ProcessId,
    /// The instance that it belongs to, where instances are named.
    pub instance: Option<String>,
    /// The instance's first process; `false` for a worker that it forked.
    pub main: bool,
}

/// Refuses a name that would mean something else inside a command, a path or a unit name.
///
/// # Errors
/// `K0004`: empty, longer than 64 bytes, or with other characters than letters, digits, `.`, `_` and `-`.
fn check_instance_name(name: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let plain = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed);
    if plain && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(Failure::new(
        Class::Permanent,
        Code::ConfigInvalid,
        format!("use `{}` as the name of an instance", name.escape_debug()),
    )
    .because("a name is made of letters, digits, `.`, `_` and `-`, and begins with a letter or digit")
    .help("rename the instance under `runs.instances` in the configuration"))
}

/// The text with the instance's name in place; a text that needs a name and has none is refused.
pub(crate) fn filled(text: &str, instance: Option<&str>) -> Result<String, Failure> {
    match instance {
        Some(name) => check_instance_name(name).map(|()| text.replace(PLACEHOLDER, name)),
        None if text.contains(PLACEHOLDER) => Err(Failure::new(
            Class::Permanent,
            Code::ConfigInvalid,
            format!("fill {PLACEHOLDER} in `{text}`"),
        )
        .because("no instance was named")
        .help("list the instances under `runs.instances` in the configuration")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_reach_out_of_its_place() {
        for name in ["", ".", "..", "../x", "a/b", "a b", "a;b", "$(x)", "-rf", "a\n", "ä", &"x".repeat(65)]
        {
            assert!(check_instance_name(name).is_err(), "{name:?}");
        }
        for name in ["1", "blue", "web-2", "a.b_c"] {
            assert!(check_instance_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_missing_name_is_refused_and_not_left_in_the_text() {
        assert_eq!(filled("run {instance}", Some("a")).expect("filled"), "run a");
        assert_eq!(filled("run", None).expect("filled"), "run");
        assert!(filled("run {instance}", None).is_err());
    }
}
