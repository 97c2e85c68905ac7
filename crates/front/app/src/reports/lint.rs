//! The warnings about issuers' specs, for the person who writes one.

use std::path::Path;

use jiff::civil::Date;
use keyroll_codes::Code;
use keyroll_config::{Config, IssuerRef, Secret};
use keyroll_issuer::{KnownRule, LintContext, Origin, Spec, SpecWarning, lint};
use keyroll_leak::Rules;

use crate::installation::Installation;
use crate::operator::SpecWarningShown;
use crate::problem::Problem;
use crate::reports::issuers::unread;
use crate::wiring::issuer::{refused_spec, spec_text};

/// What is known of the specs that were asked about.
pub struct Linted {
    /// How many specs were judged.
    pub judged: usize,
    /// Their warnings: the specs in the order in which they were named, the warnings of each by line.
    pub warnings: Vec<SpecWarningShown>,
    /// The problem of each spec that cannot be read or is refused: it does not hide the others.
    pub refused: Vec<Problem>,
}

/// The text of a spec, and the name of its file for people.
struct Text {
    file: String,
    text: String,
    origin: Origin,
}

/// Judges specs: the named ones, or without names every spec that the configuration names. A name is a path, with or
/// without `file:`, a shipped spec, a configured secret, or a rule of `leaks` that a shipped spec is linked to.
///
/// # Errors
/// Nothing is named, and the configuration cannot be read; or the rules of `leaks` cannot be.
pub fn lint_specs(names: &[String], installation: &Installation, today: Date) -> Result<Linted, Problem> {
    let texts: Vec<Result<Text, Problem>> = match names.is_empty() {
        true => configured(installation)?,
        false => names.iter().map(|name| named(name, installation)).collect(),
    };
    let shipped = Rules::shipped().map_err(|error| {
        Problem::new(Code::SearchTargetUnknown, "read keyroll's own rules").because_of(&error)
    })?;
    let rules: Vec<KnownRule<'_>> =
        shipped.iter().map(|rule| KnownRule { id: &rule.id, begins: &rule.begins }).collect();
    let mut linted = Linted { judged: 0, warnings: Vec::new(), refused: Vec::new() };
    for text in texts {
        let warnings = text.and_then(|Text { file, text, origin }| {
            let context = LintContext { origin, today, rules: &rules };
            let warnings = lint(&text, &file, &context).map_err(refused_spec)?;
            Ok(warnings.into_iter().map(move |warning| shown(&file, warning)).collect::<Vec<_>>())
        });
        match warnings {
            Ok(warnings) => {
                linted.judged += 1;
                linted.warnings.extend(warnings);
            }
            Err(problem) => linted.refused.push(problem),
        }
    }
    Ok(linted)
}

fn shown(file: &str, warning: SpecWarning) -> SpecWarningShown {
    let SpecWarning { rule, key, line, column, message, help } = warning;
    SpecWarningShown { file: file.to_owned(), line, column, rule, key, message, help }
}

/// The specs of the configuration, each once.
fn configured(installation: &Installation) -> Result<Vec<Result<Text, Problem>>, Problem> {
    let config = installation.config().map_err(|problem| match installation.config_path().exists() {
        true => problem,
        false => problem.help(
            "name the spec, as in keyroll issuers lint ./acme.toml, or the configuration that names it: --config FILE",
        ),
    })?;
    let mut seen: Vec<&IssuerRef> = Vec::new();
    for issuer in config.secrets.values().map(|secret| &secret.issuer) {
        if !seen.contains(&issuer) {
            seen.push(issuer);
        }
    }
    Ok(seen.into_iter().filter_map(|issuer| of_issuer(issuer, &config, installation)).collect())
}

/// The spec of an issuer in the configuration; `None` for one that is built into keyroll.
fn of_issuer(
    issuer: &IssuerRef,
    config: &Config,
    installation: &Installation,
) -> Option<Result<Text, Problem>> {
    match issuer {
        IssuerRef::Server(_) | IssuerRef::AwsAccessKey => None,
        IssuerRef::Shipped(name) => Some(of_shipped(name.as_str())),
        IssuerRef::SpecFile(path) => {
            // Relative to the folder of this process, as an editor finds the file.
            let folder = installation.config_path().parent().map(Path::to_path_buf).unwrap_or_default();
            let beside = path.strip_prefix(&config.folder).map(|beside| folder.join(beside));
            let shown = beside.unwrap_or_else(|_| path.clone());
            Some(of_file(path, &shown))
        }
    }
}

fn of_shipped(name: &str) -> Result<Text, Problem> {
    Spec::shipped(name).map_err(|error| unread(&error))?;
    let text = Spec::shipped_text(name).unwrap_or_default().to_owned();
    Ok(Text { file: format!("issuers/{name}.toml"), text, origin: Origin::Shipped })
}

fn of_file(path: &Path, shown: &Path) -> Result<Text, Problem> {
    Ok(Text { file: shown.display().to_string(), text: spec_text(path)?, origin: Origin::Own })
}

/// The spec with this name.
fn named(name: &str, installation: &Installation) -> Result<Text, Problem> {
    if Spec::shipped_text(name).is_some() {
        return of_shipped(name);
    }
    let config = installation.config().ok();
    let secrets = || config.iter().flat_map(|config| config.secrets.values());
    let of =
        |secret: &Secret| config.as_ref().and_then(|config| of_issuer(&secret.issuer, config, installation));
    if let Some(secret) = secrets().find(|secret| secret.name.as_str() == name) {
        return of(secret).unwrap_or_else(|| {
            Err(Problem::new(Code::IssuerSettingsInvalid, format!("check the spec of {}", secret.name))
                .because(format!("`{}` is built into keyroll, and no spec describes it", secret.issuer))
                .help("docs/guides describe each"))
        });
    }
    let path = Path::new(name.strip_prefix("file:").unwrap_or(name));
    if !path.is_file() {
        // As the configuration writes it, in another folder.
        let beside = path.strip_prefix("./").unwrap_or(path);
        let same = |secret: &&Secret| match &secret.issuer {
            IssuerRef::SpecFile(file) => !beside.as_os_str().is_empty() && file.ends_with(beside),
            IssuerRef::Shipped(_) | IssuerRef::Server(_) | IssuerRef::AwsAccessKey => false,
        };
        if let Some(found) = secrets().find(same).and_then(of) {
            return found;
        }
        let is_path = name.starts_with("file:") || name.contains('/') || name.ends_with(".toml");
        if !is_path {
            return of_shipped(Spec::of_rule(name).unwrap_or(name));
        }
    }
    of_file(path, path)
}
