use crate::names_a_secret;

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
const SETTINGS: [&str; 7] =
    ["credentials", "config", "dockerfile", "containerfile", "my.cnf", "makefile", "gnumakefile"];

/// Ends of the names of further files that hold settings among other text: documents, scripts, keys, notes.
const MIXED_ENDS: [&str; 19] = [
    ".json",
    ".jsonc",
    ".json5",
    ".socket",
    ".sh",
    ".bash",
    ".zsh",
    ".fish",
    ".tfstate",
    ".pem",
    ".key",
    ".token",
    ".secret",
    ".password",
    ".txt",
    ".enc",
    ".xml",
    ".hcl",
    ".pm2",
];

/// Complete names of such files, in addition to every `.…rc` and `.…_history`.
const MIXED: [&str; 23] = [
    "env",
    "environment",
    "kubeconfig",
    ".profile",
    ".bash_profile",
    ".bash_aliases",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".dockercfg",
    "crontab",
    "dump.pm2",
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "jenkinsfile",
    "procfile",
    "vagrantfile",
    "wp-config.php",
    "settings.py",
    "local_settings.py",
];

/// Whether a name is that of an env file: `.env`, `api.env`, `.env.production`, `env.local`.
pub(crate) fn is_env(name: &str) -> bool {
    let source = [".rs", ".go", ".c", ".h", ".cpp", ".java", ".kt", ".md", ".d.ts"];
    let named = name.starts_with(".env") || name.split('.').any(|part| part == "env");
    named && !source.iter().any(|end| name.ends_with(end))
}

/// Ends of the names of programs, which may be called after the environment too.
const PROGRAM_ENDS: [&str; 9] = [".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".py", ".rb", ".php"];

/// Whether the text after a name is its value in a file of this name, in small letters.
pub(crate) fn reads_as_settings(name: &str) -> bool {
    let begins = name.starts_with(".env") || name.starts_with("env.");
    let env = is_env(name) && (begins || !PROGRAM_ENDS.iter().any(|end| name.ends_with(end)));
    env || SETTINGS.contains(&name) || SETTINGS_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a file of this name, in small letters, holds settings, alone or among other text.
pub(crate) fn holds_settings(name: &str) -> bool {
    let shell = name.starts_with('.') && (name.ends_with("rc") || name.ends_with("_history"));
    shell
        || reads_as_settings(name)
        || MIXED.contains(&name)
        || MIXED_ENDS.iter().any(|end| name.ends_with(end))
        || names_a_secret(name)
}
