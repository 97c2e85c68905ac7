use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use serde::{Deserialize, Serialize};

/// The demo's temporary folder, in which every part finds the others.
#[derive(Clone)]
pub(crate) struct Folder(PathBuf);

/// The loopback ports of one run.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// The first of [`PORTS`] free ones.
    base: u16,
}

/// How many ports in a row one run uses.
const PORTS: u16 = 20;
/// The range that is searched for free ports. It is below the range that Linux uses for outgoing connections, so that
/// no connection gets a worker's port while the worker restarts (ip-sysctl, `ip_local_port_range`, 32768).
const PORT_FIRST: u16 = 20_000;
const PORT_LAST: u16 = 32_000;

impl Ports {
    /// Finds free ports from a random start, so that two demos rarely try the same ones.
    pub(crate) fn find() -> Result<Self, Failure> {
        let mut seed = [0; 4];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| {
            Failure::new(Class::Retryable, Code::DemoFailed, "draw random bytes for the demo's ports")
        })?;
        Self::find_from(u32::from_le_bytes(seed))
    }

    fn find_from(seed: u32) -> Result<Self, Failure> {
        let blocks = u32::from((PORT_LAST - PORT_FIRST) / PORTS);
        (0..blocks)
            .filter_map(|step| u16::try_from((seed.wrapping_add(step)) % blocks).ok())
            .map(|block| Self { base: PORT_FIRST + block * PORTS })
            .find(|ports| ports.are_free())
            .ok_or_else(|| {
                Failure::new(
                    Class::Retryable,
                    Code::DemoFailed,
                    "find twenty free ports in a row on 127.0.0.1",
                )
                .help("end other demos, then run keyroll demo again")
            })
    }

    fn are_free(self) -> bool {
        (self.base..self.base + PORTS)
            .all(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    pub(crate) fn issuer(self) -> SocketAddr {
        self.at(0)
    }

    pub(crate) fn at(self, offset: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.base + offset).into()
    }
}

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.join(relative)
    }

    /// The program that the workers run: a copy of this executable, so that they are not mistaken for keyroll itself.
    pub(crate) fn worker_program(&self) -> PathBuf {
        self.join("bin/acme-worker")
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        match name {
            "forgotten" => self.join("forgotten/mailer.pid"),
            _ => self.join(format!("run/{name}.pid")),
        }
    }

    pub(crate) fn admin_key(&self) -> PathBuf {
        self.join("admin.key")
    }

    pub(crate) fn ports(&self) -> Result<Ports, Failure> {
        let path = self.join("ports.json");
        let attempted = || format!("read {}", path.display());
        let bytes = fs::read(&path)
            .map_err(|e| Failure::new(Class::Permanent, Code::DemoFailed, attempted()).because(e))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(Class::Permanent, Code::DemoFailed, attempted()).because(error))
    }

    pub(crate) fn set_ports(&self, ports: Ports) -> Result<(), Failure> {
        let text = serde_json::json!(ports).to_string();
        self.write("ports.json", text.as_bytes(), 0o600)
    }

    /// Replaces one file of the folder atomically: a reader sees the old bytes or the new ones.
    pub(crate) fn write(&self, relative: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<(), Failure> {
        let path = self.join(relative);
        write_whole(&path, bytes, mode).map_err(|error| {
            Failure::new(Class::Permanent, Code::DemoFailed, format!("write {}", path.display()))
                .because(error)
                .help("set TMPDIR to a folder with free space, then run keyroll demo again")
        })
    }
}

/// A temporary file beside the target, then a rename.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_use_are_not_chosen() {
        let ports = Ports::find_from(7).unwrap();
        let _taken = std::net::TcpListener::bind(ports.at(3)).unwrap();
        assert_ne!(Ports::find_from(7).unwrap().issuer(), ports.issuer());
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        write_whole(&path, b"one", 0o600).unwrap();
        write_whole(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
