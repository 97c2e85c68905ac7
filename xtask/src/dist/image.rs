//! The image: keyroll, a shell for the commands of consumers, and what both need to start. Nobody's, and nothing in it has
//! to be written. It is packed as `docker save` would, without a container engine: an engine would give it the time of the day.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::files::{at, copy, sha256, tar, write};
use super::release::Release;
use crate::run::output;

/// The user and the group: those of deploy/kubernetes.
const NOBODY: u32 = 65_532;

/// What restart commands and checks that are scripts are run by.
const SHELL: &str = "/bin/sh";

/// The certificates of the authorities that keyroll trusts, and the Debian package that has them.
const ROOTS: (&str, &str) = ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates");

/// The time zones of windows in which rotations begin, and the Debian package that has them.
const ZONES: (&str, &str) = ("/usr/share/zoneinfo", "tzdata");

/// What is there besides zones: other forms of them, and the zone of this machine.
const NO_ZONES: [&str; 3] = ["posix", "right", "localtime"];

/// Whose files the image has besides keyroll, by their Debian packages: their licences are in it.
const PACKAGES: [&str; 5] = ["ca-certificates", "dash", "libc6", "libgcc-s1", "tzdata"];

/// Makes the archive of the image; its name.
pub(super) fn make(keyroll: &Path, release: &Release, work: &Path, out: &Path) -> Result<String, String> {
    let tree = work.join("root");
    fill(&tree, keyroll)?;
    let parts = work.join("image");
    fs::create_dir(&parts).map_err(at(&parts))?;
    let layer = parts.join("layer.tar");
    tar(&layer, &tree, (0, release), &["--exclude=./var/lib/keyroll", "-c", "."])?;
    tar(&layer, &tree, (NOBODY, release), &["-r", "./var/lib/keyroll"])?;
    let stamp = release.stamp()?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": stamp,
        "config": {
            "User": format!("{NOBODY}:{NOBODY}"),
            "Entrypoint": ["/usr/bin/keyroll"],
            "Env": ["PATH=/usr/bin:/bin", "HOME=/var/lib/keyroll"],
            "WorkingDir": "/var/lib/keyroll",
            "Labels": {
                "org.opencontainers.image.title": "keyroll",
                "org.opencontainers.image.version": release.version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer)?)] },
        "history": [{ "created": stamp, "created_by": "cargo xtask dist" }],
    });
    let tag = format!("keyroll:{}", release.version);
    let manifest = json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"] }]);
    write(&parts.join("config.json"), config.to_string().as_bytes(), 0o644)?;
    write(&parts.join("manifest.json"), manifest.to_string().as_bytes(), 0o644)?;
    let name = format!("keyroll-{}-image.tar", release.version);
    let words = ["-c", "config.json", "manifest.json", "layer.tar"];
    tar(&out.join(&name), &parts, (0, release), &words)?;
    [&tree, &parts].into_iter().try_for_each(|folder| fs::remove_dir_all(folder).map_err(at(folder)))?;
    Ok(name)
}

/// Writes the files of the image.
fn fill(tree: &Path, keyroll: &Path) -> Result<(), String> {
    let shell = Path::new(SHELL);
    copy(keyroll, &inside(tree, Path::new("/usr/bin/keyroll")), 0o755)?;
    copy(shell, &inside(tree, shell), 0o755)?;
    for program in [keyroll, shell] {
        let said = output("ldd", &[&program.display().to_string()])?;
        for library in libraries(&said) {
            copy(&library, &inside(tree, &library), 0o755)?;
        }
    }
    for (path, package) in [ROOTS, ZONES] {
        if !Path::new(path).exists() {
            return Err(format!("the image needs {path}: install {package}"));
        }
    }
    copy(Path::new(ROOTS.0), &inside(tree, Path::new(ROOTS.0)), 0o644)?;
    copy_zones(Path::new(ZONES.0), &inside(tree, Path::new(ZONES.0)))?;
    for package in PACKAGES {
        let text = PathBuf::from(format!("/usr/share/doc/{package}/copyright"));
        // Not every machine is a Debian, or keeps its documents.
        if text.is_file() {
            copy(&text, &inside(tree, &text), 0o644)?;
        }
    }
    let users = format!("root:x:0:0::/:{SHELL}\nkeyroll:x:{NOBODY}:{NOBODY}::/var/lib/keyroll:{SHELL}\n");
    write(&tree.join("etc/passwd"), users.as_bytes(), 0o644)?;
    write(&tree.join("etc/group"), format!("root:x:0:\nkeyroll:x:{NOBODY}:\n").as_bytes(), 0o644)?;
    write(&tree.join("etc/nsswitch.conf"), b"hosts: files dns\n", 0o644)?;
    for (folder, mode) in [("tmp", 0o1777), ("var/lib/keyroll", 0o700)] {
        let path = tree.join(folder);
        fs::create_dir_all(&path).map_err(at(&path))?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(at(&path))?;
    }
    Ok(())
}

/// A path of the image.
fn inside(tree: &Path, path: &Path) -> PathBuf {
    tree.join(path.strip_prefix("/").unwrap_or(path))
}

/// The shared libraries of a program, with its loader, as `ldd` prints them.
fn libraries(said: &str) -> BTreeSet<PathBuf> {
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// Copies a folder of time zones; of a link the zone that it leads to.
fn copy_zones(from: &Path, to: &Path) -> Result<(), String> {
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let (path, name) = (entry.path(), entry.file_name());
        if NO_ZONES.iter().any(|other| name == *other) {
            continue;
        }
        match path.is_dir() {
            true => copy_zones(&path, &to.join(name))?,
            false => copy(&path, &to.join(name), 0o644)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_with_a_path() {
        let said = "\tlinux-vdso.so.1 (0x00007f)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found: Vec<PathBuf> = libraries(said).into_iter().collect();
        let wanted = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(found, wanted);
        assert_eq!(inside(Path::new("/tree"), &wanted[1]), Path::new("/tree/lib64/ld-linux-x86-64.so.2"));
    }

    #[test]
    fn zones_are_copied_whole_and_the_machines_own_zone_is_not() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        for zone in ["Europe/Berlin", "right/Europe/Berlin", "localtime"] {
            write(&from.join(zone), b"TZif2", 0o644).unwrap();
        }
        std::os::unix::fs::symlink("Europe/Berlin", from.join("CET")).unwrap();
        copy_zones(&from, &to).unwrap();
        let there = |zone: &str| to.join(zone).symlink_metadata().is_ok_and(|meta| meta.is_file());
        assert!(there("Europe/Berlin") && there("CET"));
        assert!(!there("localtime") && !to.join("right").exists());
    }
}
