//! The real parts that tests need, and how to install them on Debian.

use std::path::Path;

use crate::apt;
use crate::run::{have, home_bin, in_ci, output, root, run};
use crate::world;

/// One part: how it is recognised, and the Debian packages that contain it.
struct Part {
    name: &'static str,
    there: fn() -> bool,
    packages: &'static [&'static str],
}

fn part(name: &'static str, there: fn() -> bool, packages: &'static [&'static str]) -> Part {
    Part { name, there, packages }
}

fn all() -> Vec<Part> {
    vec![
        part(
            "PostgreSQL 15",
            || Path::new("/usr/lib/postgresql/15/bin/postgres").exists(),
            &["postgresql-15"],
        ),
        part("psql and libpq", || have("psql"), &["postgresql-client-15"]),
        part("Redis", || have("redis-server"), &["redis-server"]),
        part("MariaDB", || Path::new("/usr/sbin/mariadbd").exists(), &["mariadb-server"]),
        part("PgBouncer", || Path::new("/usr/sbin/pgbouncer").exists(), &["pgbouncer"]),
        part(
            "RabbitMQ",
            || Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists(),
            &["rabbitmq-server"],
        ),
        part("strace", || have("strace"), &["strace"]),
        part("setpriv and unshare", || have("setpriv") && have("unshare"), &["util-linux"]),
        part("setfattr", || have("setfattr"), &["attr"]),
        part("setfacl", || have("setfacl"), &["acl"]),
        part("python3", || have("python3"), &["python3"]),
        part("python3 venv", venv, &["python3-venv"]),
        part("aiosmtpd", aiosmtpd, &["python3-aiosmtpd"]),
        part("sqlite3", || have("sqlite3"), &["sqlite3"]),
        part(
            "bzip2, xz and zstd",
            || ["bzip2", "xz", "zstd"].iter().all(|name| have(name)),
            &["bzip2", "xz-utils", "zstd"],
        ),
        part("npm", || have("npm"), &["npm"]),
        part("runit", || have("runsv"), &["runit"]),
        part("faketime", || have("faketime"), &["faketime"]),
        part("docker", || have("dockerd"), &["docker.io", "iptables"]),
        part(
            "what a node of Kubernetes needs",
            cluster_node,
            &["containerd", "runc", "containernetworking-plugins", "busybox-static"],
        ),
        part("node and npm", || have("node") && have("npm"), &["nodejs", "npm"]),
        // Debian 12 has another version: it must be there before.
        part("node 20", node_20, &[]),
        part("Go", || have("go"), &["golang-go"]),
        part("Ruby and its dotenv", dotenv_of_ruby, &["ruby", "ruby-dotenv"]),
        part("my_print_defaults", || have("my_print_defaults"), &["mariadb-client-core"]),
        // Installed by its own step below: Debian 12 has only version 1.
        part("docker compose", compose, &[]),
        part("Prometheus", || Path::new("/usr/bin/prometheus").exists(), &["prometheus"]),
        part("ssh", || have("ssh") && have("ssh-keygen"), &["openssh-client"]),
        part("mmdebstrap", || have("mmdebstrap"), &["mmdebstrap"]),
    ]
}

fn venv() -> bool {
    imports("python3", "venv, ensurepip")
}

/// Debian's package is for Debian's own Python.
fn aiosmtpd() -> bool {
    imports("/usr/bin/python3", "aiosmtpd") || imports("python3", "aiosmtpd")
}

/// The version that the table of the readers of env files is about.
fn node_20() -> bool {
    let version = std::process::Command::new("node").arg("--version").output();
    version.is_ok_and(|output| output.stdout.starts_with(b"v20."))
}

fn cluster_node() -> bool {
    ["containerd", "runc", "busybox"].iter().all(|name| have(name))
        && Path::new("/usr/lib/cni/loopback").exists()
}

fn dotenv_of_ruby() -> bool {
    std::process::Command::new("ruby")
        .args(["-e", "require 'dotenv'"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether this Python is there and has these modules.
pub(crate) fn imports(python: &str, modules: &str) -> bool {
    std::process::Command::new(python)
        .args(["-c", &format!("import {modules}")])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn compose() -> bool {
    let version = std::process::Command::new("docker").args(["compose", "version"]).output();
    version.is_ok_and(|output| output.status.success()) && have("docker-compose")
}

/// The release of Debian with version 2 of docker compose: one program that needs only libc.
const COMPOSE_RELEASE: &str = "trixie";

/// Installs that program with package lists of its own, so that nothing else of that release can be installed. The
/// first argument is the package source.
const COMPOSE: &str = r#"set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"; chmod 755 .; mkdir -p lists/partial cache/archives/partial
printf '%s' "$1" >own.sources
apt() { apt-get -qq -o Dir::Etc::sourcelist="$work/own.sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" "$@"; }
apt update; apt download docker-compose; dpkg -x docker-compose_*.deb out
install -D out/usr/libexec/docker/cli-plugins/docker-compose /usr/local/lib/docker/cli-plugins/docker-compose
ln -sf /usr/local/lib/docker/cli-plugins/docker-compose /usr/local/bin/docker-compose
"#;

/// Installs the missing parts, as root on Debian; elsewhere reports them, and fails in CI.
pub(crate) fn install() -> Result<(), String> {
    let missing: Vec<Part> = all().into_iter().filter(|part| !(part.there)()).collect();
    if missing.is_empty() {
        println!("parts: all there");
        return namespaces();
    }
    let names: Vec<&str> = missing.iter().map(|part| part.name).collect();
    println!("parts missing: {}", names.join(", "));
    let root =
        std::process::Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0\n"));
    if root && have("apt-get") {
        // The package's own cluster is not needed: tests start theirs on free ports.
        std::fs::create_dir_all("/etc/postgresql-common").map_err(|error| error.to_string())?;
        let conf = Path::new("/etc/postgresql-common/createcluster.conf");
        if !conf.exists() {
            std::fs::write(conf, "create_main_cluster = false\n").map_err(|error| error.to_string())?;
        }
        run("apt-get", &["update", "-qq"])?;
        let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
        words.extend(missing.iter().flat_map(|part| part.packages));
        run("apt-get", &words)?;
        if !compose() {
            run("sh", &["-c", COMPOSE, "sh", &apt::stanza(COMPOSE_RELEASE)?])?;
        }
    }
    let still: Vec<&str> = missing.iter().filter(|part| !(part.there)()).map(|part| part.name).collect();
    if still.is_empty() {
        namespaces()
    } else if in_ci() {
        Err(format!("these parts could not be installed: {}", still.join(", ")))
    } else {
        println!("LEFT OUT: tests that need {} (install them, or run as root on Debian)", still.join(", "));
        Ok(())
    }
}

/// Says where units do not get namespaces of their own: each keyroll then searches the processes of all units.
fn namespaces() -> Result<(), String> {
    match (world::is_own(), in_ci()) {
        (true, _) => Ok(()),
        (false, true) => Err("no namespaces for units: this must be root with CAP_SYS_ADMIN".to_owned()),
        (false, false) => {
            println!("LEFT OUT: a namespace for each unit (that takes root with CAP_SYS_ADMIN)");
            Ok(())
        }
    }
}

/// The versions of the two files (git's object names, a line each) for which the check was passed.
const CHECKED: &str = "xtask/licences-checked";

/// Checks that `deny` passed for this `Cargo.lock` and `deny.toml`; the checker takes minutes to compile.
pub(crate) fn licences_checked() -> Result<(), String> {
    let checked = std::fs::read_to_string(root().join(CHECKED)).unwrap_or_default();
    if checked == versions()? {
        return Ok(());
    }
    Err("Cargo.lock or deny.toml changed; check the licences: cargo xtask test --full licences (it writes \
         xtask/licences-checked)"
        .to_owned())
}

fn versions() -> Result<String, String> {
    output("git", &["hash-object", "Cargo.lock", "deny.toml"])
}

/// Checks the graph of packages: licences, bans, sources; then records for which versions that was. The list of advisories is not on a registry and is not
/// checked here.
pub(crate) fn deny() -> Result<(), String> {
    let installed = home_bin("cargo-deny");
    if !have("cargo-deny") && !installed.exists() {
        run("cargo", &["install", "cargo-deny", "--locked", "--quiet"])?;
    }
    let program = if have("cargo-deny") { "cargo-deny".to_owned() } else { installed.display().to_string() };
    let versions = versions()?;
    // Packages of other platforms are in the graph too; this is the only reason to fetch them.
    run("cargo", &["fetch", "--quiet", "--locked"])?;
    println!("LEFT OUT: advisories (their database is in a git repository, not on a package registry)");
    run(
        &program,
        &[
            "--offline",
            "--log-level",
            "error",
            "check",
            "--hide-inclusion-graph",
            "bans",
            "licenses",
            "sources",
        ],
    )?;
    std::fs::write(root().join(CHECKED), versions).map_err(|error| format!("{CHECKED}: {error}"))
}
