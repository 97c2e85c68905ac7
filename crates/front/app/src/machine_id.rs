//! Identifies the machine, so that a copied journal is not driven elsewhere.

use keyroll_codes::Code;
use keyroll_journal::Machine;
use keyroll_observe::{MACHINE_ID_FILES, MachineIds, machine_ids};
use keyroll_secret::{FingerprintKey, SecretBytes};

use crate::env;
use crate::problem::Problem;

/// The identity of this machine: keyed digests, from which the ids cannot be read.
pub fn here(key: &FingerprintKey) -> Result<Machine, Problem> {
    let digest = |kind: &str, id: &str| {
        let text = format!("keyroll machine v1\n{kind}\n{id}");
        *key.fingerprint(&SecretBytes::new(text.into_bytes())).as_bytes()
    };
    if let Some(name) = env::MACHINE.get() {
        return Ok(Machine { id: digest("name", &name.to_string_lossy()), hardware: None });
    }
    let MachineIds { id, hardware } = machine_ids();
    let id = id.ok_or_else(|| {
        Problem::new(Code::OtherMachine, "identify this machine")
            .because(format!("{} does not hold a machine's id", MACHINE_ID_FILES.join(" or ")))
            .help(
                "systemd-machine-id-setup makes one; in a container set a unique name: KEYROLL_MACHINE=NAME",
            )
    })?;
    Ok(Machine { id: digest("id", &id), hardware: hardware.map(|it| digest("hardware", &it)) })
}
