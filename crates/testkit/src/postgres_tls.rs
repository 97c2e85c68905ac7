use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::postgres::{Postgres, PostgresError, failed, give};

impl Postgres {
    /// Makes a root and a certificate for this name (`DNS:localhost`, `IP:127.0.0.1`), and lets the server encrypt
    /// connections with it, after [`Postgres::reload`]. The root's PEM file.
    ///
    /// The program `openssl` comes with Debian's package of the server.
    ///
    /// # Errors
    /// If the keys cannot be made or written.
    pub fn enable_tls(&self, name: &str) -> Result<PathBuf, PostgresError> {
        let at = |file: &str| self.home().join(file);
        let (root, root_key) = (at("root.pem"), at("root.key"));
        let (chain, key) = (at("server.pem"), at("server.key"));
        let mut make_root = request(&root, &root_key, "/CN=a root of this test");
        make_root.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        run(make_root)?;
        let mut make_chain = request(&chain, &key, "/CN=a server of this test");
        make_chain.arg("-CA").arg(&root).arg("-CAkey").arg(&root_key);
        make_chain.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        make_chain.arg("-addext").arg(format!("subjectAltName={name}"));
        run(make_chain)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(failed("close the key"))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o644)).map_err(failed("open the root"))?;
        for file in [&chain, &key] {
            give(file)?;
        }
        let settings =
            format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n", chain.display(), key.display());
        fs::write(at("data/postgresql.auto.conf"), settings).map_err(failed("turn encryption on"))?;
        Ok(root)
    }
}

/// A request that makes a certificate at once, valid for a day.
fn request(certificate: &Path, key: &Path, subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-days", "1", "-subj", subject, "-out"]).arg(certificate).arg("-keyout").arg(key);
    command
}

fn run(mut command: Command) -> Result<(), PostgresError> {
    let output = command.stdin(Stdio::null()).output().map_err(failed("run openssl"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed("make a certificate")(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())))
}
