use std::time::{SystemTime, UNIX_EPOCH};

use keyroll_link::{HostHello, VERSION, machine_digest};
use keyroll_observe::{MachineIds, boot, machine_ids};
use rustix::process::geteuid;

/// What the host says of itself. The ids of the machine cannot be read from their digests under this key.
pub(crate) fn hello(key: &[u8; 32]) -> HostHello {
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

/// The user that this process runs as, as /etc/passwd has it. The system's own look-up would load parts of it that a
/// static program has not.
pub(crate) fn user() -> String {
    let own = geteuid().as_raw();
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&text, own).unwrap_or_else(|| format!("user {own}"))
}

fn named(passwd: &str, number: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse::<u32>() == Ok(number)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_differs_by_its_key_and_does_not_show_the_id() {
        let (one, again, other) = (hello(&[1; 32]), hello(&[1; 32]), hello(&[2; 32]));
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
}
