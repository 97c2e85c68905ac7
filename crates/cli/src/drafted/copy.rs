use std::path::Path;

use keyroll_config::{FileFormat, FoundCopy};
use keyroll_copy::{Format, Part, Slot};
use keyroll_trace::{Survey, ValueId, Writable, writable};

/// A place as a table of `reads` has it.
///
/// # Errors
/// Why nothing could write it there.
pub(super) fn copy(
    survey: &Survey,
    place: (&Path, u64),
    name: &str,
    value: ValueId,
    folder: &Path,
) -> Result<FoundCopy, &'static str> {
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
                (_, steps) => {
                    let step = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
                    steps.iter().map(step).collect()
                }
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

/// What a format is called in the configuration.
fn word(format: Format) -> Result<&'static str, &'static str> {
    let known = match format {
        Format::Json => FileFormat::Json,
        Format::Yaml => FileFormat::Yaml,
        Format::Compose => FileFormat::Compose,
        Format::Toml => FileFormat::Toml,
        Format::Ini => FileFormat::Ini,
        Format::Npmrc => FileFormat::Npmrc,
        Format::Pgpass => FileFormat::Pgpass,
        Format::Netrc => FileFormat::Netrc,
        Format::GitCredentials => FileFormat::GitCredentials,
        Format::Dotenv | Format::Whole => return Err("no form that is known finds it there"),
    };
    Ok(known.name())
}

/// A path as it stands in the file: below the folder of keyroll.toml from there on, else whole. `None` for one that could
/// not be read again.
pub(super) fn written(path: &Path, folder: &Path) -> Option<String> {
    let text = path.to_str().filter(|text| path.is_absolute() && !text.contains(char::is_control))?;
    match path.strip_prefix(folder).ok().and_then(Path::to_str).filter(|rest| !rest.is_empty()) {
        Some(rest) => Some(format!("./{rest}")),
        None => Some(text.to_owned()),
    }
}

/// The same where braces stand for placeholders.
pub(super) fn written_plain(path: &Path, folder: &Path) -> Option<String> {
    Some(written(path, folder)?.replace('{', "{{").replace('}', "}}"))
}
