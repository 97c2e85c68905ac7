//! The registry of environment variables that keyroll reads.

use std::ffi::OsString;
use std::path::PathBuf;

/// One variable of the environment that keyroll reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! registry {
    ($($constant:ident = $name:literal: $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: Variable = Variable { name: $name, meaning: $meaning };)*

        /// Every variable that keyroll reads; nothing else of the environment has an effect.
        pub const ALL: &[Variable] = &[$($constant),*];
    };
}

registry! {
    CONFIG = "KEYROLL_CONFIG": "the configuration file, unless --config is given";
    STATE = "KEYROLL_STATE": "the state folder, unless --state is given";
    KEYS = "KEYROLL_KEYS": "the folder of the sealing key and the journal's witness, unless --keys is given";
    SEALING_KEY = "KEYROLL_SEALING_KEY": "the source that unwraps the sealing key, unless --sealing-key is given: a reference, never a value";
    SERVER = "KEYROLL_SERVER": "the server that does what is asked, unless --server, --config, --state, --keys or --sealing-key is given";
    TOKEN_FILE = "KEYROLL_TOKEN_FILE": "the file with the token for that server, unless --token-file is given";
    CREDENTIALS = "CREDENTIALS_DIRECTORY": "the folder from which `credential:NAME` is read; systemd sets it for a unit with credentials";
    MACHINE = "KEYROLL_MACHINE": "the identity of this machine instead of its machine-id; for containers, which often have no machine-id or share one";
    XDG_STATE_HOME = "XDG_STATE_HOME": "the state folder is `keyroll` in this folder, if the path is absolute (not for root)";
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME": "the keys folder is `keyroll` in this folder, if the path is absolute (not for root)";
    XDG_RUNTIME_DIR = "XDG_RUNTIME_DIR": "the socket of values is `keyroll/values.sock` in this folder, if the path is absolute (not for root)";
    SOCKET = "KEYROLL_SOCKET": "the socket at which `keyroll get` asks for a value, unless --socket is given";
    HOME = "HOME": "the home folder, for the defaults of the XDG variables";
    PATH = "PATH": "the folders in which a command without a slash is found";
    DOCKER_HOST = "DOCKER_HOST": "the socket of the container engine, such as `unix:///run/user/1000/docker.sock`; an engine on another machine is refused";
    AWS_PROFILE = "AWS_PROFILE": "with the other variables of AWS's tools (`AWS_REGION`, `AWS_CONFIG_FILE`, …): where a secret with `store = \"aws-sm:…\"` takes region, login and endpoint from, and one with `issuer = \"aws-access-key\"` without a `profile` its login";
    BAO_ADDR = "BAO_ADDR": "with `BAO_NAMESPACE`, `BAO_CACERT`, `BAO_TOKEN` and `BAO_AGENT_ADDR`: where a secret with `store = \"vault:…\"` is, and the login, unless `[vault]` of keyroll.toml says so";
    VAULT_ADDR = "VAULT_ADDR": "the same with `VAULT_…`, where the variable of OpenBao is not set";
    KUBECONFIG = "KUBECONFIG": "the files of kubectl's configuration, for a cluster without a `kubeconfig` in keyroll.toml";
    KUBERNETES_SERVICE_HOST = "KUBERNETES_SERVICE_HOST": "with `KUBERNETES_SERVICE_PORT`: the API server of the cluster in whose pod keyroll runs; Kubernetes sets both. In a pod, a file with a credential that belongs to root may be readable for a group of keyroll, as files of a Secret's volume are";
    POD_NAME = "POD_NAME": "with `serve --kubernetes` in a pod: the name of the pod, as its manifest gives it";
    POD_UID = "POD_UID": "with `serve --kubernetes` in a pod: the uid of the pod, as its manifest gives it";
    POD_NAMESPACE = "POD_NAMESPACE": "with `serve --kubernetes` in a pod: the namespace of the pod, as its manifest gives it";
    GIT_INDEX_FILE = "GIT_INDEX_FILE": "the index that `leaks --staged` scans; git sets it for its hooks";
    COMPLETE = "KEYROLL_COMPLETE": "with `_CLAP_…`: the shell that completes a command line; the scripts of `keyroll completion` set it";
    NO_COLOR = "NO_COLOR": "not empty: no colours";
    TERM = "TERM": "`dumb`: no colours and no redrawn lines";
}

/// A variable that the command lines of OpenBao and Vault read, also an empty one: theirs, see [`BAO_ADDR`], and [`HOME`].
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn of_vault(name: &str) -> Option<OsString> {
    let known = name.starts_with("BAO_") || name.starts_with("VAULT_") || name == HOME.name;
    std::env::var_os(name).filter(|_| known)
}

impl Variable {
    /// Its text, if it is set and not empty.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn get(self) -> Option<OsString> {
        std::env::var_os(self.name).filter(|text| !text.is_empty())
    }

    /// As a path, if it is absolute; others are ignored, as the XDG base directory specification requires.
    pub fn absolute(self) -> Option<PathBuf> {
        self.get().map(PathBuf::from).filter(|path| path.is_absolute())
    }
}
