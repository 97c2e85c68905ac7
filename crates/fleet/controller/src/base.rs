//! The base file: what people write, from which keyroll composes its configuration.

use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::{COMPOSED, CONFIG_BYTES_MAX, Config, ConfigError, Followed, Name};

/// How deep the folders are in which a relative path would be two: no path of the file has so many `..`, as it has at most
/// 4096 bytes.
const FOLDERS: usize = 1_400;

/// What is appended to see whether secrets can be; no secret has this name.
const PROBE: &str = "\n[secrets.\"@\"]\n";

/// A base file that was read and checked.
#[derive(Debug, Clone)]
pub struct Base {
    path: PathBuf,
    text: String,
    config: Config,
    followed: Followed,
}

/// Why a base file cannot be used, or the composed one cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct BadBase {
    /// The code of its page.
    pub code: Code,
    /// What is wrong; with its place in the file, if it has one.
    pub sentence: String,
    /// What to do.
    pub help: Option<String>,
}

impl From<ConfigError> for BadBase {
    fn from(error: ConfigError) -> Self {
        let help = error.help().map(str::to_owned);
        Self { code: error.code(), sentence: error.to_string(), help }
    }
}

impl Base {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no configuration, follows no namespaces, has a relative path, or leaves no room for the tables of objects.
    pub fn read(path: &Path) -> Result<Self, BadBase> {
        Self::parse(path, &Config::text(path)?)
    }

    /// Checks the text of the file.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, BadBase> {
        let refuse = |why: &str, help: &str| {
            let sentence = format!("{}: {why}", path.display());
            Err(BadBase { code: Code::ConfigInvalid, sentence, help: Some(help.to_owned()) })
        };
        // It does not stand at the beginning of the composed file.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = Config::parse_current(text, &path.display().to_string(), folder)?;
        let Some(followed) = config.server.as_ref().and_then(|server| server.kubernetes.clone()) else {
            return refuse(
                "it has no table [server.kubernetes]",
                "add it: `home = \"HOST\"`, the host whose namespace keyroll is in, and [server.kubernetes.namespaces.HOST] for \
                 each namespace that keyroll follows",
            );
        };
        if !is_absolute(text) {
            return refuse(
                "a path in it is relative, and keyroll writes the composed file into another folder",
                "write every path of this file from `/`: `admin_token = \"file:/etc/keyroll/tokens/admin\"`",
            );
        }
        if toml::from_str::<toml::Table>(&format!("{text}{PROBE}")).is_err() {
            return refuse(
                "no table of a secret can be added to it",
                "write its own secrets as tables, [secrets.NAME], and not as `secrets = { … }`",
            );
        }
        let base = Self { path: path.to_path_buf(), text: text.to_owned(), config, followed };
        if base.beginning().len() as u64 > CONFIG_BYTES_MAX {
            return refuse("it leaves no room for the tables of objects", "shorten it");
        }
        Ok(base)
    }

    /// What it says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The namespaces that it follows.
    pub fn followed(&self) -> &Followed {
        &self.followed
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a server that began with `start` can go on with this one: what it watches is the same.
    ///
    /// # Errors
    /// What it watches is another host or namespace here.
    pub(crate) fn goes_on(&self, start: &Self) -> Result<(), String> {
        let (now, before) = (&self.followed, &start.followed);
        if now.home != before.home {
            return Err("`server.kubernetes.home` is another host than at the start".to_owned());
        }
        let hosts = now.namespaces.keys().chain(before.namespaces.keys());
        for host in hosts.clone() {
            let is_one_of = |followed: &Followed| followed.namespaces.contains_key(host);
            if is_one_of(now) != is_one_of(before) {
                let how = if is_one_of(now) { "was not" } else { "was" };
                return Err(format!("[server.kubernetes.namespaces.{host}] {how} there at the start"));
            }
        }
        let address = |base: &Self, host: &Name| base.config.cluster(host.as_str()).cloned();
        let mut all = hosts.chain([&now.home]);
        match all.find(|host| address(self, host) != address(start, host)) {
            Some(host) => Err(format!(
                "[hosts.{host}] is another namespace, or reached in another way, than at the start"
            )),
            None => Ok(()),
        }
    }

    /// What the composed file begins with.
    pub(crate) fn beginning(&self) -> String {
        let path = one_line(&self.path.display().to_string());
        let end = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
        format!(
            "{COMPOSED} from {path} and the SecretRotation objects. Changes here are overwritten.\n{}{end}",
            self.text
        )
    }
}

/// A text that can be a comment.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).collect()
}

/// Whether the text means the same in every folder.
fn is_absolute(text: &str) -> bool {
    let meaning = |name: &str| {
        let folder = PathBuf::from(format!("/{}", format!("{name}/").repeat(FOLDERS)));
        let config = Config::parse_in_folder(text, &folder).ok()?;
        // `==` of consumers compares what is written. What it means shows here; commands run in the folder itself, which is
        // no path of the file.
        Some(format!("{config:?}").replace(&format!("{folder:?}"), "the folder"))
    };
    meaning("one").is_some_and(|one| Some(one) == meaning("other"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const BASE: &str = r#"version = 1
[hosts.keyroll]
connect = "kube://in-cluster/keyroll"
[hosts.shop]
connect = "kube://in-cluster/shop"
[hosts.ops]
connect = "kube://prod/ops-team"
kubeconfig = "/etc/keyroll/kubeconfig"
[server]
listen = "127.0.0.1:9090"
[server.emergency]
admin_token = "file:/etc/keyroll/tokens/admin"
[server.kubernetes]
home = "keyroll"
[server.kubernetes.namespaces.shop]
folder = "/etc/keyroll/namespaces/shop"
stores = ["aws-sm:shop/", "k8s:vault-of-shop/"]
[server.kubernetes.namespaces.ops]
"#;

    pub(crate) fn base_of(text: &str) -> Result<Base, BadBase> {
        Base::parse(Path::new("/etc/keyroll/base.toml"), text)
    }

    pub(crate) fn base() -> Base {
        base_of(BASE).unwrap_or_else(|error| panic!("{error} {:?}", error.help))
    }

    #[track_caller]
    fn refused(text: &str, why: &str, help: &str) {
        let error = base_of(text).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.help.as_deref().unwrap_or_default().contains(help), "{:?}", error.help);
        assert!(error.to_string().starts_with("/etc/keyroll/base.toml"), "{error}");
    }

    #[test]
    fn a_base_file_says_which_namespaces_are_followed() {
        let base = base();
        assert_eq!(base.followed().home.as_str(), "keyroll");
        assert_eq!(base.followed().namespaces.len(), 2);
        assert!(base.config().hosts.contains_key("ops"));
    }

    #[test]
    fn a_base_file_without_the_table_or_with_a_mistake_is_refused() {
        let (before, _) = BASE.split_once("[server.kubernetes]").unwrap();
        refused(before, "it has no table [server.kubernetes]", "home = ");
        refused("version = 1\n", "it has no table [server.kubernetes]", "home = ");
        refused(&BASE.replace("home", "hom"), "unknown key `hom`", "did you mean `home`?");
        refused("version", "not TOML", "");
        let misspelt = format!("{BASE}[secrets.own]\nissuer = \"openruter\"\nadmin = \"file:/a\"\n");
        refused(&misspelt, "keyroll has no issuer of this name", "did you mean `openrouter`?");
    }

    #[test]
    fn a_relative_path_in_a_base_file_is_refused_wherever_it_stands() {
        let secret = "[secrets.own]\nissuer = \"openrouter\"\nadmin = \"file:/a\"\n[[secrets.own.consumers]]\nname = \"api\"\n\
                      runs = { restart = [\"/bin/true\"], process = \"/usr/bin/api\" }\nreads = { file = \"/srv/key\" }\n";
        let whole = format!("{BASE}{secret}");
        assert!(base_of(&whole).is_ok(), "{:?}", base_of(&whole).err());
        for (absolute, relative) in [
            ("file:/etc/keyroll/tokens/admin", "file:./tokens/admin"),
            ("file:/etc/keyroll/tokens/admin", "file:../../../../admin"),
            ("\"/etc/keyroll/kubeconfig\"", "\"kubeconfig\""),
            ("file:/a", "file:a"),
            ("/srv/key", "../../key"),
            ("/usr/bin/api", "./api"),
            ("/bin/true", "./restart.sh"),
        ] {
            assert!(whole.contains(absolute), "{absolute}");
            refused(&whole.replace(absolute, relative), "a path in it is relative", "from `/`");
        }
    }

    #[test]
    fn a_program_that_is_the_store_of_an_own_secret_is_no_relative_path() {
        let secret =
            "[secrets.own]\nissuer = \"openrouter\"\nadmin = \"file:/a\"\nstore = \"exec:/opt/store#own\"\n";
        assert!(base_of(&format!("{BASE}{secret}")).is_ok());
    }

    #[test]
    fn a_base_file_to_which_no_secret_can_be_added_is_refused() {
        let inline =
            format!("secrets = {{ own = {{ issuer = \"openrouter\", admin = \"file:/a\" }} }}\n{BASE}");
        refused(&inline, "no table of a secret can be added", "[secrets.NAME]");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
    fn a_base_file_is_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.toml");
        std::fs::write(&path, BASE).unwrap();
        assert_eq!(Base::read(&path).unwrap().followed(), base().followed());
        std::fs::write(&path, format!("{BASE}#{}", "x".repeat(CONFIG_BYTES_MAX as usize))).unwrap();
        assert_eq!(Base::read(&path).unwrap_err().code, Code::ConfigUnreadable);
        let filled = format!("{BASE}#{}", "x".repeat(CONFIG_BYTES_MAX as usize - BASE.len() - 1));
        std::fs::write(&path, filled).unwrap();
        assert!(Base::read(&path).unwrap_err().sentence.contains("leaves no room"));
        assert_eq!(Base::read(&folder.path().join("none.toml")).unwrap_err().code, Code::ConfigUnreadable);
    }

    #[test]
    fn the_beginning_of_the_composed_file_is_the_base_file() {
        let marked = base_of(&format!("\u{feff}{}", BASE.trim_end())).unwrap();
        assert_eq!(marked.beginning(), base().beginning());
        let odd = Base::parse(Path::new("/etc/a\n[secrets.b]\nc"), BASE).unwrap();
        let (comment, rest) =
            odd.beginning().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(
            comment.starts_with("# Written by keyroll serve --kubernetes, from /etc/a[secrets.b]c and"),
            "{comment}"
        );
        assert_eq!(rest, BASE);
    }
}
