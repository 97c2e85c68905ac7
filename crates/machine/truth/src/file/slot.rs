use std::path::Path;

use keyroll_copy::{CopyError, Format, Pointer, Slot};

/// How a file is read, and the slot in it: the format follows from the end of the file's name.
pub(super) fn slot_of(path: &Path, at: Option<&str>) -> Result<(Format, Slot), CopyError> {
    let Some(at) = at else { return Ok((Format::Whole, Slot::Whole)) };
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let format = match end {
        "json" => Format::Json,
        "yaml" | "yml" => Format::Yaml,
        "toml" => Format::Toml,
        "ini" => Format::Ini,
        // Files of that name have sections, or lines NAME=value. No variable begins with a slash.
        "conf" | "cfg" if at.starts_with('/') => Format::Ini,
        _ => Format::Dotenv,
    };
    // A name without a slash is a key at the top.
    let is_tree = matches!(format, Format::Json | Format::Yaml | Format::Toml);
    let key = (is_tree && !at.starts_with('/')).then(|| Pointer::behind("", at));
    Ok((format, format.slot(key.as_deref().unwrap_or(at), None)?))
}

/// The format, in words.
pub(super) fn form_name(format: Format) -> &'static str {
    match format {
        Format::Whole => "whole file",
        Format::Dotenv => "env file",
        Format::Json
        | Format::Yaml
        | Format::Compose
        | Format::Toml
        | Format::Ini
        | Format::Npmrc
        | Format::Pgpass
        | Format::Netrc
        | Format::GitCredentials => format.name().unwrap_or("file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_name_says_how_a_file_is_read() {
        let of = |name: &str, at: &str| slot_of(Path::new(name), Some(at)).map(|(format, _)| format);
        for (name, at, format) in [
            ("/a/agents.env", "K", Format::Dotenv),
            ("/a/.env", "K", Format::Dotenv),
            ("/a/agents", "K", Format::Dotenv),
            ("/a/agents.conf", "K", Format::Dotenv),
            ("/a/agents.conf", "/a/K", Format::Ini),
            ("/a/agents.ini", "/a/K", Format::Ini),
            ("/a/agents.json", "/K", Format::Json),
            ("/a/agents.yml", "/K", Format::Yaml),
            ("/a/agents.yaml", "/K", Format::Yaml),
            ("/a/agents.toml", "/K", Format::Toml),
            ("/a/agents.json", "K", Format::Json),
        ] {
            assert_eq!(of(name, at), Ok(format), "{name}#{at}");
        }
        let slot = |at: &str| slot_of(Path::new("/a/agents.json"), Some(at));
        assert_eq!(slot("a/b"), slot("/a~1b"), "a key at the top");
        assert!(matches!(of("/a/agents.ini", "K"), Err(CopyError::Pointer { .. })), "a section is missing");
        assert_eq!(slot_of(Path::new("/a/agents.json"), None), Ok((Format::Whole, Slot::Whole)));
    }
}
