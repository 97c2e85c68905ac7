use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::around::Around;
use crate::at::At;
use crate::copy::Place;
use crate::followed::Followed;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::notices::Recipient;
use crate::path::resolve;
use crate::secret::Secret;
use crate::shape::{AlertsShape, ServerShape};
use crate::suggest::nearest;
use crate::url::read_url;
use crate::{Kind, Name, Reference};

/// The longest alias, in bytes.
const ALIAS_BYTES_MAX: usize = 256;
/// The most approvals that may be asked for.
const APPROVALS_MAX: u8 = 2;
/// The longest path of a unix socket, in bytes: `sun_path` of unix(7) without its closing NUL.
const SOCKET_BYTES_MAX: usize = 107;
/// The address of GitHub's own API.
const GITHUB: &str = "https://api.github.com";

/// The server that `keyroll serve` runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it listens, on loopback.
    pub listen: SocketAddr,
    /// Whether it begins the rotations that are due.
    pub rotates_due: bool,
    /// How many different tokens must approve the end of an old key.
    pub approvals: u8,
    /// The unix socket from which consumers get their values; `None` = the usual one of the user.
    pub socket: Option<PathBuf>,
    /// The file of the admin tokens, absolute.
    pub admin_token: PathBuf,
    /// Other names of secrets.
    pub aliases: BTreeMap<String, Name>,
    /// The sources of alerts.
    pub alerts: Alerts,
    /// Who is sent notices, in the order of names.
    pub notices: Vec<Recipient>,
    /// The namespaces whose `SecretRotation` objects it follows.
    pub kubernetes: Option<Followed>,
}

/// The sources of alerts, each with the file of its secret, absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerts {
    /// The secret of GitHub's webhook.
    pub github: Option<PathBuf>,
    /// The public keys of GitHub's messages to partners.
    pub github_keys: Option<PathBuf>,
    /// The token that reads GitHub's alerts.
    pub github_token: Option<PathBuf>,
    /// The address of GitHub's API.
    pub github_api: String,
    /// The signature token of GitGuardian's webhook.
    pub gitguardian: Option<PathBuf>,
    /// The token of GitLab.
    pub gitlab: Option<PathBuf>,
    /// The types of tokens that GitLab sends.
    pub gitlab_types: Vec<String>,
    /// The secret of Standard Webhooks.
    pub generic: Option<PathBuf>,
    /// The tokens of scanners.
    pub tokens: Option<PathBuf>,
}

impl Alerts {
    /// `admin_token`: the file of the admin tokens, if it is known.
    fn build(
        shape: &AlertsShape,
        folder: &Path,
        admin_token: Option<&Path>,
        all: &mut Mistakes,
    ) -> Read<Self> {
        let mut file = |key: &str, text: &Option<At<String>>| {
            let read = |text| Reference::read(folder, &format!("server.alerts.{key}"), text);
            let file = all.note(text.as_ref().map(read).transpose())?;
            Some(file.map(|Reference::File(path)| path))
        };
        let (github, github_keys) = (file("github", &shape.github), file("github_keys", &shape.github_keys));
        let github_token = file("github_token", &shape.github_token);
        let (gitguardian, gitlab) = (file("gitguardian", &shape.gitguardian), file("gitlab", &shape.gitlab));
        let (generic, tokens) = (file("generic", &shape.generic), file("tokens", &shape.tokens));
        let address = all.note(read_url("server.alerts.github_api", shape.github_api.as_ref(), &[]))?;
        let written = shape.github_api.as_ref().filter(|_| address.is_some());
        let tokens = tokens?;
        if let (Some(text), true) = (&shape.tokens, tokens.is_some() && tokens.as_deref() == admin_token) {
            let why = "`server.alerts.tokens` is the file of the admin tokens: a scanner could replace keys";
            all.push(Mistake::new(Kind::WrongForm, why).at(&text.span).help("name another file"));
            return None;
        }
        Some(Self {
            github: github?,
            github_keys: github_keys?,
            github_token: github_token?,
            github_api: written.map_or(GITHUB, |text| &text.value).to_owned(),
            gitguardian: gitguardian?,
            gitlab: gitlab?,
            gitlab_types: shape.gitlab_types.iter().map(|text| text.value.clone()).collect(),
            generic: generic?,
            tokens,
        })
    }
}

impl Server {
    /// `secrets`: all secrets of the file, if they have no mistake.
    pub(crate) fn build(
        shape: &ServerShape,
        around: &Around<'_>,
        secrets: Option<&BTreeMap<Name, Secret>>,
        all: &mut Mistakes,
    ) -> Read<Self> {
        let Around { folder, hosts, .. } = *around;
        let emergency = &shape.emergency.value;
        let admin_token = Reference::read(folder, "server.emergency.admin_token", &emergency.admin_token);
        let admin_token = all.note(admin_token).map(|Reference::File(path)| path);
        let alerts = Alerts::build(&shape.alerts, folder, admin_token.as_deref(), all);
        let aliases = secrets.and_then(|secrets| {
            all.note_all(emergency.aliases.iter().map(|(alias, name)| read_alias(alias, name, secrets)))
        });
        let notices = Recipient::all(&shape.notices, folder, all);
        let listen = all.note(listen(&shape.listen));
        let approvals = all.note(approvals(shape.approvals.as_ref()));
        let socket = all.note(shape.socket.as_ref().map(|text| socket(text, folder)).transpose());
        let admin_token = admin_token?;
        let followed = shape.kubernetes.as_ref().filter(|_| around.hosts_are_whole);
        let kubernetes = followed.map(|table| Followed::read(&table.value, hosts, &admin_token));
        let kubernetes = all.note(kubernetes.transpose());
        Some(Self {
            listen: listen?,
            rotates_due: shape.rotates_due,
            approvals: approvals?,
            socket: socket?,
            admin_token,
            aliases: aliases?.into_iter().collect(),
            alerts: alerts?,
            notices: notices?,
            kubernetes: kubernetes?,
        })
    }

    /// The secret that a caller names: by an alias, by its name, or by a variable that only one secret is read from.
    ///
    /// # Errors
    /// A sentence: no secret has this name, or several have the variable.
    pub fn meant<'a>(
        &'a self,
        name: &str,
        secrets: &'a BTreeMap<Name, Secret>,
    ) -> Result<&'a Name, &'static str> {
        if let Some(named) = self.aliases.get(name) {
            return Ok(named);
        }
        if let Some((known, _)) = secrets.get_key_value(name) {
            return Ok(known);
        }
        let reads = |secret: &&Secret| {
            let mut places = secret.consumers.iter().flat_map(|consumer| &consumer.reads);
            places.any(|copy| matches!(&copy.place, Place::EnvFile { variable, .. } if variable == name))
        };
        let mut all = secrets.values().filter(reads);
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(&only.name),
            (Some(_), Some(_)) => {
                Err("several secrets are read from a variable of this name: send the secret's name, \
                                       or set an alias under [server.emergency]")
            }
            (None, _) => Err("no secret, alias or variable has this name"),
        }
    }
}

fn listen(text: &At<String>) -> Result<SocketAddr, Mistake> {
    let address: Option<SocketAddr> = text.value.parse().ok();
    let address = address.filter(|address| address.ip().is_loopback());
    address.ok_or_else(|| {
        Mistake::new(Kind::WrongForm, "`server.listen` is not an address and port on loopback")
            .at(&text.span)
            .help(
                "write `listen = \"127.0.0.1:9090\"`; from another machine: ssh -L 9090:127.0.0.1:9090 HOST",
            )
    })
}

fn approvals(given: Option<&At<u8>>) -> Result<u8, Mistake> {
    match given {
        None => Ok(1),
        Some(given) if (1..=APPROVALS_MAX).contains(&given.value) => Ok(given.value),
        Some(given) => Err(Mistake::new(Kind::WrongForm, "`server.approvals` is neither 1 nor 2")
            .at(&given.span)
            .help("write `approvals = 2` if two tokens must approve the end of an old key")),
    }
}

fn socket(text: &At<String>, folder: &Path) -> Result<PathBuf, Mistake> {
    let path = resolve(folder, "server.socket", text)?;
    match path.as_os_str().len() <= SOCKET_BYTES_MAX {
        true => Ok(path),
        false => {
            let why = format!("`server.socket` is longer than {SOCKET_BYTES_MAX} bytes");
            Err(Mistake::new(Kind::BadPath, why).at(&text.span).help("put the socket into a folder near /"))
        }
    }
}

fn read_alias(
    alias: &At<String>,
    name: &At<String>,
    secrets: &BTreeMap<Name, Secret>,
) -> Result<(String, Name), Mistake> {
    let wrong = |why: &str, at: &At<String>| Mistake::new(Kind::BadName, why).at(&at.span);
    if alias.value.is_empty()
        || alias.value.len() > ALIAS_BYTES_MAX
        || alias.value.chars().any(char::is_control)
    {
        return Err(wrong("an alias has 1 to 256 characters, none of them a control character", alias));
    }
    if secrets.get(alias.value.as_str()).is_some_and(|own| own.name.as_str() != name.value) {
        return Err(wrong("the alias is the name of another secret", alias));
    }
    let Some((name, _)) = secrets.get_key_value(name.value.as_str()) else {
        let near = nearest(&name.value, secrets.keys().map(Name::as_str));
        let fault = wrong("the alias stands for a secret that is not configured", name);
        return Err(match near {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault,
        });
    };
    Ok((alias.value.clone(), name.clone()))
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn config(server: &str) -> Result<Config, String> {
        let text = format!(
            "version = 1\n{server}\n[secrets.one]\nissuer = \"openrouter\"\nadmin = \"file:./a\"\n\
             [[secrets.one.consumers]]\nname = \"api\"\nruns = {{ at_rest = true }}\n\
             reads = [{{ env_file = \"a.env\", variable = \"ONE_KEY\" }}, {{ env_file = \"b.env\", variable = \"KEY\" }}]\n\
             [secrets.two]\nissuer = \"openrouter\"\nadmin = \"file:./a\"\n\
             [[secrets.two.consumers]]\nname = \"api\"\nruns = {{ at_rest = true }}\n\
             reads = [{{ env_file = \"c.env\", variable = \"KEY\" }}]\n"
        );
        Config::parse(&text, "/x/keyroll.toml").map_err(|error| error.to_string())
    }

    const EMERGENCY: &str = "[server.emergency]\nadmin_token = \"file:./admin-token\"\n";

    #[test]
    fn a_caller_names_a_secret_by_alias_name_or_variable() {
        let config = config(&format!(
            "[server]\nlisten = \"127.0.0.1:9090\"\n{EMERGENCY}aliases = {{ SECOND = \"two\" }}"
        ))
        .unwrap();
        let server = config.server.as_ref().unwrap();
        assert_eq!(server.admin_token, std::path::Path::new("/x/admin-token"));
        let meant = |name| server.meant(name, &config.secrets).map(super::Name::as_str);
        assert_eq!([meant("SECOND"), meant("one"), meant("ONE_KEY")], [Ok("two"), Ok("one"), Ok("one")]);
        assert!(meant("KEY").unwrap_err().starts_with("several secrets"));
        for unknown in ["", "three", "../one", "ONE", "one "] {
            assert!(meant(unknown).unwrap_err().starts_with("no secret"), "{unknown}");
        }
    }

    #[test]
    fn one_or_two_tokens_approve() {
        let approvals = |line: &str| {
            let server = format!("[server]\nlisten = \"127.0.0.1:9090\"\n{line}\n{EMERGENCY}");
            config(&server).map(|config| config.server.unwrap().approvals)
        };
        assert_eq!(
            [approvals(""), approvals("approvals = 1"), approvals("approvals = 2")],
            [Ok(1), Ok(1), Ok(2)]
        );
        for wrong in ["approvals = 0", "approvals = 3"] {
            assert!(approvals(wrong).unwrap_err().contains("neither 1 nor 2"), "{wrong}");
        }
    }

    #[test]
    fn a_socket_has_a_path_that_a_unix_socket_can_have() {
        let socket = |line: &str| {
            let server = format!("[server]\nlisten = \"127.0.0.1:9090\"\n{line}\n{EMERGENCY}");
            config(&server).map(|config| config.server.unwrap().socket)
        };
        assert_eq!(socket(""), Ok(None));
        assert_eq!(socket("socket = \"./values.sock\""), Ok(Some("/x/values.sock".into())));
        let longest = format!("/{}", "s".repeat(super::SOCKET_BYTES_MAX - 1));
        assert_eq!(socket(&format!("socket = \"{longest}\"")), Ok(Some(longest.clone().into())));
        let said = socket(&format!("socket = \"{longest}s\"")).unwrap_err();
        assert!(said.contains("`server.socket` is longer than 107 bytes"), "{said}");
        for wrong in ["", "/run/x/../values.sock", "a\\u0000b"] {
            let said = socket(&format!("socket = \"{wrong}\"")).unwrap_err();
            assert!(said.contains("`server.socket`"), "{said}");
        }
    }

    #[test]
    fn a_server_listens_on_loopback_and_knows_its_aliases() {
        for (server, why) in [
            ("[server]\nlisten = \"0.0.0.0:9090\"".to_owned(), "on loopback"),
            ("[server]\nlisten = \"localhost\"".to_owned(), "on loopback"),
            ("[server]\nlisten = \"192.0.2.1:80\"".to_owned(), "on loopback"),
        ] {
            let said = config(&format!("{server}\n{EMERGENCY}")).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        for (aliases, why) in [
            ("{ A = \"three\" }", "not configured"),
            ("{ one = \"two\" }", "another secret"),
            ("{ \"\" = \"two\" }", "1 to 256"),
        ] {
            let said = config(&format!("[server]\nlisten = \"[::1]:9\"\n{EMERGENCY}aliases = {aliases}"));
            let said = said.unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
