use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::DatabaseError;

/// Only its owner may read the folder.
const FOLDER_MODE: u32 = 0o700;

/// File systems on which a lock may be granted twice, or an fsync may have no effect: `f_type` of statfs(2), from
/// Linux's <linux/magic.h> and statfs(2).
const UNTRUSTED: [(u64, &str); 14] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x786f_4256, "VirtualBox's shared folders"),
];

/// Refuses a folder on a network file system.
pub fn local(folder: &Path) -> Result<(), DatabaseError> {
    let stat = rustix::fs::statfs(folder).map_err(|source| DatabaseError::Io {
        action: "ask for the file system of",
        path: folder.to_owned(),
        source: source.into(),
    })?;
    match untrusted(stat.f_type) {
        Some(kind) => Err(DatabaseError::Network { path: folder.to_owned(), kind }),
        None => Ok(()),
    }
}

/// Makes a folder and those above it (mode 0700), if missing.
pub fn make(folder: &Path) -> Result<(), DatabaseError> {
    let fail = |source| DatabaseError::Io { action: "make the folder", path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(fail)
}

/// The kind of a file system that is not trusted. The type of `f_type` differs between machines; magic numbers have 32
/// bits everywhere.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn untrusted(f_type: rustix::fs::FsWord) -> Option<&'static str> {
    let magic = u64::from(f_type as u32);
    UNTRUSTED.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        assert_eq!(untrusted(0x6969), Some("NFS"));
        assert_eq!(untrusted(0x6573_5546), Some("FUSE"));
        // CIFS has the highest bit set: negative where the field is a signed 32-bit number.
        assert_eq!(untrusted(0xff53_4d42), Some("CIFS"));
        for local in [0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342, 0x794c_7630] {
            assert_eq!(untrusted(local), None);
        }
    }
}
