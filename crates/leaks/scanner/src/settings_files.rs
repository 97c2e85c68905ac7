use std::path::Path;

use keyroll_leak::TextKind;

/// Ends of the names of settings files, in which the text after a name is its value.
const SETTINGS_ENDS: [&str; 35] = [
    ".env",
    ".envrc",
    ".ini",
    ".cfg",
    ".conf",
    ".cnf",
    ".config",
    ".properties",
    ".yaml",
    ".yml",
    ".toml",
    ".tfvars",
    ".service",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".prefs",
    ".secrets",
    ".credentials",
    ".s3cfg",
    ".boto",
    ".gitconfig",
    ".git-credentials",
    ".hgrc",
    ".msmtprc",
    ".muttrc",
    ".curlrc",
    ".wgetrc",
    ".condarc",
    "_netrc",
    ".container",
    ".timer",
    ".dockerfile",
    ".mk",
];

/// Names of settings files without such an end.
const PLAIN: [&str; 7] =
    ["credentials", "config", "dockerfile", "containerfile", "my.cnf", "makefile", "gnumakefile"];

/// Whether a file is a settings file, by its name.
pub(crate) fn text_of(path: &Path) -> TextKind {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let env = name.starts_with(".env") || name.starts_with("env.");
    let plain = PLAIN.contains(&name.as_str());
    match env || plain || SETTINGS_ENDS.iter().any(|end| name.ends_with(end)) {
        true => TextKind::Settings,
        false => TextKind::Program,
    }
}
