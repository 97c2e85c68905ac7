use std::ffi::OsString;
use std::path::PathBuf;

/// One variable of the environment that keyroll reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) meaning: &'static str,
}

macro_rules! registry {
    ($($constant:ident = $name:literal: $meaning:literal;)*) => {
        $(pub(crate) const $constant: Variable = Variable { name: $name, meaning: $meaning };)*

        /// Every variable that keyroll reads; nothing else of the environment has an effect.
        pub(crate) const ALL: &[Variable] = &[$($constant),*];
    };
}

registry! {
    CONFIG = "KEYROLL_CONFIG": "the configuration file, unless --config is given";
    STATE = "KEYROLL_STATE": "the state folder, unless --state is given";
    KEYS = "KEYROLL_KEYS": "the folder of the sealing key and the epoch witness, unless --keys is given";
    SEALING_KEY = "KEYROLL_SEALING_KEY": "what the sealing key is wrapped with, unless --sealing-key is given: a reference, never a value";
    CREDENTIALS = "CREDENTIALS_DIRECTORY": "where `credential:NAME` is read, as systemd sets it for a unit with credentials";
    MACHINE = "KEYROLL_MACHINE": "what this machine is called, in place of its machine-id: for containers, which often have none or all the same";
    XDG_STATE_HOME = "XDG_STATE_HOME": "state is in its folder `keyroll`, if it is absolute (not for root)";
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME": "keys are in its folder `keyroll`, if it is absolute (not for root)";
    HOME = "HOME": "where the XDG folders are, if they are not set";
    DOCKER_HOST = "DOCKER_HOST": "the socket of the container engine, `unix:///run/user/1000/docker.sock`; an engine of another machine is refused";
    GIT_INDEX_FILE = "GIT_INDEX_FILE": "what `leaks --staged` looks at, as git sets it for its hooks";
    NO_COLOR = "NO_COLOR": "if it is not empty: no colours";
    TERM = "TERM": "`dumb`: no colours and no lines that are written over";
}

impl Variable {
    /// Its text, if it is set and not empty.
    pub(crate) fn get(self) -> Option<OsString> {
        std::env::var_os(self.name).filter(|text| !text.is_empty())
    }

    /// As a path, if it is absolute; others are ignored, as the XDG base directory specification asks.
    pub(crate) fn absolute(self) -> Option<PathBuf> {
        self.get().map(PathBuf::from).filter(|path| path.is_absolute())
    }
}
