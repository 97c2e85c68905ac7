//! The Debian package: programs, pages, completions, units that nothing enables, and a user for a server without root.

use std::fs;
use std::path::Path;

use super::archive::{DOC, shared};
use super::files::{at, compress, copy, settle, write};
use super::programs::Programs;
use super::release::Release;
use crate::run::{have, output, root};

/// The server's unit, as `keyroll serve --unit` prints it, too.
const SERVICE: &str = include_str!("../../../deploy/systemd/keyroll.service");
/// The units that rotate what is due, as `keyroll due --timer` prints them, too.
const DUE: [(&str, &str); 2] = [
    ("keyroll-due.service", include_str!("../../../deploy/systemd/keyroll-due.service")),
    ("keyroll-due.timer", include_str!("../../../deploy/systemd/keyroll-due.timer")),
];

/// The command of the units. The folders are those of root's `keyroll`.
const COMMAND: &str =
    "/usr/bin/keyroll --config /etc/keyroll/keyroll.toml --state /var/lib/keyroll --keys /etc/keyroll";

/// The server is root's: it restarts services, reads every process, and shares the state with root's `keyroll`.
const FOLDERS: &str = "StateDirectory=keyroll\nStateDirectoryMode=0700\nConfigurationDirectory=keyroll\n\
                       ConfigurationDirectoryMode=0700\n";

/// What `dpkg-shlibdeps` reads of a source package.
const SOURCE: &str = "Source: keyroll\n\nPackage: keyroll\nArchitecture: any\n";

/// Makes the package; its name.
pub(super) fn make(
    programs: &Programs,
    release: &Release,
    work: &Path,
    out: &Path,
) -> Result<String, String> {
    let tree = work.join("debian");
    let usr = tree.join("usr");
    shared(&programs.keyroll, &usr, "share/zsh/vendor-completions")?;
    // keyroll looks there for it; nobody calls it by hand.
    copy(&programs.host, &usr.join("libexec/keyroll/keyroll-host"), 0o755)?;
    let units = usr.join("lib/systemd/system");
    write(&units.join("keyroll.service"), unit(SERVICE).as_bytes(), 0o644)?;
    for (name, text) in DUE {
        write(&units.join(name), unit(text).as_bytes(), 0o644)?;
    }
    let deploy = root().join("deploy");
    copy(&deploy.join("debian/keyroll.sysusers"), &usr.join("lib/sysusers.d/keyroll.conf"), 0o644)?;
    let doc = usr.join(DOC);
    copy(&deploy.join("debian/copyright"), &doc.join("copyright"), 0o644)?;
    copy(&deploy.join("systemd/unprivileged.conf"), &doc.join("examples/unprivileged.conf"), 0o644)?;
    let (bill, changes) = (doc.join("keyroll.cdx.json"), doc.join("changelog"));
    copy(&out.join(super::bill::name(release)), &bill, 0o644)?;
    copy(&root().join("CHANGELOG.md"), &changes, 0o644)?;
    compress(&bill)?;
    compress(&changes)?;
    for name in ["postinst", "prerm", "postrm"] {
        copy(&deploy.join("debian").join(name), &tree.join("DEBIAN").join(name), 0o755)?;
    }
    let depends = depends(&programs.keyroll, work)?;
    let text = control(release.version, &depends, bytes(&usr)?.div_ceil(1024));
    write(&tree.join("DEBIAN/control"), text.as_bytes(), 0o644)?;
    let shown = tree.display().to_string();
    let sums = "cd \"$1\"; find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums";
    output("sh", &["-euc", sums, "sh", &shown])?;
    settle(&tree, release)?;
    let name = format!("keyroll_{}_amd64.deb", release.version);
    let epoch = format!("SOURCE_DATE_EPOCH={}", release.epoch);
    let to = out.join(&name).display().to_string();
    // More threads would give other bytes.
    let words = [
        epoch.as_str(),
        "DPKG_DEB_THREADS_MAX=1",
        "dpkg-deb",
        "-Zxz",
        "--root-owner-group",
        "--build",
        &shown,
        &to,
    ];
    output("env", &words)?;
    fs::remove_dir_all(&tree).map_err(at(&tree))?;
    Ok(name)
}

/// A unit of the package, by the text that keyroll prints for any installation.
fn unit(text: &str) -> String {
    let text = text.replace("@KEYROLL@", COMMAND).replace("@USER@", FOLDERS);
    let lines = text.lines().filter(|line| !line.starts_with("# /etc/systemd/"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn control(version: &str, depends: &str, kib: u64) -> String {
    format!(
        "Package: keyroll\nVersion: {version}\nArchitecture: amd64\nMaintainer: The keyroll authors \
         <keyroll@users.noreply.github.com>\nInstalled-Size: {kib}\nDepends: {depends}\nRecommends: ca-certificates, \
         openssh-client\nSection: admin\nPriority: optional\nHomepage: https://github.com/keyroll/keyroll\nDescription: \
         Replaces API keys, passwords and tokens while they are in use\n keyroll makes the new key, moves every consumer \
         to it, and revokes the old\n key only when every running process has proved that it works with the new one.\n"
    )
}

/// What the program needs of Debian: as `dpkg-shlibdeps` says, or else by the highest version of glibc among its symbols.
fn depends(program: &Path, work: &Path) -> Result<String, String> {
    let program = program.display().to_string();
    if !have("dpkg-shlibdeps") {
        println!(
            "dpkg-shlibdeps is not installed: Depends is the highest version of glibc among the symbols"
        );
        return of_symbols(&output("objdump", &["-p", &program])?);
    }
    let source = work.join("source");
    write(&source.join("debian/control"), SOURCE.as_bytes(), 0o644)?;
    let words = ["-C", &source.display().to_string(), "dpkg-shlibdeps", "-O", &format!("-e{program}")];
    let said = output("env", &words)?;
    let depends = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_owned).ok_or_else(|| format!("dpkg-shlibdeps said {said}"))
}

/// The same of the version references that `objdump -p` prints.
fn of_symbols(printed: &str) -> Result<String, String> {
    let versions = printed.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_2."));
    let minor = |version: &str| version.split('.').next()?.parse::<u32>().ok();
    let highest = versions.filter_map(minor).max().ok_or("the program needs no glibc")?;
    let gcc = if printed.contains("libgcc_s.so.1") { ", libgcc-s1" } else { "" };
    Ok(format!("libc6 (>= 2.{highest}){gcc}"))
}

/// The bytes of all files below a folder.
fn bytes(folder: &Path) -> Result<u64, String> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        sum += if path.is_dir() { bytes(&path)? } else { fs::metadata(&path).map_err(at(&path))?.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_of_the_package_are_complete() {
        for text in [SERVICE, DUE[0].1, DUE[1].1] {
            let unit = unit(text);
            assert!(!unit.contains('@') && unit.starts_with('['), "{unit}");
        }
        let server = unit(SERVICE);
        assert!(server.contains(&format!("ExecStart={COMMAND} --plain --no-input serve\n")), "{server}");
        assert!(server.contains("\nStateDirectory=keyroll\n") && !server.contains("User="), "{server}");
    }

    #[test]
    fn without_shlibdeps_the_highest_symbol_decides() {
        let printed = "Version References:\n  required from libgcc_s.so.1:\n    0x0b79 0x00 04 GCC_3.0\n  required from \
                       libc.so.6:\n    0x0969 0x00 03 GLIBC_2.2.5\n    0x0969 0x00 02 GLIBC_2.34\n    0x0969 0x00 20 \
                       GLIBC_2.4\n";
        assert_eq!(of_symbols(printed).unwrap(), "libc6 (>= 2.34), libgcc-s1");
        assert!(of_symbols("Version References:\n").is_err());
    }

    #[test]
    fn the_control_file_has_a_field_in_each_line() {
        let text = control("0.1.0", "libc6 (>= 2.34)", 42);
        for line in text.lines() {
            assert!(line.starts_with(' ') || line.contains(": "), "{line}");
        }
        assert!(text.contains("\nInstalled-Size: 42\nDepends: libc6 (>= 2.34)\n"), "{text}");
    }
}
