use std::path::Path;
use std::sync::Arc;

use keyroll_config::{IssuerRef, Reference, Secret, ServerKind};
use keyroll_host::{read, resolve};
use keyroll_issuer::{Runner, Spec, SpecError};
use keyroll_port::Issuer;
use keyroll_postgres::{Admin, Options, Pooler, Postgres, REQUEST_MS_MAX_DEFAULT};
use keyroll_secret::SecretBytes;
use keyroll_servers::{MariaDb, RabbitMq, Redis};

use crate::problem::Problem;

/// The largest spec file, bytes.
const SPEC_BYTES_MAX: u64 = 256 * 1024;

/// Who accepts a secret, as it was described at one moment: what was checked is what is used.
pub(crate) struct Described {
    /// `None` for an issuer in code.
    pub(crate) spec: Option<Spec>,
    /// The text of a spec of one's own.
    pub(crate) text: Option<String>,
}

/// Reads what the configuration says of a secret's issuer, once.
pub(crate) fn described(secret: &Secret) -> Result<Described, Problem> {
    let unread = |error: SpecError| {
        let problem = Problem::new(error.code, "read the issuer's spec").because_of(&error);
        problem.help(
            error.help.unwrap_or_else(|| "docs/guides/write-an-issuer.md explains every key".to_owned()),
        )
    };
    Ok(match &secret.issuer {
        IssuerRef::Postgres | IssuerRef::Server(_) => Described { spec: None, text: None },
        IssuerRef::Shipped(name) => {
            Described { spec: Some(Spec::shipped(name.as_str()).map_err(unread)?), text: None }
        }
        IssuerRef::SpecFile(path) => {
            let text = spec_text(path)?;
            let spec = Spec::parse(&text, &path.display().to_string()).map_err(unread)?;
            Described { spec: Some(spec), text: Some(text) }
        }
    })
}

impl Described {
    /// The issuer with its admin credential. `settings`: what a rotation's plan has kept for its new credential.
    pub(crate) fn issuer(&self, secret: &Secret, settings: Option<&str>) -> Result<Arc<dyn Issuer>, Problem> {
        let admin = match &secret.admin {
            Some(Reference::File(path)) => Some(admin_file(path)?),
            None => None,
        };
        let Some(spec) = &self.spec else {
            return match secret.issuer {
                IssuerRef::Server(kind) => server(secret, kind, admin),
                IssuerRef::Postgres | IssuerRef::Shipped(_) | IssuerRef::SpecFile(_) => {
                    postgres(secret, admin)
                }
            };
        };
        if spec.needs_admin() && admin.is_none() {
            return Err(Problem::new("K0821", format!("use the issuer of {}", secret.name))
                .because("it needs an admin credential, and none is named")
                .help(format!(
                    "name the file that has it, mode 0600: `admin = \"file:./admin.key\"` in [secrets.{}], or with \
                     keyroll secret add: --admin file:./admin.key",
                    secret.name
                )));
        }
        let runner = Runner::new(spec.clone(), admin);
        let runner = match settings {
            None => runner,
            Some(settings) => runner.with_settings(settings).map_err(|error| {
                Problem::new("K0824", "read the settings that the plan has kept").because_of(&error)
            })?,
        };
        Ok(Arc::new(runner))
    }

    /// The hosts that the secret's credentials may be sent to.
    pub(crate) fn reach(&self, secret: &Secret) -> Vec<String> {
        match &self.spec {
            Some(spec) => spec.reach(),
            None => {
                let postgres = secret.postgres.iter().map(|place| (&place.host, place.port));
                let poolers = secret.postgres.iter().flat_map(|place| &place.poolers);
                let poolers = poolers.map(|pooler| (&pooler.host, pooler.port));
                let server = secret.server.iter().flat_map(|place| {
                    let management = place.broker.as_ref().map(|broker| broker.management_port);
                    [Some(place.port), management].into_iter().flatten().map(|port| (&place.host, port))
                });
                postgres.chain(server).chain(poolers).map(|(host, port)| format!("{host}:{port}")).collect()
            }
        }
    }
}

/// The issuer that a secret names, with its admin credential.
pub(crate) fn issuer(secret: &Secret) -> Result<Arc<dyn Issuer>, Problem> {
    described(secret)?.issuer(secret, None)
}

/// The text of a spec of one's own.
pub(crate) fn spec_text(path: &Path) -> Result<String, Problem> {
    let attempted = || {
        Problem::new("K0821", format!("read the issuer's spec {}", path.display()))
            .help("correct the path after `file:`, or write the spec: docs/guides/write-an-issuer.md")
    };
    let meta = std::fs::metadata(path).map_err(|error| attempted().because_of(&error))?;
    if !meta.is_file() || meta.len() > SPEC_BYTES_MAX {
        return Err(attempted().because("it is not a regular file of a reasonable size"));
    }
    std::fs::read_to_string(path).map_err(|error| attempted().because_of(&error))
}

/// The admin credential, from a file that others may not read.
fn admin_file(path: &Path) -> Result<SecretBytes, Problem> {
    let resolved = resolve(path)?;
    if resolved.mode & 0o077 != 0 {
        return Err(Problem::new("K0822", format!("use the admin credential in {}", path.display()))
            .because(format!("others may read it (mode {:04o})", resolved.mode & 0o7777))
            .help(format!("chmod 600 {}", path.display())));
    }
    let content = read(&resolved)?.bytes;
    let bytes = content.expose();
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let value = SecretBytes::new(bytes.get(..end).unwrap_or_default().to_vec());
    crate::redact::remember(&value);
    // The password of a login stands behind its name, and is one by itself.
    if let Some(at) = value.expose().iter().position(|byte| *byte == b':') {
        crate::redact::remember(&SecretBytes::new(value.expose().get(at + 1..).unwrap_or_default().to_vec()));
    }
    Ok(value)
}

fn postgres(secret: &Secret, admin: Option<SecretBytes>) -> Result<Arc<dyn Issuer>, Problem> {
    let missing = |what: &str| {
        Problem::new("K0821", format!("use PostgreSQL as the issuer of {}", secret.name))
            .because(what.to_owned())
    };
    let place = secret.postgres.as_ref().ok_or_else(|| {
        missing("it has no [postgres] table").help(format!("add [secrets.{}.postgres]", secret.name))
    })?;
    let admin = admin.ok_or_else(|| {
        missing("it needs an admin login")
            .help("add `admin = \"file:./admin.key\"` with a line `user:password`")
    })?;
    let options = Options {
        host: place.host.clone(),
        port: place.port,
        dbname: place.dbname.clone(),
        owner_role: place.owner_role.clone(),
        slots: place.slots.clone(),
        root_certificates: None,
        admin: Admin::from_file(&admin)?,
        log: place.log.clone(),
        poolers: place.poolers.iter().map(pooler).collect::<Result<_, _>>()?,
        request_ms_max: REQUEST_MS_MAX_DEFAULT,
    };
    Ok(Arc::new(Postgres::new(options)?))
}

fn pooler(place: &keyroll_config::Pooler) -> Result<Pooler, Problem> {
    let Reference::File(path) = &place.admin;
    let admin = Admin::from_file(&admin_file(path)?)?;
    Ok(Pooler { host: place.host.clone(), port: place.port, admin })
}

fn server(secret: &Secret, kind: ServerKind, admin: Option<SecretBytes>) -> Result<Arc<dyn Issuer>, Problem> {
    let word = kind.word();
    let missing = |what: &str, help: String| {
        let attempted = format!("use {word} as the issuer of {}", secret.name);
        Problem::new("K0821", attempted).because(what.to_owned()).help(help)
    };
    let table = || missing("it has no table of its server", format!("add [secrets.{}.{word}]", secret.name));
    let place = secret.server.as_ref().ok_or_else(table)?;
    let admin = admin.ok_or_else(|| {
        let help = "add `admin = \"file:./admin.key\"` with a line `user:password`".to_owned();
        missing("it needs an admin login", help)
    })?;
    let options = keyroll_servers::Options {
        host: place.host.clone(),
        port: place.port,
        slots: place.slots.clone(),
        root_certificates: None,
        admin: keyroll_servers::Admin::from_file(&admin)?,
        request_ms_max: keyroll_servers::REQUEST_MS_MAX_DEFAULT,
    };
    Ok(Arc::new(match kind {
        ServerKind::Redis => Redis::issuer(options)?,
        ServerKind::MariaDb => MariaDb::issuer(options)?,
        ServerKind::RabbitMq => {
            let broker = place.broker.as_ref().ok_or_else(table)?;
            let (management_port, vhost) = (broker.management_port, broker.vhost.clone());
            RabbitMq::issuer(options, keyroll_servers::Broker { management_port, vhost })?
        }
    }))
}
