use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use keyroll_link::{HostHello, VERSION, machine_digest};
use keyroll_observe::{MachineIds, boot, machine_ids};
use rustix::process::geteuid;

/// What the host says of itself. The ids of the machine cannot be read from their digests under this key. `seal` is the
/// public key to which values are sealed for this process of the host.
pub(crate) fn hello(key: &[u8; 32], seal: &str) -> HostHello {
    let digest = |kind: &str, id: String| machine_digest(key, kind, &id);
    let MachineIds { id, hardware } = machine_ids();
    HostHello {
        version: VERSION,
        keyroll: env!("CARGO_PKG_VERSION").to_owned(),
        machine: id.map(|id| digest("id", id)),
        hardware: hardware.map(|id| digest("hardware", id)),
        boot: boot().map(|boot| format!("{boot:016x}")).unwrap_or_default(),
        now_unix_ms: now_unix_ms(),
        root: geteuid().is_root(),
        user: user(),
        seal: seal.to_owned(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver compares it with its own clock; nothing is decided by it"
)]
fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The user that this process runs as, as /etc/passwd has it.
pub(crate) fn user() -> String {
    let own = geteuid().as_raw();
    named(&users(), own).unwrap_or_else(|| format!("user {own}"))
}

/// The home of the user that this process runs as, as /etc/passwd has it. The environment may name that of another user.
pub(crate) fn home() -> Option<PathBuf> {
    housed(&users(), geteuid().as_raw())
}

/// The local users. The system's own look-up would load parts of it that a static program has not.
fn users() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

fn named(passwd: &str, number: u32) -> Option<String> {
    entry(passwd, number).map(|(name, _)| name.to_owned())
}

fn housed(passwd: &str, number: u32) -> Option<PathBuf> {
    entry(passwd, number).map(|(_, home)| PathBuf::from(home)).filter(|home| home.is_absolute())
}

/// The name and the home of a user: `name:password:uid:gid:comment:home:shell`. Source: passwd(5).
fn entry(passwd: &str, number: u32) -> Option<(&str, &str)> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        let is_it = parts.nth(1)?.parse::<u32>() == Ok(number);
        is_it.then(|| (name, parts.nth(2).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_differs_by_its_key_and_does_not_show_the_id() {
        let (one, again, other) = (hello(&[1; 32], "0f"), hello(&[1; 32], ""), hello(&[2; 32], ""));
        assert_eq!((one.seal.as_str(), again.seal.as_str()), ("0f", ""));
        assert_eq!(one.machine, again.machine);
        assert_eq!(one.boot.len(), 16);
        if let Some(machine) = one.machine {
            assert!(Some(&machine) != other.machine.as_ref() && Some(machine) != machine_ids().id);
        }
    }

    #[test]
    fn a_user_is_named_by_its_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\ndeploy:x:1000:100::/home/deploy:/bin/sh\n";
        assert_eq!(named(passwd, 0).as_deref(), Some("root"));
        assert_eq!(named(passwd, 1000).as_deref(), Some("deploy"));
        assert_eq!(named(passwd, 100), None);
    }

    #[test]
    fn a_home_is_an_absolute_path() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:::\nshort:x:2\nodd:x:3:3::srv:/bin/sh\n";
        assert_eq!(housed(passwd, 0), Some(PathBuf::from("/root")));
        for number in 1..5 {
            assert_eq!(housed(passwd, number), None, "{number}");
        }
    }
}
