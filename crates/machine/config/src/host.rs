//! The machines and clusters of `[hosts]`, and how keyroll reaches them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::at::At;
use crate::broken::Broken;
use crate::host_shape::HostShape;
use crate::kube_address::KubeAddress;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::path::resolve;
use crate::{Kind, LOCAL, Name};

/// What the address of a host by ssh begins with.
const SSH: &str = "ssh://";
/// The longest name of a host, bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;
/// The longest name of a user, bytes.
const USER_BYTES_MAX: usize = 64;
/// The longest path of a program, bytes.
const PROGRAM_BYTES_MAX: usize = 1_024;
/// The longest folder of a host, bytes.
const FOLDER_BYTES_MAX: usize = 1_024;

const ADDRESS_HELP: &str = "write `ssh://HOST`, `ssh://USER@HOST` or `ssh://USER@HOST:PORT`; HOST may be a name of your \
                            ssh configuration, which has everything else";

/// A machine, or a namespace of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: Name,
    /// How keyroll reaches it.
    pub connect: Connect,
    /// The group that it belongs to.
    pub group: Option<Name>,
    /// The folder there that the paths of its consumers are relative to, absolute; only by ssh.
    pub folder: Option<PathBuf>,
}

/// How keyroll reaches a machine or a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// It is the machine that keyroll runs on.
    Local,
    /// By ssh.
    Ssh(SshAddress),
    /// It is no machine but a namespace of a Kubernetes cluster, by the cluster's API.
    Kube(KubeAddress),
}

impl Connect {
    /// Whether it is a machine that is reached by ssh.
    pub fn is_ssh(&self) -> bool {
        matches!(self, Self::Ssh(_))
    }

    /// The cluster, if it is one.
    pub fn cluster(&self) -> Option<&KubeAddress> {
        match self {
            Self::Kube(address) => Some(address),
            Self::Local | Self::Ssh(_) => None,
        }
    }
}

/// A machine that is reached by ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAddress {
    /// The user who logs in; none: as the ssh configuration says.
    pub user: Option<String>,
    /// A name, an address, or a name of the ssh configuration; an IPv6 address without brackets.
    pub host: String,
    /// The port; none: as the ssh configuration says.
    pub port: Option<u16>,
    /// Whether keyroll-host is started with `sudo`.
    pub sudo: bool,
    /// The path of an installed keyroll-host; none: keyroll sends its own.
    pub program: Option<String>,
}

/// As it is written in keyroll.toml.
impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str(LOCAL),
            Self::Ssh(address) => address.fmt(f),
            Self::Kube(address) => address.fmt(f),
        }
    }
}

/// As it is written in keyroll.toml.
impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SSH)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl SshAddress {
    /// Reads `ssh://[USER@]HOST[:PORT]`.
    ///
    /// # Errors
    /// Why it is none, without the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(SSH).ok_or("it does not begin with `ssh://`")?;
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        if let Some(user) = user {
            if user.contains(':') {
                return Err("a password has no place in it: ssh logs in with a key or an agent");
            }
            if !is_word(user, USER_BYTES_MAX, b"._-") {
                return Err(
                    "the user may have letters, digits, `.`, `_` and `-`, and begins with none of these signs",
                );
            }
        }
        let (host, port) = host_and_port(rest)?;
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, sudo: false, program: None })
    }
}

/// The host without brackets, and its port.
fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, behind) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) =
                rest.split_once(']').ok_or("the bracket of its IPv6 address does not end")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("what stands in brackets is no IPv6 address");
            }
            (host, behind)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match behind.strip_prefix(':') {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0 && !behind.contains('+'))),
        None if behind.is_empty() => None,
        None => return Err("behind the bracket of its IPv6 address only `:PORT` may stand"),
    };
    if port == Some(None) {
        return Err("its port is no number from 1 to 65535; an IPv6 address stands in brackets");
    }
    if !host.contains(':') && !is_word(host, HOST_BYTES_MAX, b"._-") {
        return Err("the host may have letters, digits, `.`, `_` and `-`, and begins with a letter or digit");
    }
    Ok((host, port.flatten()))
}

/// Whether the text has only letters, digits and these signs, and begins with none of them: what begins with `-` would be an
/// option of ssh.
fn is_word(text: &str, bytes_max: usize, signs: &[u8]) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || signs.contains(&byte);
    starts && text.len() <= bytes_max && text.bytes().all(allowed)
}

/// The declared hosts without a mistake by name, and whether these are all; `folder` = that of keyroll.toml.
pub(crate) fn read_hosts(
    shapes: &BTreeMap<At<String>, HostShape>,
    folder: &Path,
    broken: &Broken,
    all: &mut Mistakes,
) -> (BTreeMap<Name, Host>, bool) {
    let hosts = shapes.iter().filter(|(key, _)| !broken.has(&key.value));
    let hosts = hosts.filter_map(|(key, shape)| read_host(key, shape, folder, all));
    let hosts: BTreeMap<Name, Host> = hosts.map(|host| (host.name.clone(), host)).collect();
    let names: BTreeSet<&str> = shapes.keys().map(|key| key.value.as_str()).collect();
    let groups = shapes.values().filter_map(|shape| shape.group.as_ref());
    for group in groups.filter(|group| group.value == LOCAL || names.contains(group.value.as_str())) {
        all.push(
            Mistake::new(Kind::Duplicate, "`group` has the name of a host")
                .at(&group.span)
                .help("`--host NAME` must name one or the other: give the group another name"),
        );
    }
    let is_whole = hosts.len() == shapes.len();
    (hosts, is_whole)
}

fn read_host(key: &At<String>, shape: &HostShape, folder: &Path, all: &mut Mistakes) -> Read<Host> {
    let name = all.note(Name::read("a host", key));
    let group = shape.group.as_ref().map(|group| Name::read("a group", group));
    let group = all.note(group.transpose());
    let own_folder = all.note(shape.folder.as_ref().map(read_folder).transpose());
    let name = name?;
    let connect = all.note(read_connect(&name, shape, folder));
    Some(Host { connect: connect?, group: group?, folder: own_folder?, name })
}

fn read_connect(name: &Name, shape: &HostShape, folder: &Path) -> Result<Connect, Mistake> {
    let at = &shape.connect.span;
    let text = shape.connect.value.as_str();
    let is_kube = text.starts_with("kube:");
    if let Some(kubeconfig) = shape.kubeconfig.as_ref().filter(|_| !is_kube) {
        return Err(Mistake::new(Kind::BadCombination, "`kubeconfig` goes with a cluster")
            .at(&kubeconfig.span)
            .help("leave it out; a cluster has `connect = \"kube://CONTEXT/NAMESPACE\"`"));
    }
    if text == LOCAL {
        let only_ssh = |key: &str| {
            Mistake::new(Kind::BadCombination, format!("`{key}` goes with a host by ssh"))
                .help("leave it out: on the machine itself keyroll runs as the user who starts it")
        };
        return match (&shape.sudo, &shape.program, &shape.folder) {
            (Some(sudo), _, _) => Err(only_ssh("sudo").at(&sudo.span)),
            (None, Some(program), _) => Err(only_ssh("program").at(&program.span)),
            (None, None, Some(folder)) => Err(only_ssh("folder").at(&folder.span).help(
                "leave it out: on the machine itself paths are relative to the folder of keyroll.toml",
            )),
            (None, None, None) => Ok(Connect::Local),
        };
    }
    if !is_kube && !text.starts_with("ssh:") {
        return Err(Mistake::new(Kind::BadHost, "this way to reach a host is not supported by this version")
            .at(at)
            .help(
                "write `connect = \"ssh://USER@HOST\"`, `connect = \"kube://CONTEXT/NAMESPACE\"` for a cluster, or `connect = \"local\"` \
                 for the machine that keyroll runs on",
            ));
    }
    if name.as_str() == LOCAL {
        return Err(Mistake::new(Kind::BadHost, "`local` is the machine that keyroll runs on")
            .at(at)
            .help("give the host by ssh, or the cluster, another name"));
    }
    if is_kube {
        return KubeAddress::read(shape, folder).map(Connect::Kube);
    }
    let address = SshAddress::parse(text).map_err(|why| {
        Mistake::new(Kind::WrongForm, format!("`connect`: {why}")).at(at).help(ADDRESS_HELP)
    })?;
    let sudo = shape.sudo.as_ref().is_some_and(|sudo| sudo.value);
    let program = shape.program.as_ref().map(read_program).transpose()?;
    Ok(Connect::Ssh(SshAddress { sudo, program, ..address }))
}

/// An absolute path that no shell takes apart.
fn read_program(text: &At<String>) -> Result<String, Mistake> {
    let path = text.value.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/+-".contains(&byte);
    let fits = path.starts_with('/') && !path.ends_with('/') && path.len() <= PROGRAM_BYTES_MAX;
    if fits && path.bytes().all(plain) {
        return Ok(path.to_owned());
    }
    Err(Mistake::new(Kind::BadPath, "`program` is an absolute path of letters, digits and `._/+-`")
        .at(&text.span)
        .help("write the path of keyroll-host on that machine: `program = \"/usr/local/bin/keyroll-host\"`"))
}

/// An absolute folder with one clear meaning.
fn read_folder(text: &At<String>) -> Result<PathBuf, Mistake> {
    let fault = |why: String| {
        Mistake::new(Kind::BadPath, why)
            .at(&text.span)
            .help("write the folder of the services on that machine: `folder = \"/srv/app\"`")
    };
    if !Path::new(&text.value).is_absolute() {
        return Err(fault("`folder` must be an absolute path".to_owned()));
    }
    if text.value.len() > FOLDER_BYTES_MAX {
        return Err(fault(format!("`folder` must have at most {FOLDER_BYTES_MAX} bytes")));
    }
    resolve(Path::new("/"), "folder", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for text in
            ["ssh://web-1", "ssh://deploy@203.0.113.7:2222", "ssh://a.b_c@[2001:db8::1]:22", "ssh://[::1]"]
        {
            assert_eq!(SshAddress::parse(text).unwrap().to_string(), text);
        }
        let address = SshAddress::parse("ssh://d@[2001:db8::1]:22").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("2001:db8::1", Some(22)));
    }

    #[test]
    fn what_ssh_or_a_shell_could_take_for_something_else_is_no_address() {
        for text in [
            "ssh://",
            "ssh:web-1",
            "ssh://-oProxyCommand=x",
            "ssh://-d@web-1",
            "ssh://d:pass@web-1",
            "ssh://d@e@web-1",
            "ssh://web-1:0",
            "ssh://web-1:65536",
            "ssh://web-1:+22",
            "ssh://web-1:",
            "ssh://web 1",
            "ssh://web-1/srv",
            "ssh://web-1;x",
            "ssh://2001:db8::1",
            "ssh://[2001:db8::1",
            "ssh://[web-1]",
            "ssh://[::1]x",
            "ssh://@web-1",
        ] {
            assert!(SshAddress::parse(text).is_err(), "{text}");
        }
    }
}
