use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

/// What the programs are named, as built; the one for another machine has a suffix.
const NAME: &str = "keyroll-host";
/// Where a package puts programs that people do not call themselves, beside its folder of programs.
const LIBEXEC: &str = "../libexec/keyroll";
/// The largest program that is sent, bytes.
const BYTES_MAX: u64 = 256 << 20;
/// How much is read at once, bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// The machines of ELF headers, as `uname -m` names them. Source: elf(5), `e_machine`.
const MACHINES: [(u16, &str); 2] = [(62, "x86_64"), (183, "aarch64")];

/// A `keyroll-host` that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// The kind of machine that it is for, as `uname -m` says it there.
    pub machine: &'static str,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// The programs beside keyroll's own, and those of its package: one for each kind of machine, the nearest first. It reads
/// them whole: once for a command is enough.
///
/// # Errors
/// A folder or a program cannot be read. None there is no error.
pub fn programs(beside: &Path) -> io::Result<Vec<Program>> {
    let mut found: Vec<Program> = Vec::new();
    let mut paths = vec![beside.join(NAME)];
    paths.extend(files(beside, &format!("{NAME}-"))?);
    paths.extend(files(&beside.join(LIBEXEC), "")?);
    for path in paths {
        let read = read(&path).map_err(|error| at(&path, &error))?;
        let new = read.filter(|program| found.iter().all(|other| other.machine != program.machine));
        found.extend(new);
    }
    Ok(found)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The files in a folder whose names begin so, in the order of their names.
fn files(folder: &Path, beginning: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(folder, &error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| at(folder, &error))?.path();
        if path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(beginning)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What a file is, where it is a program for a machine that is known.
fn read(path: &Path) -> io::Result<Option<Program>> {
    match fs::metadata(path) {
        // Nothing but a file is opened: a FIFO would wait.
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut file = File::open(path)?;
    let mut header = [0; 20];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let Some(machine) = machine(header) else { return Ok(None) };
    let mut hash = Context::new(&SHA256);
    hash.update(&header);
    let mut bytes = 20;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk)?;
        let part = chunk.get(..read).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        hash.update(part);
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
        if bytes > BYTES_MAX {
            return Err(io::Error::other(format!("it is larger than {BYTES_MAX} bytes")));
        }
    }
    let sha256 = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Program { path: path.to_owned(), machine, sha256, bytes }))
}

/// The kind of machine that the header of a 64-bit little-endian ELF file names.
fn machine(header: [u8; 20]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', 2, 1, .., low, high] = header else { return None };
    let named = u16::from_le_bytes([low, high]);
    MACHINES.iter().find(|(number, _)| *number == named).map(|(_, machine)| *machine)
}

#[cfg(test)]
mod tests {
    use keyroll_testkit::TempDir;

    use super::*;

    /// A file with the header of a program for this machine.
    fn elf(class: u8, machine: u8, more: &str) -> Vec<u8> {
        let mut bytes =
            vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, machine, 0];
        bytes.extend(more.as_bytes());
        bytes
    }

    fn machines(beside: &Path) -> Vec<(&'static str, String)> {
        let found = programs(beside).unwrap();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        found.into_iter().map(|program| (program.machine, name(&program.path))).collect()
    }

    #[test]
    fn a_program_is_known_by_its_header_and_named_with_its_sum() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(NAME), elf(2, 62, "code")).unwrap();
        let found = programs(folder.path()).unwrap();
        let output = std::process::Command::new("sha256sum").arg(folder.path().join(NAME)).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.machine, one.bytes), ("x86_64", 24));
        assert_eq!(Some(one.sha256.as_str()), said.split(' ').next());
    }

    #[test]
    fn the_nearest_program_of_each_machine_is_taken() {
        let folder = TempDir::new().unwrap();
        let (bin, libexec) = (folder.path().join("bin"), folder.path().join("libexec/keyroll"));
        fs::create_dir_all(&bin).unwrap();
        assert!(machines(&bin).is_empty());
        fs::create_dir_all(&libexec).unwrap();
        fs::write(libexec.join("a"), elf(2, 183, "")).unwrap();
        fs::write(libexec.join("b"), elf(2, 62, "")).unwrap();
        let of = |machine, name: &str| (machine, name.to_owned());
        assert_eq!(machines(&bin), [of("aarch64", "a"), of("x86_64", "b")]);
        fs::write(bin.join("keyroll-host-arm"), elf(2, 183, "")).unwrap();
        fs::write(bin.join("keyroll-host-z"), elf(2, 183, "")).unwrap();
        assert_eq!(machines(&bin), [of("aarch64", "keyroll-host-arm"), of("x86_64", "b")]);
        fs::write(bin.join(NAME), elf(2, 62, "")).unwrap();
        assert_eq!(machines(&bin), [of("x86_64", NAME), of("aarch64", "keyroll-host-arm")]);
    }

    #[test]
    fn what_is_no_program_for_a_known_machine_is_left_out() {
        let folder = TempDir::new().unwrap();
        let with = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
        with(NAME, b"#!/bin/sh\n# longer than a header\n");
        with("keyroll-host-short", b"\x7fELF");
        with("keyroll-host-32", &elf(1, 62, ""));
        with("keyroll-host-other", &elf(2, 243, ""));
        with("keyroll", &elf(2, 62, ""));
        fs::create_dir(folder.path().join("keyroll-host-folder")).unwrap();
        assert!(machines(folder.path()).is_empty());
    }
}
