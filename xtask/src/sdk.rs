//! The packages for programs that take a new key without a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lanes::{TestCount, Unit};
use crate::parts::imports;
use crate::run::{in_ci, root};

/// The Python package.
const PYTHON: &str = "sdk/python";

/// The Pythons that it is for.
const PYTHONS: [&str; 5] = ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13"];

/// The tests with the libraries that the package serves, and the releases of those.
const LIBRARIES: &str = "tests_libraries";

/// What a test run is started with: everything under `tests`, and what is left open is an error.
const UNITTEST: [&str; 9] =
    ["-W", "error::ResourceWarning", "-m", "unittest", "discover", "-s", "tests", "-t", "."];

/// The tests of the Python package in two halves, by the names of their files: each file is in one of them.
const HALVES: [(&str, &str); 2] =
    [("sdk/python-a-to-r", "test_[!s-z]*.py"), ("sdk/python-s-to-z", "test_[s-z]*.py")];

/// The tests of the Python package, from the checkout: nothing is installed.
pub(crate) fn python() -> Vec<Unit> {
    if !in_ci() && !imports("python3", "venv") {
        println!("left out: python3 is not installed");
        return Vec::new();
    }
    HALVES
        .into_iter()
        .map(|(name, files)| {
            let plain = Unit::plain(name, Path::new("python3"), &[&UNITTEST[..], &["-p", files]].concat());
            // CI's checkout stays as it is.
            let variables = vec![("PYTHONDONTWRITEBYTECODE".to_owned(), PathBuf::from("1"))];
            Unit { folder: root().join(PYTHON), variables, tests: Some(TestCount::Unittest), ..plain }
        })
        .collect()
}

/// The Python package as it is published: its types, and the tests with the wheel and the sdist in a clean environment of
/// each Python of this machine.
pub(crate) fn python_built() -> Result<(), String> {
    let folder = emptied("target/sdk-python")?;
    let tools = folder.join("tools");
    environment("python3", &tools)?;
    let python = tools.join("bin/python");
    ran(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "build==1.3.0",
        "hatchling==1.27.0",
        "mypy==1.18.2",
    ]))?;
    ran(Command::new(&python).args(["-m", "mypy", "--cache-dir"]).arg(folder.join("mypy")))?;
    let dist = folder.join("dist");
    ran(Command::new(&python).args(["-m", "build", "--no-isolation", "--outdir"]).arg(&dist))?;
    let mut tried = 0;
    for name in PYTHONS.into_iter().filter(|name| imports(name, "venv")) {
        for kind in ["whl", "tar.gz"] {
            let its = folder.join(format!("{name}-{kind}"));
            environment(name, &its)?;
            let package = built(&dist, kind)?;
            let python = its.join("bin/python");
            ran(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-deps"]).arg(package))?;
            ran(Command::new(&python).args(UNITTEST).env("KEYROLL_TEST_INSTALLED", "1"))?;
            tried += 1;
        }
    }
    match tried {
        0 => Err(format!("none of {} is on the search path", PYTHONS.join(", "))),
        _ => Ok(()),
    }
}

/// The modules of the Python package for other libraries, with the libraries; and the other tests, of which some need one of
/// them (aiohttp, boto3) and are skipped everywhere else.
pub(crate) fn libraries() -> Result<(), String> {
    let its = emptied("target/sdk-libraries")?;
    environment("python3", &its)?;
    let python = its.join("bin/python");
    let releases = format!("{LIBRARIES}/requirements.txt");
    ran(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r", &releases]))?;
    let words = ["-W", "ignore::ResourceWarning", "-m", "unittest", "discover", "-s", LIBRARIES, "-t", "."];
    ran(Command::new(&python).args(words))?;
    ran(Command::new(&python).args(UNITTEST))
}

/// A folder of the checkout, without what an earlier run left there.
fn emptied(name: &str) -> Result<PathBuf, String> {
    let folder = root().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(folder)
}

fn environment(python: &str, folder: &Path) -> Result<(), String> {
    ran(Command::new(python).args(["-m", "venv"]).arg(folder))
}

/// The file of this kind that was built.
fn built(dist: &Path, kind: &str) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dist.display());
    let mut all = fs::read_dir(dist).map_err(failed)?.filter_map(Result::ok).map(|entry| entry.path());
    all.find(|path| path.to_string_lossy().ends_with(kind)).ok_or_else(|| format!("no {kind} was built"))
}

/// Runs a command in the package's folder, without what the caller has set for Python.
fn ran(command: &mut Command) -> Result<(), String> {
    for variable in ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"] {
        command.env_remove(variable);
    }
    // CI's checkout stays as it is.
    command.current_dir(root().join(PYTHON)).env("PYTHONDONTWRITEBYTECODE", "1");
    let status = command.status().map_err(|error| format!("could not start {command:?}: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?} ended with {status}")),
    }
}
