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
        Connect::Ssh(address) => address.sudo,
        Connect::Local => false,
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
