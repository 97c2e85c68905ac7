use std::path::PathBuf;

/// Where systemd reads unit files and their drop-ins, in its own order. Source: systemd.unit(5), "Unit File Load
/// Path".
const SYSTEM_FOLDERS: [&str; 8] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/etc/systemd/user",
];

/// The same below a home folder.
const HOME_FOLDERS: [&str; 4] = [
    ".config/systemd/user.control",
    ".config/systemd/user",
    ".config/environment.d",
    ".local/share/systemd/user",
];

/// The folders of systemd unit files that exist here, for a search by value: the system's, and those of the given
/// home folders.
pub fn unit_folders(homes: &[PathBuf]) -> Vec<PathBuf> {
    let system = SYSTEM_FOLDERS.iter().map(PathBuf::from);
    let own = homes.iter().flat_map(|home| HOME_FOLDERS.iter().map(move |folder| home.join(folder)));
    system.chain(own).filter(|folder| folder.is_dir()).collect()
}
