//! A process or a copy on another machine, as commands name it.

use std::path::Path;

use keyroll_config::Config;
use keyroll_fleet::place_digest_of;
use keyroll_host::place_digest;
use keyroll_rotation::Incarnation;

use crate::records::recorded::Opened;

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
        let declared = config.hosts.get(host).is_some_and(|one| one.connect.is_ssh());
        let what = match what.parse() {
            Ok(pid) => Ok(pid),
            Err(_) if what.starts_with('/') => Err(what.to_owned()),
            Err(_) => return None,
        };
        declared.then(|| Self { host: host.to_owned(), what })
    }

    /// As the operator reads it; `program` is that of the process, if an inspection named it.
    pub(super) fn shown(&self, program: Option<&str>) -> String {
        let program = program.map(|it| format!(" ({it})")).unwrap_or_default();
        match &self.what {
            Ok(pid) => format!("process {pid}{program} on {}", self.host),
            Err(path) => format!("the copy {path} on {}", self.host),
        }
    }

    /// The digest of a path on its host.
    pub(super) fn digest_of(&self, path: &str) -> u64 {
        place_digest_of(&self.host, place_digest(Path::new(path)))
    }

    /// A process of its host with this id, as an open rotation saw it last.
    pub(super) fn seen_by(&self, opened: &Opened, pid: u32) -> Option<Incarnation> {
        let host = opened.saved.host_id(&self.host)?;
        let seen = opened.state.look()?.seen.as_ref();
        let instances = seen.instances.iter().map(|it| it.who);
        let mut all = instances.chain(seen.unsearched.iter().map(|it| it.who));
        all.find(|who| who.host == host && who.pid() == Some(pid))
    }
}
