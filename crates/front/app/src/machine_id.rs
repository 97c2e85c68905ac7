//! Identifies the machine, so that a copied journal is not driven elsewhere.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_journal::Machine;
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::env;
use crate::problem::Problem;

/// The files of the machine's id, the newer first: machine-id(5), then D-Bus.
const IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// The firmware's id of the machine; only root can read it, and not every machine has one. A clone of a virtual
/// machine often keeps its machine-id but gets a new firmware id.
const HARDWARE: &str = "/sys/class/dmi/id/product_uuid";

/// An id is one short line.
const ID_BYTES_MAX: u64 = 256;

/// A machine-id has this many hexadecimal digits.
const ID_DIGITS: usize = 32;

/// The identity of this machine: keyed digests, from which the ids cannot be read.
pub fn here(key: &FingerprintKey) -> Result<Machine, Problem> {
    let digest = |kind: &str, id: &str| {
        let text = format!("keyroll machine v1\n{kind}\n{id}");
        *key.fingerprint(&SecretBytes::new(text.into_bytes())).as_bytes()
    };
    if let Some(name) = env::MACHINE.get() {
        return Ok(Machine { id: digest("name", &name.to_string_lossy()), hardware: None });
    }
    let id = IDS.iter().filter_map(|path| line(Path::new(path))).find(|id| is_id(id)).ok_or_else(|| {
        Problem::new(Code::OtherMachine, "identify this machine")
            .because(format!("{} does not hold a machine's id", IDS.join(" or ")))
            .help(
                "systemd-machine-id-setup makes one; in a container set a unique name: KEYROLL_MACHINE=NAME",
            )
    })?;
    Ok(Machine {
        id: digest("id", &id),
        hardware: line(Path::new(HARDWARE)).map(|it| digest("hardware", &it)),
    })
}

/// The file contains `uninitialized` during the first boot of a system.
fn is_id(text: &str) -> bool {
    let digits = text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits && text.bytes().any(|byte| byte != b'0')
}

fn line(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(ID_BYTES_MAX).read_to_string(&mut text).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_what_stands_in_its_place() {
        assert!(is_id("3d1219c7c4c5404aaa1f6d2a48adfda4"));
        for other in [
            "",
            "uninitialized",
            "00000000000000000000000000000000",
            "3d1219c7",
            "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4",
        ] {
            assert!(!is_id(other), "{other}");
        }
    }
}
