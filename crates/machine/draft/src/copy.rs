use std::path::Path;

use keyroll_config::FoundCopy;
use keyroll_copy::{Format, Part, Pointer, Slot};
use keyroll_trace::{Survey, ValueId, Writable, writable};

/// A place as a table of `reads`.
///
/// # Errors
/// Why keyroll cannot write there.
pub(crate) fn copy(
    survey: &Survey,
    place: (&Path, u64),
    name: &str,
    value: ValueId,
    folder: &Path,
) -> Result<FoundCopy, &'static str> {
    if place.0.starts_with("/proc") {
        return Err("it is a file of the container itself, which is deleted with the container");
    }
    let path = written(place.0, folder).ok_or("its path cannot be written in keyroll.toml")?;
    let with = |key: &'static str, text: &str| (key, text.to_owned());
    let (format, slot) = match writable(survey, place, name, value)? {
        Writable::Within(template) => return Ok(vec![("file", path), ("template", template)]),
        Writable::Slot(format, slot) => (format, slot),
    };
    Ok(match (format, slot) {
        (Format::Dotenv, Slot::Variable(name)) => vec![("env_file", path), ("variable", name)],
        (_, Slot::Whole) => vec![("file", path)],
        (format, Slot::Variable(at)) => vec![("file", path), with("format", word(format)?), ("at", at)],
        (format, Slot::At(pointer)) => {
            let at = match (format, pointer.steps()) {
                (Format::Npmrc, [key]) => key.clone(),
                (_, steps) => steps.iter().fold(String::new(), |at, step| Pointer::behind(&at, step)),
            };
            vec![("file", path), with("format", word(format)?), ("at", at)]
        }
        (format, Slot::Entry { name, part }) => {
            let own = vec![("file", path), with("format", word(format)?), ("at", name)];
            let part = match part {
                Part::User => Some(with("part", "user")),
                Part::Password => None,
            };
            own.into_iter().chain(part).collect()
        }
    })
}

/// The name of a format in the configuration.
fn word(format: Format) -> Result<&'static str, &'static str> {
    format.name().ok_or("no known format finds it there")
}

/// A path as it is written to keyroll.toml: relative if it is below the folder of that file, otherwise absolute. `None`
/// if the text could not be parsed again, and for a path below `/proc`, because process ids are reused.
pub(crate) fn written(path: &Path, folder: &Path) -> Option<String> {
    let lasting = path.is_absolute() && !path.starts_with("/proc");
    let text = path.to_str().filter(|text| lasting && !text.contains(char::is_control))?;
    match path.strip_prefix(folder).ok().and_then(Path::to_str).filter(|rest| !rest.is_empty()) {
        Some(rest) => Some(format!("./{rest}")),
        None => Some(text.to_owned()),
    }
}

/// The same for a key whose value may contain placeholders: braces are escaped.
pub(crate) fn written_plain(path: &Path, folder: &Path) -> Option<String> {
    Some(keyroll_template::escape(&written(path, folder)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keyroll_secret::{FingerprintKey, SecretBytes};
    use keyroll_trace::{Options, survey};

    use super::*;

    #[test]
    fn a_file_that_is_there_through_a_process_alone_is_no_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("bot.env");
        let value = keyroll_testkit::alphanumeric(24);
        std::fs::write(&path, format!("BOT_TOKEN={value}\n")).unwrap();
        let options = Options { roots: vec![folder.path().to_owned()], wait: Duration::from_secs(300) };
        let survey = survey(&options, FingerprintKey::new(&[7; 32])).unwrap();
        let known = survey.values.of(&SecretBytes::from(value)).unwrap();
        let of = |path: &Path| copy(&survey, (path, 1), "BOT_TOKEN", known, Path::new("/none"));
        assert_eq!(of(&path).unwrap()[0], ("env_file", path.display().to_string()));
        let process = Path::new("/proc").join(std::process::id().to_string()).join("root");
        let behind = process.join(path.strip_prefix("/").unwrap());
        assert!(behind.is_file());
        assert_eq!(
            of(&behind),
            Err("it is a file of the container itself, which is deleted with the container")
        );
        assert_eq!(written(&behind, &process), None);
    }
}
