//! The issuers with a spec: the shipped ones, and those that the configuration names.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::IssuerRef;
use keyroll_issuer::{Spec, SpecError, SpecSource, mechanism};
use keyroll_rotation::LastUsed;

use crate::installation::Installation;
use crate::operator::{IssuerShown, PageShown};
use crate::problem::Problem;
use crate::wiring::issuer::{described, spec_text, with_servers};

/// What every shipped spec was tested against.
const NEVER_TRIED: &str =
    "complete rotations against a local server that answers as the spec expects; never the real service";
/// The same for a spec that is not shipped.
const NOT_KNOWN: &str = "unknown: it is your own spec";

/// Every issuer with a spec.
pub struct Issuers {
    /// The shipped ones first.
    pub known: Vec<IssuerShown>,
    /// The problem of each configured spec that cannot be read: it does not hide the others.
    pub unread: Vec<Problem>,
}

/// Every issuer with a spec. Without a configuration, only the shipped ones.
///
/// # Errors
/// A shipped spec cannot be read.
pub fn issuers(installation: &Installation) -> Result<Issuers, Problem> {
    let mut known = Spec::names().into_iter().map(shipped).collect::<Result<Vec<_>, _>>()?;
    let mut unread = Vec::new();
    let config = installation.config().ok();
    for secret in config.iter().flat_map(|config| config.secrets.values()) {
        let IssuerRef::SpecFile(path) = &secret.issuer else { continue };
        let name = file_name(path, installation);
        if known.iter().any(|one| one.name == name) {
            continue;
        }
        match described(secret).map(|described| described.spec) {
            Ok(spec) => known.extend(spec.map(|spec| shown(&name, &spec, NOT_KNOWN))),
            Err(problem) => unread.push(problem),
        }
    }
    Ok(Issuers { known, unread })
}

/// The issuer with this name: of a shipped spec, a configured secret, a spec file, or a rule of `leaks` that a shipped
/// spec is linked to.
///
/// # Errors
/// No issuer has this name (the help suggests the nearest one), or its spec cannot be read.
pub fn issuer(name: &str, installation: &Installation) -> Result<IssuerShown, Problem> {
    if name == IssuerRef::aws_word() || IssuerRef::server_words().contains(&name) {
        return Err(Problem::new(Code::IssuerSettingsInvalid, format!("show the issuer {name}"))
            .because("it is built into keyroll, and no spec describes it")
            .help(format!(
                "docs/guides describe it: rotate-*{}*.md",
                name.split('-').next().unwrap_or(name)
            )));
    }
    if Spec::names().contains(&name) {
        return shipped(name);
    }
    if let Some(configured) = configured(name, installation)? {
        return Ok(configured);
    }
    if let Some(path) = name.strip_prefix("file:").map(Path::new).filter(|path| path.is_file()) {
        let spec =
            Spec::parse(&spec_text(path)?, &path.display().to_string()).map_err(|error| unread(&error))?;
        return Ok(shown(name, &spec, NOT_KNOWN));
    }
    shipped(Spec::of_rule(name).unwrap_or(name))
}

/// The issuer of the secret with this name, or of the first secret with this spec file.
fn configured(name: &str, installation: &Installation) -> Result<Option<IssuerShown>, Problem> {
    let short = name.strip_prefix("file:").map(|path| path.trim_start_matches("./"));
    let config = installation.config().ok();
    for secret in config.iter().flat_map(|config| config.secrets.values()) {
        let file = match &secret.issuer {
            IssuerRef::SpecFile(path) => Some(file_name(path, installation)),
            IssuerRef::Shipped(_) | IssuerRef::Server(_) | IssuerRef::AwsAccessKey => None,
        };
        let named = file.as_deref().is_some_and(|file| short.is_some_and(|short| file.ends_with(short)));
        if secret.name.as_str() != name && !named {
            continue;
        }
        let spec = described(secret)?.spec.ok_or_else(|| {
            Problem::new(Code::IssuerSettingsInvalid, format!("show the issuer of {name}"))
                .because(format!("`{}` is built into keyroll, and no spec describes it", secret.issuer))
                .help("docs/guides describe each")
        })?;
        return Ok(Some(match file {
            Some(file) => shown(&file, &spec, NOT_KNOWN),
            None => shown(&secret.issuer.to_string(), &spec, NEVER_TRIED),
        }));
    }
    Ok(None)
}

/// The text of a shipped spec, to be copied and edited.
///
/// # Errors
/// No shipped spec has this name.
pub fn shipped_text(name: &str) -> Result<&'static str, Problem> {
    Spec::shipped(name).map_err(|error| unread(&with_servers(name, error)))?;
    Ok(Spec::shipped_text(name).unwrap_or_default())
}

/// The name of a spec file as keyroll.toml writes it: relative, if it is beside or below that file.
fn file_name(path: &Path, installation: &Installation) -> String {
    let config = std::path::absolute(installation.config_path()).unwrap_or_default();
    match config.parent().and_then(|folder| path.strip_prefix(folder).ok()) {
        Some(beside) => format!("file:./{}", beside.display()),
        None => format!("file:{}", path.display()),
    }
}

fn shipped(name: &str) -> Result<IssuerShown, Problem> {
    let spec = Spec::shipped(name).map_err(|error| unread(&with_servers(name, error)))?;
    Ok(shown(name, &spec, NEVER_TRIED))
}

/// The problem of a name without a shipped spec.
pub(super) fn unread(error: &SpecError) -> Problem {
    let problem = Problem::new(error.code, "find the issuer").because(error.message.clone());
    problem.help(error.help.clone().unwrap_or_else(|| "keyroll issuers list".to_owned()))
}

fn shown(name: &str, spec: &Spec, tried: &'static str) -> IssuerShown {
    let [made_by, keys, ended_by] = mechanism(spec);
    let can = spec.capabilities();
    let abilities = [
        (can.list, "list its keys"),
        (spec.binds(), "report the id of a value"),
        (can.disable, "disable and enable a key"),
        (can.last_used != LastUsed::NotVisible, "show when a key was last used"),
    ];
    let those = |there: bool| {
        abilities.iter().filter(move |(has, _)| *has == there).map(|(_, what)| (*what).to_owned())
    };
    let mut by_hand = Vec::new();
    if let Some(hand) = spec.by_hand() {
        by_hand.push(format!("make a key at {}", hand.url));
        by_hand.extend(numbered(hand.steps));
        if !hand.revoke_steps.is_empty() {
            by_hand.push(format!("revoke the old key at {}", hand.revoke_url));
            by_hand.extend(numbered(hand.revoke_steps));
        }
    }
    let field =
        |(name, secret): (&str, bool)| if secret { format!("{name} (secret)") } else { name.to_owned() };
    let mut needs = Vec::new();
    if spec.is_template() {
        needs.push(
            "a copy that you edit, named issuer = \"file:./own.toml\": keyroll issuers show NAME --text"
                .to_owned(),
        );
    } else if spec.host_to_name().is_some() {
        needs.push("issuer_host: the host, which every customer has for itself".to_owned());
    }
    if spec.needs_admin() {
        let parts = spec.admin_places();
        needs.push(match parts.is_empty() {
            true => "admin: a file with the admin credential".to_owned(),
            false => format!("admin: a file with a JSON document that has {}", parts.join(", ")),
        });
    }
    IssuerShown {
        name: name.to_owned(),
        title: spec.title().to_owned(),
        made_by,
        keys,
        ended_by,
        can: those(true).collect(),
        cannot: those(false).collect(),
        needs,
        fields: spec.fields().map(field).collect(),
        reach: spec.reach(),
        by_hand,
        sources: spec.sources().iter().map(|page| page.at.to_owned()).collect(),
        checked: spec.checked().to_owned(),
        pages: spec.sources().into_iter().map(page).collect(),
        assumed: spec.assumed().to_vec(),
        tried,
    }
}

fn page(source: SpecSource<'_>) -> PageShown {
    let SpecSource { at, says, checked } = source;
    PageShown { at: at.to_owned(), says: says.to_vec(), checked: checked.to_owned() }
}

fn numbered(steps: &[String]) -> impl Iterator<Item = String> {
    (1..).zip(steps).map(|(at, step): (u32, &String)| format!("  {at}. {step}"))
}
