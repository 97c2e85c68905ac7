use keyroll_config::{Connect, Host};

use super::pins::Pins;
use super::shown::HostShown;
use crate::installation::Installation;
use crate::problem::Problem;

/// The hosts of the configuration, and when each was accepted. Connects to none.
///
/// # Errors
/// The configuration or hosts.json cannot be read.
pub fn list(installation: &Installation) -> Result<Vec<HostShown>, Problem> {
    let pins = Pins::read(installation)?;
    let hosts = installation.config()?.hosts;
    Ok(hosts.values().map(|host| shown(host, &pins)).collect())
}

fn shown(host: &Host, pins: &Pins) -> HostShown {
    let sudo = match &host.connect {
        Connect::Ssh(address) => Some(address.sudo),
        Connect::Local => Some(false),
        Connect::Kube(_) => None,
    };
    let name = host.name.as_str();
    HostShown {
        name: name.to_owned(),
        group: host.group.as_ref().map(|group| group.as_str().to_owned()),
        connect: host.connect.to_string(),
        sudo,
        folder: host.folder.as_ref().map(|folder| folder.display().to_string()),
        accepted: pins.pin(name).map(|pin| pin.accepted.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Locations;

    #[test]
    fn a_cluster_has_no_program_that_could_be_started_with_sudo() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("keyroll.toml");
        let text = "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n\
                    [hosts.web-1]\nconnect = \"ssh://web-1\"\n[hosts.web-2]\nconnect = \"ssh://web-2\"\nsudo = true\n";
        std::fs::write(&config, text).unwrap();
        let state = Some(folder.path().join("state"));
        let installation =
            Installation::new(Locations { config: Some(config), state, ..Locations::default() });
        let all = list(&installation).unwrap();
        let sudo: Vec<(&str, Option<bool>)> = all.iter().map(|host| (&*host.name, host.sudo)).collect();
        assert_eq!(sudo, [("prod", None), ("web-1", Some(false)), ("web-2", Some(true))]);
        assert_eq!(serde_json::to_value(&all[0]).unwrap()["sudo"], serde_json::Value::Null);
    }
}
