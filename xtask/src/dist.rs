//! The packages: an archive, a Debian package, an image, a bill of materials, and the checksums of all four. The same commit
//! gives the same bytes on the same machine.

mod archive;
mod bill;
mod debian;
mod files;
mod image;
mod pages;
mod programs;
mod release;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use self::programs::host_program;

use self::files::{at, sha256};
use self::programs::Programs;
use self::release::Release;
use crate::run::{have, root, run};

/// Where the packages are written, unless `--out` names another folder.
const OUT: &str = "target/dist";

/// The variable that names the folder of the packages to the tests of them, and that folder.
pub(crate) const TESTED: (&str, &str) = ("KEYROLL_DIST", "target/dist-tested");

/// The checksums of the packages.
const SUMS: &str = "SHA256SUMS";

/// What packing runs, each with the Debian package that has it.
const TOOLS: [(&str, &str); 8] = [
    ("strip", "binutils"),
    ("objdump", "binutils"),
    ("ldd", "libc-bin"),
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("md5sum", "coreutils"),
    ("sha256sum", "coreutils"),
    ("dpkg-deb", "dpkg"),
];

/// What is asked for.
struct Asked {
    profile: String,
    /// A program that was built before, with its keyroll-host beside it.
    program: Option<PathBuf>,
    out: PathBuf,
}

impl Asked {
    fn read(words: &[String]) -> Result<Self, String> {
        let mut asked = Self { profile: "dist".to_owned(), program: None, out: root().join(OUT) };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or_else(|| format!("`{word}` needs a value"))?;
            match (word.as_str(), value.as_str()) {
                ("--profile", "dist" | "release" | "dev") => asked.profile.clone_from(value),
                ("--profile", _) => return Err(format!("--profile {value}: dist, release or dev")),
                ("--program", path) => asked.program = Some(root().join(path)),
                ("--out", path) => asked.out = root().join(path),
                _ => return Err(format!("`dist {word}` is none of its forms")),
            }
        }
        Ok(asked)
    }
}

/// Makes every package.
pub(crate) fn dist(words: &[String]) -> Result<(), String> {
    let asked = Asked::read(words)?;
    let missing: Vec<String> = TOOLS
        .iter()
        .filter(|(tool, _)| !have(tool))
        .map(|(tool, package)| format!("{tool} (Debian package {package})"))
        .collect();
    if !missing.is_empty() {
        return Err(format!("packing needs programs that are missing: {}", missing.join(", ")));
    }
    let release = Release::read()?;
    let built = match &asked.program {
        Some(program) => Programs::beside(program)?,
        None => Programs::built(&asked.profile)?,
    };
    fs::create_dir_all(&asked.out).map_err(at(&asked.out))?;
    let work = tempfile::tempdir_in(&asked.out).map_err(at(&asked.out))?;
    let programs = built.stripped(work.path())?;
    release.is_of(&programs.keyroll)?;
    let bill = bill::make(&release, &asked.out)?;
    let made = [
        archive::make(&programs, &release, work.path(), &asked.out)?,
        debian::make(&programs, &release, work.path(), &asked.out)?,
        image::make(&programs.keyroll, &release, work.path(), &asked.out)?,
        bill,
    ];
    let sums = asked.out.join(SUMS);
    fs::write(&sums, checksums(&asked.out, made)?).map_err(at(&sums))?;
    println!("wrote {}", sums.display());
    Ok(())
}

/// The lines that `sha256sum -c` reads.
fn checksums(folder: &Path, mut names: [String; 4]) -> Result<String, String> {
    names.sort();
    let mut text = String::new();
    for name in names {
        let path = folder.join(&name);
        println!("wrote {}", path.display());
        text.push_str(&format!("{}  {name}\n", sha256(&path)?));
    }
    Ok(text)
}

/// The packages of the debug build, for their tests. Its graph is that of the shipped program, not that of the workspace.
pub(crate) fn of_debug_build() -> Result<(), String> {
    run("cargo", &["build", "--quiet", "-p", "keyroll", "--bins"])?;
    dist(&["--program", "target/debug/keyroll", "--out", TESTED.1].map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_does_not_exist_is_refused() {
        let read =
            |words: &[&str]| Asked::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let asked = read(&["--profile", "dev", "--out", "/tmp/packages"]).unwrap();
        assert_eq!((asked.profile.as_str(), asked.out), ("dev", PathBuf::from("/tmp/packages")));
        assert!(asked.program.is_none());
        assert!(read(&["--profile", "bench"]).err().unwrap().contains("dist, release or dev"));
        assert!(read(&["--out"]).err().unwrap().contains("needs a value"));
        assert!(read(&["--fast", "yes"]).is_err());
    }
}
