//! `[server.kubernetes]`: the namespaces whose `SecretRotation` objects the server follows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use toml_edit::Key;

use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::suggest::nearest;
use crate::{Host, Kind, Name};

/// What an entry of `stores` begins with: of a store that is neither a file of keyroll's machine nor a program there.
const STORES: [&str; 3] = ["aws-sm:", "vault:", "k8s:"];

/// The namespaces whose `SecretRotation` objects `keyroll serve --kubernetes` follows. Whoever may write such objects in a
/// namespace decides about the credentials in its `folder`, and about the Secrets there that keyroll may read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowedShape {
    /// The host, a namespace of a cluster, that has the Lease of keyroll: the one that keyroll's pod is in.
    pub(crate) home: At<String>,
    /// The namespaces, by the names of their hosts: `[server.kubernetes.namespaces.shop]`. A host is written
    /// `connect = "kube://in-cluster/NAMESPACE"`. An object `NAME` there becomes the secret `NAMESPACE.NAME`. Default: none.
    #[serde(default)]
    pub(crate) namespaces: BTreeMap<At<String>, At<FollowedNamespaceShape>>,
}

/// What the objects of a namespace may name. A consumer of an object is always in the object's own namespace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowedNamespaceShape {
    /// An absolute folder with the credentials of the namespace, and nothing else: `admin = "file:./admin.key"` of an object
    /// is a file in it, and so is `issuer = "file:./own.toml"`. Default: none, so that an object names no file.
    pub(crate) folder: Option<At<String>>,
    /// The stores that an object may name, besides keyroll's own and `k8s:` of the same namespace, by how they begin:
    /// `["aws-sm:shop/"]`. Each begins with `aws-sm:`, `vault:` or `k8s:`. Default: no other.
    #[serde(default)]
    pub(crate) stores: Vec<At<String>>,
}

/// The namespaces whose objects the server follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The host whose namespace has keyroll's Lease.
    pub home: Name,
    /// What their objects may name, by host. No two are namespaces of one name.
    pub namespaces: BTreeMap<Name, FollowedNamespace>,
}

/// What the objects of a namespace may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowedNamespace {
    /// The folder of its credentials, absolute; none: an object names no file.
    pub folder: Option<PathBuf>,
    /// How the stores begin that its objects may name besides the usual ones.
    pub stores: Vec<String>,
}

impl Followed {
    /// `admin_token`: the file of the server's tokens, which no object may name.
    pub(crate) fn read(
        shape: &FollowedShape,
        hosts: &BTreeMap<Name, Host>,
        admin_token: &Path,
    ) -> Result<Self, Mistake> {
        let (home, _) = read_host("server.kubernetes.home", &shape.home, hosts)?;
        let mut namespaces: BTreeMap<Name, FollowedNamespace> = BTreeMap::new();
        let mut hosts_of: BTreeMap<&str, &Name> = BTreeMap::new();
        for (word, table) in &shape.namespaces {
            let (host, namespace) = read_host("server.kubernetes.namespaces", word, hosts)?;
            if let Some(other) = hosts_of.insert(namespace, host) {
                let why = format!("`{other}` and `{host}` are both a namespace `{namespace}`");
                return Err(Mistake::new(Kind::Duplicate, why).at(&word.span).help(
                    "keep one of them: the secret of an object is called NAMESPACE.NAME, wherever the namespace is",
                ));
            }
            let read = FollowedNamespace::read(&table.value, admin_token)?;
            if let Some(folder) = &table.value.folder {
                refuse_shared_folder(host, &read, &folder.span, &namespaces)?;
            }
            namespaces.insert(host.clone(), read);
        }
        Ok(Self { home: home.clone(), namespaces })
    }
}

impl FollowedNamespace {
    fn read(shape: &FollowedNamespaceShape, admin_token: &Path) -> Result<Self, Mistake> {
        let folder = shape.folder.as_ref().map(|text| read_folder(text, admin_token)).transpose()?;
        let stores = shape.stores.iter().map(read_store).collect::<Result<_, _>>()?;
        Ok(Self { folder, stores })
    }
}

/// A host that is a namespace of a cluster, and the namespace.
fn read_host<'h>(
    key: &str,
    word: &At<String>,
    hosts: &'h BTreeMap<Name, Host>,
) -> Result<(&'h Name, &'h str), Mistake> {
    let refuse =
        |kind: Kind, why: String, help: String| Err(Mistake::new(kind, why).at(&word.span).help(help));
    let Some(host) = hosts.get(word.value.as_str()) else {
        let clusters = hosts.values().filter(|host| host.connect.cluster().is_some());
        let known: Vec<&str> = clusters.map(|host| host.name.as_str()).collect();
        let help = match nearest(&word.value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => {
                "define it: [hosts.NAME] with `connect = \"kube://in-cluster/NAMESPACE\"`".to_owned()
            }
            None => format!("define it as `[hosts.<name>]`; clusters: {}", known.join(", ")),
        };
        return refuse(Kind::BadHost, format!("`{key}` names a host that is not defined"), help);
    };
    let name = &host.name;
    let Some(address) = host.connect.cluster() else {
        let why = format!("`{key}` names `{name}`, which is a machine and no cluster");
        let help = "name a host with `connect = \"kube://in-cluster/NAMESPACE\"`".to_owned();
        return refuse(Kind::BadCombination, why, help);
    };
    match &address.namespace {
        Some(namespace) => Ok((name, namespace.as_str())),
        None => {
            let why = format!("`{key}` names `{name}`, whose `connect` has no namespace");
            let key = Key::new(name.as_str());
            let help = format!("write `connect = \"kube://in-cluster/NAMESPACE\"` under [hosts.{key}]");
            refuse(Kind::BadCombination, why, help)
        }
    }
}

/// The folder of a namespace's credentials. Its path must not depend on where the file is, and an object must not be able to
/// send the server's own tokens to an issuer.
fn read_folder(text: &At<String>, admin_token: &Path) -> Result<PathBuf, Mistake> {
    let refuse = |why: &str, help: &str| Err(Mistake::new(Kind::BadPath, why).at(&text.span).help(help));
    let help = "write `folder = \"/etc/keyroll/namespaces/NAME\"`, with the credentials of this namespace and nothing else";
    if !text.value.starts_with('/') {
        return refuse("`folder` is not an absolute path", help);
    }
    let folder = resolve(Path::new("/"), "folder", text)?;
    match admin_token.starts_with(&folder) {
        true => refuse(
            "`folder` contains the file of `server.emergency.admin_token`, which an object could then name",
            help,
        ),
        false => Ok(folder),
    }
}

/// Refuses a folder that contains another namespace's folder, or is in it.
fn refuse_shared_folder(
    host: &Name,
    read: &FollowedNamespace,
    at: &Range<usize>,
    others: &BTreeMap<Name, FollowedNamespace>,
) -> Result<(), Mistake> {
    let Some(own) = &read.folder else { return Ok(()) };
    let shares = |folder: &PathBuf| folder.starts_with(own) || own.starts_with(folder);
    let other = others.iter().find(|(_, other)| other.folder.as_ref().is_some_and(shares));
    let Some((other, _)) = other else { return Ok(()) };
    let why = format!("the folders of `{other}` and `{host}` are the same, or one is in the other");
    Err(Mistake::new(Kind::Duplicate, why)
        .at(at)
        .help("give each namespace a folder of its own: an object names any file in the folder"))
}

/// How a store begins. The error does not repeat the text, as everywhere in this file.
fn read_store(text: &At<String>) -> Result<String, Mistake> {
    let known = STORES.iter().any(|scheme| text.value.starts_with(scheme));
    if known && !text.value.chars().any(char::is_control) {
        return Ok(text.value.clone());
    }
    let why = "an entry of `stores` must begin with `aws-sm:`, `vault:` or `k8s:`";
    Err(Mistake::new(Kind::WrongForm, why).at(&text.span).help(
        "write how the stores begin that the objects may name, `stores = [\"aws-sm:shop/\"]`; files and programs of keyroll's \
         machine are for its own configuration alone",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const TOP: &str = r#"version = 1
[hosts.keyroll]
connect = "kube://in-cluster/keyroll"
[hosts.shop]
connect = "kube://in-cluster/shop"
[hosts.shop-two]
connect = "kube://other/shop"
[hosts.ops]
connect = "kube://prod/ops"
[hosts.pod]
connect = "kube://in-cluster"
[hosts.web]
connect = "ssh://web"
[server]
listen = "127.0.0.1:9090"
[server.emergency]
admin_token = "file:/etc/keyroll/tokens/admin"
"#;

    fn read(tables: &str) -> Result<Followed, String> {
        let config = Config::parse(&format!("{TOP}{tables}"), "/x/keyroll.toml");
        let config = config.map_err(|error| format!("{error} · {}", error.help().unwrap_or_default()))?;
        Ok(config.server.unwrap().kubernetes.unwrap())
    }

    fn with(namespaces: &str) -> Result<Followed, String> {
        read(&format!("[server.kubernetes]\nhome = \"keyroll\"\n{namespaces}"))
    }

    #[track_caller]
    fn refused(read: Result<Followed, String>, why: &str, help: &str) {
        let said = read.unwrap_err();
        assert!(said.contains(why) && said.contains(help), "{said}");
    }

    #[test]
    fn a_server_follows_the_namespaces_of_its_hosts() {
        let followed = with(
            "[server.kubernetes.namespaces.shop]\nfolder = \"/etc/keyroll/namespaces/./shop/\"\nstores = [\"aws-sm:shop/\", \"k8s:\"]\n\
             [server.kubernetes.namespaces.ops]\n",
        )
        .unwrap();
        assert_eq!(followed.home.as_str(), "keyroll");
        assert_eq!(followed.namespaces.keys().map(Name::as_str).collect::<Vec<_>>(), ["ops", "shop"]);
        assert_eq!(followed.namespaces["ops"], FollowedNamespace::default());
        let shop = &followed.namespaces["shop"];
        assert_eq!(shop.folder.as_deref(), Some(Path::new("/etc/keyroll/namespaces/shop")));
        assert_eq!(shop.stores, ["aws-sm:shop/", "k8s:"]);
        assert!(with("").unwrap().namespaces.is_empty());
        let none = Config::parse(TOP, "/x/keyroll.toml").unwrap();
        assert_eq!(none.server.unwrap().kubernetes, None);
    }

    #[test]
    fn home_and_namespaces_are_hosts_with_a_namespace() {
        for (name, why, help) in [
            ("shopp", "names a host that is not defined", "did you mean `shop`?"),
            ("elsewhere", "names a host that is not defined", "clusters: keyroll, ops, pod, shop, shop-two"),
            ("web", "names `web`, which is a machine", "kube://in-cluster/NAMESPACE"),
            ("pod", "names `pod`, whose `connect` has no namespace", "under [hosts.pod]"),
        ] {
            let home = format!("[server.kubernetes]\nhome = \"{name}\"\n");
            refused(read(&home), &format!("`server.kubernetes.home` {why}"), help);
            let table = format!("[server.kubernetes.namespaces.{name}]\n");
            refused(with(&table), &format!("`server.kubernetes.namespaces` {why}"), help);
        }
        refused(read("[server.kubernetes]\n"), "the key `home` is missing", "");
    }

    #[test]
    fn two_namespaces_of_one_name_are_refused() {
        let tables = "[server.kubernetes.namespaces.shop]\n[server.kubernetes.namespaces.shop-two]\n";
        refused(with(tables), "`shop` and `shop-two` are both a namespace `shop`", "NAMESPACE.NAME");
    }

    #[test]
    fn a_folder_is_absolute_and_is_one_namespaces_own() {
        let folder =
            |text: &str| with(&format!("[server.kubernetes.namespaces.shop]\nfolder = \"{text}\"\n"));
        for relative in ["", "shop", "./shop", "../shop"] {
            refused(folder(relative), "`folder` is not an absolute path", "/etc/keyroll/namespaces/NAME");
        }
        refused(folder("/etc/a/../keyroll"), "has `..` after a name", "");
        for open in ["/", "/etc/keyroll", "/etc/keyroll/tokens"] {
            refused(folder(open), "contains the file of `server.emergency.admin_token`", "nothing else");
        }
        assert!(folder("/etc/keyroll/tok").is_ok());
        for (shop, ops) in [("/a", "/a"), ("/a", "/a/b"), ("/a/b", "/a")] {
            let tables = format!(
                "[server.kubernetes.namespaces.shop]\nfolder = \"{shop}\"\n[server.kubernetes.namespaces.ops]\nfolder = \"{ops}\"\n"
            );
            refused(with(&tables), "the folders of `ops` and `shop`", "a folder of its own");
        }
    }

    #[test]
    fn an_object_never_gets_files_and_programs_as_stores() {
        for store in ["", "*", "keyroll", "file:/srv/", "exec:/usr/bin/store", "aws", "aws-sm:a\\n"] {
            let table = format!("[server.kubernetes.namespaces.shop]\nstores = [\"{store}\"]\n");
            refused(with(&table), "an entry of `stores` must begin with", "stores = [\"aws-sm:shop/\"]");
        }
    }
}
