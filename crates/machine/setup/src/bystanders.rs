//! The declared bystanders of a secret, for the host and for the protocol.

use keyroll_config::Bystander;
use keyroll_host::{BystanderSetup, Digest};
use keyroll_rotation::BystanderId;
use keyroll_secret::SecretBytes;

/// The digest of a declaration: of what a process has to be. The host that it is on is not part of it, because each host gets its
/// own declarations alone.
pub fn bystander_id(declared: &Bystander) -> BystanderId {
    let Bystander { name, unit, user, executable, host: _, is_here: _, reason: _ } = declared;
    let mut text = Vec::new();
    let file = executable.as_ref().map(|file| file.as_os_str().as_encoded_bytes());
    let parts = [
        Some(name.as_str().as_bytes()),
        unit.as_ref().map(String::as_bytes),
        user.as_ref().map(String::as_bytes),
        file,
    ];
    for part in parts {
        // No part has a NUL; one that is not there differs from one that is empty.
        text.push(if part.is_some() { b'+' } else { b'-' });
        text.extend(part.unwrap_or_default());
        text.push(0);
    }
    let digest = Digest::of(&SecretBytes::new(text));
    BystanderId(u64::from_be_bytes(digest.as_bytes().first_chunk::<8>().copied().unwrap_or_default()))
}

/// A bystander as its machine looks for it.
pub(crate) fn bystander_setup(declared: &Bystander) -> BystanderSetup {
    let Bystander { unit, user, executable, .. } = declared;
    BystanderSetup {
        id: bystander_id(declared),
        unit: unit.clone(),
        user: user.clone(),
        executable: executable.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use keyroll_config::Name;

    use super::*;

    #[test]
    fn each_declaration_has_an_id_of_its_own_on_every_host() {
        let declared = |unit: Option<&str>, user: Option<&str>, executable: Option<&str>| Bystander {
            name: Name::new("gateway").unwrap(),
            host: Name::new("web-1").unwrap(),
            is_here: false,
            unit: unit.map(str::to_owned),
            user: user.map(str::to_owned),
            executable: executable.map(PathBuf::from),
            reason: "it forwards".to_owned(),
        };
        let all = [
            declared(Some("a.service"), None, None),
            declared(Some("b.service"), None, None),
            declared(None, Some("a.service"), None),
            declared(Some("a.service"), Some("a"), None),
            declared(Some("a.service"), None, Some("/a")),
            declared(None, None, Some("/a")),
            Bystander { name: Name::new("other").unwrap(), ..declared(None, None, Some("/a")) },
        ];
        let ids: BTreeSet<BystanderId> = all.iter().map(bystander_id).collect();
        assert_eq!(ids.len(), all.len());
        let here = Bystander { host: Name::new("local").unwrap(), is_here: true, ..all[0].clone() };
        assert_eq!(bystander_id(&here), bystander_id(&all[0]));
    }
}
