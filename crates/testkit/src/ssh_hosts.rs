use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::debian_host::{IMAGE, await_host, engine, host, or_skip};
use crate::engine::{Engine, HostError, failed, have, said};
use crate::port::free_port;
use crate::program_file::write_program;

/// The user of every host, who has the key. Its keys are outside of its home, which may be small.
const USER: &str = "deploy";

/// Starts the server of ssh on a port of loopback, and prints its public key. Words: port, name, who may log in, sudoers.
const SSHD: &str = r#"set -eu; umask 022; mkdir /etc/ssh/keyroll
ssh-keygen -q -t ed25519 -N "" -C "$2" -f /etc/ssh/keyroll/host_key
echo "$3" >/etc/ssh/keyroll/authorized_keys
[ -z "$4" ] || (umask 227; echo "$4" >/etc/sudoers.d/deploy; visudo -q -c -f /etc/sudoers.d/deploy)
cat >/etc/ssh/keyroll/sshd_config <<.
ListenAddress 127.0.0.1
Port $1
HostKey /etc/ssh/keyroll/host_key
AuthorizedKeysFile /etc/ssh/keyroll/authorized_keys
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
.
cat >/etc/systemd/system/keyroll-sshd.service <<.
[Service]
Type=notify
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -f /etc/ssh/keyroll/sshd_config
.
systemctl daemon-reload; systemctl start keyroll-sshd; cat /etc/ssh/keyroll/host_key.pub
"#;

/// Throw-away Debian hosts with systemd and a server of ssh on loopback, in containers of an engine of their own; they are
/// gone on drop or when this process dies.
pub struct SshHosts {
    engine: Engine,
    folder: TempDir,
    hosts: BTreeMap<String, Reached>,
}

/// How a host is reached, and with which key it is expected.
struct Reached {
    port: u16,
    public_key: String,
}

/// What a host is to be like.
pub struct SshHostWish<'a> {
    /// Its name, for ssh too.
    pub name: &'a str,
    /// What its user may do as root.
    pub sudo: Sudoers,
    /// A host before this one, whose machine id it has too.
    pub same_machine_as: Option<&'a str>,
    /// Nothing can be executed in its user's home.
    pub noexec_home: bool,
    /// How much fits into its user's home, KiB.
    pub home_kib: Option<u32>,
}

/// What a user may do as root without a password.
pub enum Sudoers {
    /// Nothing.
    None,
    /// Everything.
    All,
    /// These commands, as sudoers names them.
    Only(String),
}

impl SshHosts {
    /// Starts the engine and these hosts, which see these folders and files under the same paths.
    ///
    /// # Errors
    /// [`HostError::Missing`] where they cannot run at all.
    pub fn start(wishes: &[SshHostWish<'_>], mounts: &[&Path]) -> Result<Self, HostError> {
        if !(have("ssh") && have("ssh-keygen")) {
            return Err(HostError::Missing(
                "ssh is not installed (apt-get install openssh-client)".to_owned(),
            ));
        }
        let folder = tempfile::Builder::new().prefix("keyroll-ssh-").tempdir();
        let folder = folder.map_err(failed("make a folder"))?;
        let key = make_key(folder.path())?;
        let mut all = Self { engine: engine()?, folder, hosts: BTreeMap::new() };
        let mut ids = BTreeMap::new();
        for wish in wishes {
            let fresh = fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(failed("make an id"))?;
            let same = wish.same_machine_as.and_then(|other| ids.get(other).cloned());
            let id = same.unwrap_or_else(|| fresh.trim().replace('-', ""));
            all.run_host(wish, &id, mounts)?;
            ids.insert(wish.name, id);
        }
        for wish in wishes {
            await_host(&all.engine, wish.name)?;
            all.serve(wish, &key)?;
        }
        all.write_client()?;
        all.write_ssh()?;
        Ok(all)
    }

    /// Such hosts, or `None` with a line that says what is left out, where containers cannot run.
    ///
    /// # Panics
    /// If that is so although `CI=true`, or if they cannot be started.
    pub fn start_or_skip(left_out: &str, hosts: &[SshHostWish<'_>], mounts: &[&Path]) -> Option<Self> {
        or_skip(Self::start(hosts, mounts), "a host with ssh", left_out)
    }

    /// A folder for PATH whose `ssh` runs the real one with our configuration: ssh takes its own from the home that the
    /// system's list of users names, not from HOME.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// Runs a script of shell in a host, as root.
    ///
    /// # Panics
    /// If the engine cannot be asked.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn run(&self, host: &str, script: &str) -> Output {
        match self.engine.docker(&["exec", host, "sh", "-c", script]).output() {
            Ok(output) => output,
            Err(error) => panic!("could not run a script on {host}: {error}"),
        }
    }

    /// Makes a value in a host: a file with the line `<variable>=<value>`. The value is in no other place. It has a digit: a
    /// text without one could be taken for words.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn make_value(&self, host: &str, variable: &str, path: &str) {
        let script = format!(
            "umask 077; {{ printf {variable}=; tr -dc A-Za-z0-9 </dev/urandom | head -c 39; echo 7; }} >{path}"
        );
        self.must(host, "make a value", &script);
    }

    /// Gives a host's file to another one, under the same path. Its content goes through a pipe between two commands.
    ///
    /// # Panics
    /// If it cannot be read or written.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn copy(&self, from: &str, to: &str, path: &str) {
        let copied = || {
            let mut reader = self.engine.docker(&["exec", from, "cat", path]);
            let mut reader = reader.stdout(Stdio::piped()).spawn()?;
            let write = format!("umask 077; cat >{path}");
            let mut writer = self.engine.docker(&["exec", "-i", to, "sh", "-c", &write]);
            if let Some(content) = reader.stdout.take() {
                writer.stdin(content);
            }
            let written = writer.status();
            // Its end of the pipe is closed with it.
            drop(writer);
            Ok::<_, std::io::Error>(reader.wait()?.success() && written?.success())
        };
        match copied() {
            Ok(true) => {}
            Ok(false) => panic!("could not copy {path} from {from} to {to}"),
            Err(error) => panic!("could not copy {path} from {from} to {to}: {error}"),
        }
    }

    /// Starts a service of a host that has the variables of a file in its environment, and runs until it is stopped.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_worker(&self, host: &str, name: &str, value_file: &str) {
        let unit = format!(
            "[Service]\\nType=exec\\nEnvironmentFile={value_file}\\nExecStart=/bin/sleep infinity\\n"
        );
        let script = format!(
            "set -eu; printf '{unit}' >/etc/systemd/system/{name}.service; systemctl daemon-reload; systemctl start {name}"
        );
        self.must(host, "start a worker", &script);
    }

    /// From now on ssh reaches a host at another port of loopback: that of a relay, or one where nobody listens.
    ///
    /// # Panics
    /// If there is no such host.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn reach_through(&mut self, host: &str, port: u16) {
        match self.hosts.get_mut(host) {
            Some(reached) => reached.port = port,
            None => panic!("there is no host {host}"),
        }
        self.rewrite_client();
    }

    /// The port of loopback at which ssh reaches a host.
    ///
    /// # Panics
    /// If there is no such host.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn port(&self, host: &str) -> u16 {
        self.hosts.get(host).map_or_else(|| panic!("there is no host {host}"), |reached| reached.port)
    }

    /// Stops every process of a host where it is: its network takes connections, and nothing answers.
    ///
    /// # Panics
    /// If the engine does not do it.
    pub fn pause(&self, host: &str) {
        self.command(host, "pause");
    }

    /// Lets a host go on that was paused.
    ///
    /// # Panics
    /// If the engine does not do it.
    pub fn unpause(&self, host: &str) {
        self.command(host, "unpause");
    }

    /// Ends every process of a host at once, as a machine whose power is cut. It does not start again.
    ///
    /// # Panics
    /// If the engine does not do it.
    pub fn kill(&self, host: &str) {
        self.command(host, "kill");
    }

    /// Gives the engine a command about a host.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    fn command(&self, host: &str, word: &str) {
        let done = said("pause, go on with or end a host", self.engine.docker(&[word, host]).output());
        if let Err(error) = done {
            panic!("{host}: {error}");
        }
    }

    /// Gives a host another key than the one that ssh expects.
    ///
    /// # Panics
    /// If the server of ssh does not start again.
    pub fn change_host_key(&self, host: &str) {
        let script = "set -eu; cd /etc/ssh/keyroll; rm host_key host_key.pub
            ssh-keygen -q -t ed25519 -N '' -f host_key; systemctl restart keyroll-sshd";
        self.must(host, "change the key of a host", script);
    }

    /// Lets ssh forget a host's key.
    ///
    /// # Panics
    /// If ssh's configuration cannot be written.
    pub fn forget_host_key(&mut self, host: &str) {
        if let Some(reached) = self.hosts.get_mut(host) {
            reached.public_key.clear();
        }
        self.rewrite_client();
    }

    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    fn must(&self, host: &str, step: &str, script: &str) {
        let output = self.run(host, script);
        if !output.status.success() {
            panic!("could not {step} on {host}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }

    fn run_host(&self, wish: &SshHostWish<'_>, id: &str, mounts: &[&Path]) -> Result<(), HostError> {
        let mut command = host(&self.engine, wish.name, mounts);
        // sudo looks up the name of its own host.
        command.args(["--add-host", &format!("{}:127.0.0.1", wish.name)]);
        if wish.noexec_home || wish.home_kib.is_some() {
            let exec = if wish.noexec_home { "noexec" } else { "exec" };
            let size = wish.home_kib.map(|kib| format!(",size={kib}k")).unwrap_or_default();
            let home = format!("/home/{USER}:{exec},uid=1000,gid=1000,mode=700{size}");
            command.args(["--tmpfs", &home]);
        }
        said("start a host", command.args([IMAGE, "/sbin/host-init", id]).output())
    }

    /// Starts a host's server of ssh.
    fn serve(&mut self, wish: &SshHostWish<'_>, key: &str) -> Result<(), HostError> {
        let step = "start a host's server of ssh";
        let port = free_port().map_err(failed(step))?;
        let sudoers = match &wish.sudo {
            Sudoers::None => String::new(),
            Sudoers::All => format!("{USER} ALL=(ALL) NOPASSWD: ALL"),
            Sudoers::Only(commands) => format!("{USER} ALL=(root) NOPASSWD: {commands}"),
        };
        let mut command = self.engine.docker(&["exec", wish.name, "sh", "-c", SSHD, "sh"]);
        let output = command.arg(port.to_string()).args([wish.name, key, &sudoers]).output();
        let output = output.map_err(failed(step))?;
        let public_key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        said(step, Ok(output))?;
        self.hosts.insert(wish.name.to_owned(), Reached { port, public_key });
        Ok(())
    }

    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    fn rewrite_client(&self) {
        if let Err(error) = self.write_client() {
            panic!("{error}");
        }
    }

    /// Writes the `ssh` that reads our configuration.
    fn write_ssh(&self) -> Result<(), HostError> {
        let step = "write our ssh";
        let found = Command::new("which").arg("ssh").output().map_err(failed(step))?;
        let real = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        fs::create_dir(self.path()).map_err(failed(step))?;
        let config = self.folder.path().join("ssh_config");
        let text = format!("#!/bin/sh\nexec {real} -F {} \"$@\"\n", config.display());
        write_program(&self.path().join("ssh"), text);
        Ok(())
    }

    /// Writes ssh's configuration and the keys of hosts that it knows.
    fn write_client(&self) -> Result<(), HostError> {
        let step = "write the configuration of ssh";
        let folder = self.folder.path();
        let (mut config, mut known) = (String::new(), String::new());
        for (name, Reached { port, public_key }) in &self.hosts {
            config += &format!("Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {name}\n");
            config += &format!("  User {USER}\n");
            if !public_key.is_empty() {
                known += &format!("{name} {public_key}\n");
            }
        }
        let place = |name: &str| folder.join(name).display().to_string();
        config += &format!("Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n", place("key"));
        config +=
            &format!("  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n", place("known_hosts"));
        config += "  StrictHostKeyChecking yes\n";
        fs::write(folder.join("ssh_config"), config).map_err(failed(step))?;
        fs::write(folder.join("known_hosts"), known).map_err(failed(step))?;
        Ok(())
    }
}

/// Makes the key that every host lets in; its public part.
fn make_key(folder: &Path) -> Result<String, HostError> {
    let file = folder.join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "keyroll-test", "-f"]).arg(&file);
    said("make a key for ssh", command.stdin(Stdio::null()).output())?;
    let public = fs::read_to_string(file.with_extension("pub")).map_err(failed("read a key for ssh"))?;
    Ok(public.trim().to_owned())
}
