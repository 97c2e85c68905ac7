//! The names of the issuers that come with keyroll.

use keyroll_logins::SERVERS;

use crate::suggest::nearest;

/// The word of the access keys of an IAM user.
pub(crate) const AWS_ACCESS_KEY: &str = "aws-access-key";

/// The shipped specs, by the names of their files in `issuers/`. Their texts are not needed here: a host reads keyroll.toml too.
const SPECS: [&str; 36] = [
    "anthropic",
    "cloudflare",
    "confluent",
    "databricks",
    "databricks-token",
    "datadog",
    "deepgram",
    "discord",
    "docker-hub",
    "docker-hub-organization",
    "elevenlabs",
    "entra-client-secret",
    "gcp-service-account-key",
    "github-app-key",
    "github-app-token",
    "github-classic",
    "github-fine-grained",
    "gitlab",
    "grafana",
    "hmac-set",
    "hugging-face",
    "mailgun",
    "mongodb-atlas",
    "npm",
    "oauth2-client-secret",
    "okta-client-secret",
    "openai-service-account",
    "openrouter",
    "sendgrid",
    "slack",
    "snowflake",
    "stripe-restricted",
    "stripe-secret",
    "telegram",
    "twilio",
    "vonage",
];

/// The most names that are suggested for one.
const SUGGESTED_MAX: usize = 4;
/// A shorter word is the beginning of too many names.
const BEGINNING_BYTES_MIN: usize = 2;

/// Every name that `issuer` may have.
fn names() -> impl Iterator<Item = &'static str> {
    SERVERS.iter().map(|server| server.word).chain([AWS_ACCESS_KEY]).chain(SPECS)
}

/// Whether a spec of this name is shipped.
pub(crate) fn is_shipped(name: &str) -> bool {
    SPECS.contains(&name)
}

/// The issuers that were most likely meant: those that begin with the word, or that the word begins with, or else the nearest.
/// They are all of this list, so that a value that was pasted is not repeated.
pub(crate) fn meant(written: &str) -> Vec<&'static str> {
    let plain = written.to_ascii_lowercase().replace('_', "-");
    let begins = |name: &&str| {
        plain.len() >= BEGINNING_BYTES_MIN && name.starts_with(&plain)
            || plain.starts_with(&format!("{name}-"))
    };
    let mut all: Vec<&str> = names().filter(begins).collect();
    if all.len() > SUGGESTED_MAX {
        all.clear();
    }
    if all.is_empty() {
        all.extend(nearest(&plain, names()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test looks into the folder of the specs")]
    fn the_names_are_those_of_the_folder_of_the_shipped_specs() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../issuers");
        let stem = |file: std::io::Result<std::fs::DirEntry>| {
            file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
        };
        let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(stem).collect();
        names.sort();
        assert_eq!(names, SPECS, "write the name of a new spec into SPECS too");
    }

    #[test]
    fn a_name_that_is_none_leads_to_those_that_were_meant() {
        for (written, wanted) in [
            ("postgress", &["postgres"][..]),
            ("postgresql", &["postgres"][..]),
            ("Openrouter", &["openrouter"][..]),
            ("opnrouter", &["openrouter"][..]),
            ("openai", &["openai-service-account"][..]),
            ("aws_access_key", &["aws-access-key"][..]),
            ("aws", &["aws-access-key"][..]),
            ("stripe", &["stripe-restricted", "stripe-secret"][..]),
            ("slack-bot", &["slack"][..]),
            ("something-of-ours", &[][..]),
            ("", &[][..]),
            ("sk-live-4f1d0c9b8a7766554433", &[][..]),
        ] {
            assert_eq!(meant(written), wanted, "{written}");
        }
    }
}
