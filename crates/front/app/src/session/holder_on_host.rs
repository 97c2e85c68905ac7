//! A process or a copy on another machine, as commands name it.

use keyroll_config::{Config, Connect};

/// What holds a key on a host by ssh: `web-2:4711`, or `web-2:/srv/old.env`.
pub(super) struct HolderOnHost {
    /// The host.
    pub(super) host: String,
    /// The process id there, or else the path.
    pub(super) what: Result<u32, String>,
}

impl HolderOnHost {
    /// What a word names on a declared host, if it does: nothing there is looked at.
    pub(super) fn of(holder: &str, config: &Config) -> Option<Self> {
        let (host, what) = holder.split_once(':')?;
        let declared =
            config.hosts.values().any(|one| one.name.as_str() == host && one.connect != Connect::Local);
        let what = match what.parse() {
            Ok(pid) => Ok(pid),
            Err(_) if what.starts_with('/') => Err(what.to_owned()),
            Err(_) => return None,
        };
        declared.then(|| Self { host: host.to_owned(), what })
    }

    /// As the operator reads it.
    pub(super) fn shown(&self) -> String {
        match &self.what {
            Ok(pid) => format!("process {pid} on {}", self.host),
            Err(path) => format!("the copy {path} on {}", self.host),
        }
    }
}
