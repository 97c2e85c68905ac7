use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The files of the machine's id, the newer first: machine-id(5), then D-Bus.
pub const MACHINE_ID_FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// The firmware's id of the machine; only root can read it, and not every machine has one. A clone of a virtual
/// machine often keeps its machine-id but gets a new firmware id.
const HARDWARE: &str = "/sys/class/dmi/id/product_uuid";

/// An id is one short line.
const ID_BYTES_MAX: u64 = 256;

/// A machine-id has this many hexadecimal digits.
const ID_DIGITS: usize = 32;

/// The ids by which a machine is recognised. Only their keyed digests are kept or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineIds {
    /// Its machine-id; none where no file holds one, as during the first boot of a system.
    pub id: Option<String>,
    /// The firmware's id; none where it is not readable.
    pub hardware: Option<String>,
}

/// The ids of this machine.
pub fn machine_ids() -> MachineIds {
    MachineIds {
        id: MACHINE_ID_FILES.iter().filter_map(|path| line(Path::new(path))).find(|id| is_id(id)),
        hardware: line(Path::new(HARDWARE)),
    }
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
