//! The issuer of a configured secret.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use keyroll_aws::{AwsKeys, AwsSettings, IamUser, REQUEST_MS_MAX_DEFAULT};
use keyroll_codes::Code;
use keyroll_config::{AwsUser, IssuerRef, Reference, Secret, VaultLogin, nearest};
use keyroll_host::{Resolved, read, resolve};
use keyroll_http::Addresses;
use keyroll_issuer::{Runner, Spec, SpecError};
use keyroll_logins::{Admins, Table};
use keyroll_manager::shell_word;
use keyroll_port::Issuer;
use keyroll_secret::{SecretBytes, is_private};
use keyroll_setup::trust::is_foreign;
use keyroll_truth::VaultSettings;

use super::vault::trusted_vault;
use crate::problem::Problem;

/// The largest spec file, bytes.
const SPEC_BYTES_MAX: u64 = 256 * 1024;

/// An issuer's description, read once, so that the checked description is the used one.
pub struct Described {
    /// `None` for an issuer in code.
    pub spec: Option<Spec>,
    /// The text of a spec file.
    pub text: Option<String>,
}

/// The problem of a spec that the parser refuses.
pub fn refused_spec(error: SpecError) -> Problem {
    let problem = Problem::new(error.code, "read the issuer's spec").because_of(&error);
    problem.help(error.help.unwrap_or_else(|| "docs/guides/write-an-issuer.md explains every key".to_owned()))
}

/// The error of a name that no shipped spec has, with the issuers that have no spec: servers, and AWS.
pub(crate) fn with_servers(name: &str, error: SpecError) -> SpecError {
    let mut words = IssuerRef::server_words();
    words.push(IssuerRef::aws_word());
    let help = error.help.clone().unwrap_or_default();
    let help = match nearest(name, words.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if help.starts_with("did you mean") => help,
        None => format!("{help}; without a spec: `{}`", words.join("`, `")),
    };
    SpecError { help: Some(help), ..error }
}

/// Where the servers that a secret names may be: whoever wrote a `SecretRotation` object may not reach keyroll's own machine.
fn addresses(secret: &Secret) -> Addresses {
    if secret.of_object { Addresses::OtherMachines } else { Addresses::Any }
}

/// Reads the description of a secret's issuer.
pub fn described(secret: &Secret) -> Result<Described, Problem> {
    let Described { spec, text } = read_description(secret)?;
    Ok(Described { spec: spec.map(|spec| spec.within(addresses(secret))), text })
}

fn read_description(secret: &Secret) -> Result<Described, Problem> {
    Ok(match &secret.issuer {
        IssuerRef::Server(_) | IssuerRef::AwsAccessKey => Described { spec: None, text: None },
        IssuerRef::Shipped(name) => {
            let shipped = Spec::shipped(name.as_str());
            let shipped = shipped.map_err(|error| refused_spec(with_servers(name.as_str(), error)))?;
            if shipped.is_template() {
                return Err(unedited(secret, &shipped));
            }
            let spec = match &secret.issuer_host {
                Some(host) => shipped.at_host(name.as_str(), host).map_err(refused_spec)?,
                None if shipped.host_to_name().is_some() => return Err(hostless(secret, &shipped)),
                None => shipped,
            };
            Described { spec: Some(spec), text: None }
        }
        IssuerRef::SpecFile(path) => {
            let text = spec_text(path)?;
            let spec = Spec::parse(&text, &path.display().to_string()).map_err(refused_spec)?;
            Described { spec: Some(spec), text: Some(text) }
        }
    })
}

/// The spec is one to copy.
fn unedited(secret: &Secret, spec: &Spec) -> Problem {
    let issuer = &secret.issuer;
    Problem::new(Code::IssuerSettingsInvalid, format!("use the issuer of {}", secret.name))
        .because(format!("the shipped spec of {} is a template, to be copied and edited", spec.title()))
        .help(format!(
            "keyroll issuers show {issuer} --text > own.toml; edit it, and write issuer = \"file:./own.toml\""
        ))
}

/// The issuer has another host for every customer, and none is named.
fn hostless(secret: &Secret, spec: &Spec) -> Problem {
    Problem::new(Code::IssuerSettingsInvalid, format!("use the issuer of {}", secret.name))
        .because(format!("the shipped spec of {} has no host: every customer has another", spec.title()))
        .help(format!("add issuer_host = \"NAME\" to [secrets.{}], the host without https://", secret.name))
}

impl Described {
    /// The issuer with its admin credential. `settings`: what the new credential copies, from the rotation's plan.
    pub fn issuer(&self, secret: &Secret, settings: Option<&str>) -> Result<Arc<dyn Issuer>, Problem> {
        let admin = admin_of(secret)?;
        if let Some(aws) = &secret.aws {
            return Ok(Arc::new(access_keys(aws)));
        }
        let Some(spec) = &self.spec else { return server(secret, admin.as_ref()) };
        if spec.needs_admin() && admin.is_none() {
            return Err(Problem::new(
                Code::IssuerSettingsInvalid,
                format!("use the issuer of {}", secret.name),
            )
            .because("it needs an admin credential, and none is configured")
            .help(format!(
                "name the credential's file, mode 0600: `admin = \"file:./admin.key\"` in [secrets.{}], \
                     or keyroll secret add with --admin file:./admin.key",
                secret.name
            )));
        }
        admin
            .iter()
            .flat_map(|admin| spec.admin_parts(admin))
            .for_each(|part| crate::redact::remember(&part));
        let runner = Runner::new(spec.clone(), admin);
        let runner = match settings {
            None => runner,
            Some(settings) => runner.with_settings(settings).map_err(|error| {
                Problem::new(Code::NameNotFound, "read the settings in the plan").because_of(&error)
            })?,
        };
        Ok(Arc::new(runner))
    }

    /// The hosts that may receive the secret's credentials.
    pub fn reach(&self, secret: &Secret) -> Vec<String> {
        match (&self.spec, &secret.aws) {
            (Some(spec), _) => spec.reach(),
            (None, Some(aws)) => AwsKeys::reach(&aws_settings(aws)),
            (None, None) => secret.server.iter().flat_map(Table::endpoints).collect(),
        }
    }
}

/// The issuer of a secret, with its admin credential.
pub fn issuer(secret: &Secret) -> Result<Arc<dyn Issuer>, Problem> {
    described(secret)?.issuer(secret, None)
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// The admin credential of a secret, if one is named. Without its file, a login's problem says what must stand there.
fn admin_of(secret: &Secret) -> Result<Option<SecretBytes>, Problem> {
    let Some(Reference::File(path)) = &secret.admin else { return Ok(None) };
    if let Some(server) = secret.issuer.server()
        && is_missing(path)
    {
        let file = shell_word(path.display().to_string());
        return Err(Problem::new(Code::FileUnusable, format!("use the admin login of {}", secret.name))
            .because(format!("{} does not exist", path.display()))
            .help(format!(
                "write one line user:password into it, mode 0600: install -m 600 /dev/stdin {file}; the admin is {}",
                server.admin
            )));
    }
    admin_file(path).map(Some)
}

/// Refuses a login without the file of its admin's login: the server would neither confirm the value nor say under which
/// id it knows it, and keyroll could then not revoke it.
pub fn admin_login(secret: &Secret) -> Result<(), Problem> {
    match secret.issuer.server() {
        Some(_) => admin_of(secret).map(drop),
        None => Ok(()),
    }
}

/// The text of a spec file.
pub fn spec_text(path: &Path) -> Result<String, Problem> {
    let attempted = || {
        Problem::new(Code::IssuerSettingsInvalid, format!("read the issuer's spec {}", path.display()))
            .help("correct the path after `file:`, or write the spec: docs/guides/write-an-issuer.md")
    };
    let meta = std::fs::metadata(path).map_err(|error| attempted().because_of(&error))?;
    if !meta.is_file() || meta.len() > SPEC_BYTES_MAX {
        return Err(attempted().because("it is not a regular file, or too large"));
    }
    std::fs::read_to_string(path).map_err(|error| attempted().because_of(&error))
}

/// Refuses a secret whose issuer cannot be used now: its spec cannot be read, or the file of its admin credential is not
/// there or open to others. Nothing is read from that file.
pub(crate) fn refuse_unusable(secret: &Secret) -> Result<(), Problem> {
    described(secret)?;
    match &secret.admin {
        Some(Reference::File(path)) => own_file(path).map(drop),
        None => Ok(()),
    }
}

/// The admin credential, from a file that others may not read, and that is not another user's.
pub(crate) fn admin_file(path: &Path) -> Result<SecretBytes, Problem> {
    let resolved = own_file(path)?;
    let content = read(&resolved)?.bytes;
    let bytes = content.expose();
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let value = SecretBytes::new(bytes.get(..end).unwrap_or_default().to_vec());
    crate::redact::remember(&value);
    // A login's file is `name:password`; the password is redacted by itself too.
    if let Some(at) = value.expose().iter().position(|byte| *byte == b':') {
        crate::redact::remember(&SecretBytes::new(value.expose().get(at + 1..).unwrap_or_default().to_vec()));
    }
    Ok(value)
}

/// The file of an admin credential, unless others may read it or it is another user's.
fn own_file(path: &Path) -> Result<Resolved, Problem> {
    let resolved = resolve(path).map_err(|failure| match is_missing(path) {
        // An open rotation keeps the configuration that it began with.
        true => Problem::from(failure).mend(
            "put the file of the admin credential back, mode 0600; before a plan, `admin` in keyroll.toml may name \
             another one",
        ),
        false => Problem::from(failure),
    })?;
    if !is_private(resolved.mode, resolved.uid, resolved.gid) {
        return Err(Problem::new(
            Code::OpenToOtherUsers,
            format!("use the admin credential in {}", path.display()),
        )
        .because(format!("other users can read it (mode {:04o})", resolved.mode & 0o7777))
        .help(format!("chmod 600 {}", path.display())));
    }
    if is_foreign(resolved.uid) {
        let attempted = format!("use the admin credential in {}", path.display());
        return Err(Problem::new(Code::OpenToOtherUsers, attempted)
            .because(format!("it belongs to user {}, who can read and replace it", resolved.uid))
            .help("write it into a new file of your own, and correct `admin` in keyroll.toml"));
    }
    Ok(resolved)
}

/// The access keys of an IAM user, as an issuer.
fn access_keys(aws: &AwsUser) -> AwsKeys {
    AwsKeys::new(IamUser {
        account: aws.account.clone(),
        name: aws.user.clone(),
        settings: aws_settings(aws),
        request_ms_max: REQUEST_MS_MAX_DEFAULT,
    })
}

fn aws_settings(aws: &AwsUser) -> AwsSettings {
    let AwsUser { profile, region, endpoint, .. } = aws.clone();
    AwsSettings { profile, region, endpoint, config_file: None }
}

/// The Vault of a secret's static roles. A rotation must find the same one from every shell, service and timer: which it is
/// never comes from the environment.
fn vault_of_roles(secret: &Secret) -> Result<VaultSettings, Problem> {
    let vault = &secret.vault;
    if vault.address.is_none() && !matches!(vault.login, Some(VaultLogin::Agent(_))) {
        let attempted = format!("use the static roles of {}", secret.name);
        return Err(Problem::new(Code::IssuerSettingsInvalid, attempted)
            .because("keyroll.toml does not name the address of Vault")
            .help("add it, because VAULT_ADDR differs from shell to shell: [vault] address = \"https://vault.example:8200\""));
    }
    Ok(VaultSettings { namespace: vault.namespace.clone(), ..trusted_vault(vault)? })
}

/// A server of which two logins take turns, as an issuer.
fn server(secret: &Secret, admin: Option<&SecretBytes>) -> Result<Arc<dyn Issuer>, Problem> {
    let missing = |what: &str, help: String| {
        let attempted = format!("use {} as the issuer of {}", secret.issuer, secret.name);
        Problem::new(Code::IssuerSettingsInvalid, attempted).because(what.to_owned()).help(help)
    };
    let (Some(server), Some(table)) = (secret.issuer.server(), &secret.server) else {
        let help = format!("add [secrets.{}.{}]", secret.name, secret.issuer);
        return Err(missing("the table of its server is missing", help));
    };
    let admin = admin.ok_or_else(|| {
        let help = "add `admin = \"file:./admin.key\"` with a line `user:password`".to_owned();
        missing("it needs an admin login", help)
    })?;
    let poolers: Vec<SecretBytes> =
        table.poolers().iter().filter_map(Table::admin_file).map(admin_file).collect::<Result<_, _>>()?;
    let vault = match table.static_roles() {
        Some(_) => vault_of_roles(secret)?,
        None => VaultSettings::default(),
    };
    let addresses = addresses(secret);
    let admins = Admins { server: admin, poolers: &poolers, vault: &vault, addresses };
    Ok(Arc::from(server.issuer(table, &admins)?))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use keyroll_config::Config;
    use keyroll_port::Probe;
    use keyroll_secret::{Credential, Fields};

    use super::*;

    #[test]
    fn an_unknown_issuer_leads_to_the_servers_too() {
        let help = |name: &str| with_servers(name, Spec::shipped(name).unwrap_err()).help.unwrap();
        assert_eq!(help("postgress"), "did you mean `postgres`?");
        assert!(help("githlab").starts_with("did you mean `gitlab`? "));
        for word in ["`postgres`", "`redis`", "`mariadb`", "`rabbitmq`", "`aws-access-key`"] {
            assert!(help("nothing-of-it").contains(word), "{word}");
        }
    }

    /// `127.1` resolves to loopback on every machine. Only the object's secret may not lead there.
    #[tokio::test]
    async fn a_name_in_an_object_that_leads_to_the_own_machine_is_not_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let admin = folder.path().join("admin.key");
        std::fs::write(&admin, "generated\n").unwrap();
        std::fs::set_permissions(&admin, PermissionsExt::from_mode(0o600)).unwrap();
        let secret = format!(
            "issuer = \"gitlab\"\nadmin = \"file:{}\"\nissuer_host = \"127.1:{port}\"\n",
            admin.display()
        );
        let text = format!(
            "version = 1\n[hosts.keyroll]\nconnect = \"kube://in-cluster/keyroll\"\n[hosts.shop]\n\
             connect = \"kube://in-cluster/shop\"\n[server]\nlisten = \"127.0.0.1:9090\"\n[server.emergency]\n\
             admin_token = \"file:/etc/keyroll/tokens/admin\"\n[server.kubernetes]\nhome = \"keyroll\"\n\
             [server.kubernetes.namespaces.shop]\n[secrets.\"shop.one\"]\n{secret}[secrets.own]\n{secret}"
        );
        let config = Config::parse(&text, "/x/keyroll.toml").unwrap();
        let mut fields = Fields::new();
        fields.insert("value", SecretBytes::from("generated".to_owned()), true);
        let credential = Credential { id: None, fields };
        let asked = async |name: &str| {
            let issuer = issuer(config.secret(name).unwrap()).unwrap();
            let endpoint = issuer.endpoints().remove(0);
            issuer.probe(&endpoint, &credential).await
        };
        let Probe::Unknown(why) = asked("shop.one").await else { panic!("it was answered") };
        assert!(why.starts_with("127.1 leads to 127.0.0.1 (loopback): "), "{why}");
        assert!(listener.accept().is_err(), "it was connected to");
        // The server never answers: the connection ends with it.
        let end = std::thread::spawn(move || {
            listener.set_nonblocking(false).unwrap();
            listener.accept().map(drop)
        });
        assert!(matches!(asked("own").await, Probe::Unknown(_)));
        assert!(end.join().unwrap().is_ok());
    }

    #[test]
    fn the_admin_credential_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!(
                "left out: only root can read and give away another user's file (the admin credential)"
            );
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admin.key");
        std::fs::write(&file, "generated\n").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(admin_file(&file).is_ok());
        chown(&file, Some(65_534), None).unwrap();
        let problem = admin_file(&file).err().unwrap();
        assert_eq!(problem.code, Code::OpenToOtherUsers);
        assert!(problem.causes.iter().any(|why| why.contains("65534")), "{:?}", problem.causes);
    }
}
