use std::collections::{BTreeMap, BTreeSet};

use keyroll_codes::Code;
use keyroll_link::{HostHello, bytes_of, digits_of};
use rustix::rand::GetRandomFlags;
use serde::{Deserialize, Serialize};

use crate::installation::Installation;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::state_file;

/// The version of the file.
const VERSION: u32 = 1;

/// The machines that were accepted, `hosts.json` in the state folder. The ids of the machines are digests under the key
/// there, so that nobody who sees the file alone can look them up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pins {
    version: u32,
    /// 64 hex digits.
    key: String,
    hosts: BTreeMap<String, Pin>,
    /// The hosts of keyroll.toml, if it could be read. A machine that was accepted under a name that is no longer there
    /// may have another name now.
    #[serde(skip)]
    declared: Option<BTreeSet<String>>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pin {
    /// How it was reached.
    pub(super) connect: String,
    /// The digest of its machine-id.
    pub(super) machine: String,
    /// The digest of its firmware's id, where that could be read.
    pub(super) hardware: Option<String>,
    /// Which boot it was.
    pub(super) boot: String,
    /// When it was accepted, RFC 3339.
    pub(super) accepted: String,
    /// Who accepted it: `user root`.
    pub(super) by: String,
}

/// Whether the machine that answers is the one that was accepted under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// No machine was accepted under this name.
    New,
    /// It is the one.
    Accepted {
        /// It was rebooted since.
        rebooted: bool,
    },
    /// Another machine was accepted under this name.
    Other {
        /// When.
        accepted: String,
        /// Who accepted it.
        by: String,
    },
    /// It was accepted under this other name.
    Twin(String),
}

impl Pins {
    /// Reads the file. Where there is none, no machine was accepted, and the key is a new one.
    ///
    /// # Errors
    /// The file cannot be read, or a newer keyroll wrote it.
    pub(super) fn read(installation: &Installation) -> Result<Self, Problem> {
        let pins = match installation.places() {
            Ok(places) => Self::of(&places),
            // Without a home folder there is no state folder.
            Err(_) if installation.has_no_home() => Self::new(),
            Err(problem) => Err(problem),
        }?;
        let config = installation.config().ok();
        let declared =
            config.map(|config| config.hosts.keys().map(|name| name.as_str().to_owned()).collect());
        Ok(Self { declared, ..pins })
    }

    /// Reads the file of a state folder; `declared` = the hosts of keyroll.toml, if it could be read.
    ///
    /// # Errors
    /// The file cannot be read, or a newer keyroll wrote it.
    pub(super) fn at(places: &Places, declared: Option<BTreeSet<String>>) -> Result<Self, Problem> {
        Ok(Self { declared, ..Self::of(places)? })
    }

    fn of(places: &Places) -> Result<Self, Problem> {
        let pins: Option<Self> = state_file::load(&places.hosts())?;
        match pins {
            Some(pins) if pins.version == VERSION => Ok(pins),
            Some(_) => Err(Problem::new(Code::NewerKeyroll, "read which hosts were accepted")
                .because(format!("a newer keyroll wrote {}", places.hosts().display()))
                .help("use that version of keyroll")),
            None => Self::new(),
        }
    }

    fn new() -> Result<Self, Problem> {
        let mut key = [0_u8; 32];
        let read = rustix::rand::getrandom(key.as_mut_slice(), GetRandomFlags::empty());
        if read.ok() != Some(key.len()) {
            return Err(Problem::new(Code::StateUnusable, "make a key for the ids of hosts")
                .because("the machine gives no random bytes")
                .help("run it again"));
        }
        Ok(Self { version: VERSION, key: digits_of(&key), hosts: BTreeMap::new(), declared: None })
    }

    /// The key of the digests.
    ///
    /// # Errors
    /// The file has none.
    pub(super) fn key(&self) -> Result<[u8; 32], Problem> {
        bytes_of(&self.key).ok_or_else(|| {
            Problem::new(Code::StateUnusable, "read which hosts were accepted")
                .because("the key in hosts.json is none")
                .help("move hosts.json out of the state folder, and accept the hosts again: keyroll hosts accept NAME")
        })
    }

    /// The machine that was accepted under a name.
    pub(super) fn pin(&self, name: &str) -> Option<&Pin> {
        self.hosts.get(name)
    }

    /// Compares a machine that answers under this name. Its boot is not compared.
    pub(super) fn standing(&self, name: &str, hello: &HostHello) -> Standing {
        let is_it = |pin: &Pin| Some(&pin.machine) == hello.machine.as_ref();
        let declared = |other: &String| self.declared.as_ref().is_none_or(|all| all.contains(other));
        let twin = |other: &String, pin: &Pin| other != name && is_it(pin) && declared(other);
        if let Some((twin, _)) = self.hosts.iter().find(|(other, pin)| twin(other, pin)) {
            return Standing::Twin(twin.clone());
        }
        let Some(pin) = self.hosts.get(name) else { return Standing::New };
        let hardware = pin.hardware.as_ref().zip(hello.hardware.as_ref());
        match is_it(pin) && hardware.is_none_or(|(known, now)| known == now) {
            true => Standing::Accepted { rebooted: pin.boot != hello.boot },
            false => Standing::Other { accepted: pin.accepted.clone(), by: pin.by.clone() },
        }
    }

    /// Accepts a machine under a name; replaces the one before.
    pub(super) fn accept(&mut self, name: &str, pin: Pin) {
        self.hosts.insert(name.to_owned(), pin);
    }

    /// The file as it is now: another keyroll may have accepted hosts since it was read.
    ///
    /// # Errors
    /// It cannot be read, or another keyroll made it meanwhile, with another key.
    pub(super) fn again(&self, places: &Places) -> Result<Self, Problem> {
        let now: Option<Self> = state_file::load(&places.hosts())?;
        let now = now.map(|now| Self { declared: self.declared.clone(), ..now });
        if now.as_ref().is_some_and(|now| now.key != self.key) {
            return Err(Problem::new(Code::StateUnusable, "write which hosts were accepted")
                .because("another keyroll accepted hosts meanwhile")
                .help("run the command again"));
        }
        Ok(now.unwrap_or_else(|| self.clone()))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written, or another keyroll made it meanwhile, with another key.
    pub(super) fn save(&self, places: &Places) -> Result<(), Problem> {
        places.ensure()?;
        self.again(places)?;
        state_file::replace(&places.hosts(), self)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::places::Locations;

    fn hello(machine: &str, hardware: Option<&str>, boot: &str) -> HostHello {
        HostHello {
            version: 1,
            keyroll: "0.1.0".to_owned(),
            machine: (!machine.is_empty()).then(|| machine.to_owned()),
            hardware: hardware.map(str::to_owned),
            boot: boot.to_owned(),
            now_unix_ms: 0,
            root: true,
            user: "root".to_owned(),
            seal: String::new(),
        }
    }

    fn pin(machine: &str, hardware: Option<&str>) -> Pin {
        Pin {
            connect: "ssh://web-1".to_owned(),
            machine: machine.to_owned(),
            hardware: hardware.map(str::to_owned),
            boot: "b1".to_owned(),
            accepted: "2026-11-28T18:00:00Z".to_owned(),
            by: "user root".to_owned(),
        }
    }

    #[test]
    fn a_machine_is_the_accepted_one_by_its_id_and_its_hardware() {
        let mut pins = Pins::new().unwrap();
        pins.accept("web-1", pin("a", Some("h")));
        pins.accept("db-1", pin("d", None));
        let standing = |name, machine, hardware, boot| pins.standing(name, &hello(machine, hardware, boot));
        let other =
            Standing::Other { accepted: "2026-11-28T18:00:00Z".to_owned(), by: "user root".to_owned() };
        assert_eq!(standing("web-1", "a", Some("h"), "b1"), Standing::Accepted { rebooted: false });
        assert_eq!(standing("web-1", "a", Some("h"), "b2"), Standing::Accepted { rebooted: true });
        assert_eq!(standing("web-1", "a", None, "b1"), Standing::Accepted { rebooted: false });
        assert_eq!(standing("db-1", "d", Some("h"), "b1"), Standing::Accepted { rebooted: false });
        assert_eq!(standing("web-1", "a", Some("i"), "b1"), other, "a clone has the same id");
        assert_eq!(standing("web-1", "b", Some("h"), "b1"), other);
        assert_eq!(standing("web-1", "", Some("h"), "b1"), other);
        assert_eq!(standing("web-2", "b", None, "b1"), Standing::New);
        assert_eq!(standing("web-2", "", None, "b1"), Standing::New);
        assert_eq!(standing("web-2", "a", Some("h"), "b1"), Standing::Twin("web-1".to_owned()));
        assert_eq!(standing("db-1", "a", None, "b1"), Standing::Twin("web-1".to_owned()));
        // It was web-1, which keyroll.toml does not name any more.
        pins.declared = Some(BTreeSet::from(["db-1".to_owned(), "web-2".to_owned()]));
        let standing = |name, machine| pins.standing(name, &hello(machine, Some("h"), "b1"));
        assert_eq!(standing("web-2", "a"), Standing::New);
        assert_eq!(standing("web-2", "d"), Standing::Twin("db-1".to_owned()));
    }

    #[test]
    fn the_file_is_private_and_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let locations = Locations { state: Some(folder.path().join("state")), ..Locations::default() };
        let places = Places::find(&locations).unwrap();
        let mut pins = Pins::of(&places).unwrap();
        pins.accept("web-1", pin("a", None));
        pins.save(&places).unwrap();
        let mode = places.hosts().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let read = Pins::of(&places).unwrap();
        assert_eq!((read.key().unwrap(), read.pin("web-1")), (pins.key().unwrap(), pins.pin("web-1")));
        // What another keyroll accepts meanwhile is not forgotten.
        let mut third = Pins::of(&places).unwrap();
        third.accept("db-1", pin("d", None));
        third.save(&places).unwrap();
        let again = read.again(&places).unwrap();
        assert!(again.pin("db-1").is_some() && again.pin("web-1").is_some() && read.pin("db-1").is_none());
        // Another keyroll that found no file must not replace this one.
        let other = Pins::new().unwrap();
        assert_ne!(other.key, pins.key);
        assert_eq!(other.save(&places).unwrap_err().code, "K0601");
        let newer =
            std::fs::read_to_string(places.hosts()).unwrap().replace("\"version\": 1", "\"version\": 2");
        std::fs::write(places.hosts(), newer).unwrap();
        assert_eq!(Pins::of(&places).unwrap_err().code, "K0606");
    }
}
