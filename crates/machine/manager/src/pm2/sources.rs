//! The environments of pm2's apps: those that its daemon has, and those that a boot would restore.
//!
//! The daemon is asked at its own socket. The command `pm2` would write into its folder, and start a daemon where none
//! runs.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_observe::{Listing, Process, ProcessId, read_small, within};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use rustix::net::sockopt::socket_peercred;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::compose::drift::Hidden;
use crate::drift::Variables;

/// How long the daemon may take for its answer, and between two parts of it.
const ASK_WAIT: Duration = Duration::from_secs(10);
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The longest answer, and the longest dump, bytes: hundreds of apps with their whole environments.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The name under which its daemon runs. Source: pm2 7.0.4, lib/Daemon.js.
const DAEMON: &[u8] = b"God Daemon (";

/// A pm2 that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pm2Daemon {
    /// Its daemon.
    pub process: ProcessId,
    /// Its folder.
    pub home: PathBuf,
}

/// An app, or one instance of several.
pub struct Pm2App {
    /// Its name.
    pub name: String,
    /// Its process; `None` = it does not run.
    pub pid: Option<u32>,
    /// The folder that it is started in.
    pub folder: PathBuf,
    /// What it is started with.
    pub variables: Variables,
}

impl Pm2Daemon {
    /// The daemons among these processes.
    pub fn all(listing: &Listing) -> Vec<Self> {
        listing.seen.iter().filter_map(Self::of).collect()
    }

    /// `PM2 v7.0.4: God Daemon (/root/.pm2)`
    fn of(process: &Process) -> Option<Self> {
        let title = process.args.program()?.as_os_str().as_encoded_bytes();
        let at = title.windows(DAEMON.len()).position(|window| window == DAEMON)?;
        let home = title.get(at + DAEMON.len()..)?;
        let home = home.get(..home.iter().rposition(|byte| *byte == b')')?)?;
        let home = PathBuf::from(String::from_utf8_lossy(home).into_owned());
        home.is_absolute().then_some(Self { process: process.id, home })
    }

    /// The apps as the daemon has them: what `pm2 restart NAME` starts.
    ///
    /// # Errors
    /// `K0407`: it does not answer, or in another form.
    pub fn apps(&self) -> Result<Vec<Pm2App>, Failure> {
        // A socket can block for ever, and a daemon may send its answer one byte at a time.
        let daemon = self.clone();
        let asked = within(ASK_WAIT, move || daemon.ask());
        let answer = asked.map_err(|_| self.failed().because("it does not answer"))?;
        let answer = answer.map_err(|error| self.failed().because(error))?;
        apps_in(&answer).ok_or_else(|| self.failed().because("its answer has another form"))
    }

    /// The lists that a boot starts from: `dump.pm2` and the one before it, where they are.
    pub fn dumps(&self) -> [PathBuf; 2] {
        ["dump.pm2", "dump.pm2.bak"].map(|name| self.home.join(name))
    }

    fn failed(&self) -> Failure {
        Failure::new(
            Class::Retryable,
            Code::ServiceUnusable,
            format!("ask the daemon of pm2 in {}", self.home.display()),
        )
        .help("`pm2 ls` as its user shows whether it answers")
    }

    /// One message to the daemon, and its answer. Source: pm2 7.0.4, `pm2-axon-rpc` over `amp`: a byte with the version
    /// and the count of parts, each with its length; a part is `j:` and JSON, or `s:` and a text.
    #[expect(clippy::disallowed_methods, reason = "the socket of pm2, on this machine")]
    fn ask(&self) -> std::io::Result<SecretBytes> {
        let mut socket = UnixStream::connect(self.home.join("rpc.sock"))?;
        // A daemon in a container has its folder there: on this machine another daemon may answer under this name.
        let peer = socket_peercred(&socket)?;
        if u32::try_from(peer.pid.as_raw_nonzero().get()) != Ok(self.process.pid) {
            return Err(std::io::Error::other("another process answers there"));
        }
        socket.set_read_timeout(Some(ANSWER_WAIT))?;
        socket.set_write_timeout(Some(ANSWER_WAIT))?;
        let question = br#"j:{"type":"call","method":"getMonitorData","args":[{}]}"#;
        let mut message = vec![0x12];
        for part in [&question[..], b"s:keyroll:0"] {
            message.extend(u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
            message.extend(part);
        }
        socket.write_all(&message)?;
        let mut head = [0; 5];
        socket.read_exact(&mut head)?;
        let [_, a, b, c, d] = head;
        let long = u32::from_be_bytes([a, b, c, d]);
        let long = usize::try_from(long).unwrap_or(usize::MAX);
        if long > ANSWER_BYTES_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; long];
        let read = socket.read_exact(&mut answer);
        let answer = SecretBytes::new(answer);
        read.map(|()| answer)
    }
}

/// The apps of a dump, including repeated ones.
///
/// # Errors
/// It cannot be read, or is not a dump.
pub fn pm2_dump(path: &Path) -> std::io::Result<Vec<Pm2App>> {
    let dump = read_small(path, ANSWER_BYTES_MAX)?;
    let entries: Vec<BTreeMap<String, &RawValue>> = serde_json::from_slice(dump.expose())?;
    Ok(entries.into_iter().filter_map(|entry| app(None, &entry)).collect())
}

fn apps_in(answer: &SecretBytes) -> Option<Vec<Pm2App>> {
    #[derive(Deserialize)]
    struct ProcessList<'a> {
        #[serde(borrow)]
        args: Vec<Vec<Listed<'a>>>,
    }
    #[derive(Deserialize)]
    struct Listed<'a> {
        pid: Option<u32>,
        #[serde(borrow)]
        pm2_env: BTreeMap<String, &'a RawValue>,
    }
    let answer: ProcessList<'_> = serde_json::from_slice(answer.expose().strip_prefix(b"j:")?).ok()?;
    let list = answer.args.into_iter().next()?;
    Some(list.into_iter().filter_map(|one| app(one.pid.filter(|pid| *pid > 0), &one.pm2_env)).collect())
}

/// An app is started with every text entry of its own, overridden by those of `env`. Source: pm2 7.0.4, lib/God.js,
/// `executeApp`.
fn app(pid: Option<u32>, own: &BTreeMap<String, &RawValue>) -> Option<Pm2App> {
    let text = |name: &str| serde_json::from_str::<String>(own.get(name)?.get()).ok();
    let texts = |all: &BTreeMap<String, &RawValue>| -> Variables {
        let read = all.iter().filter_map(|(name, raw)| {
            let Hidden(value) = serde_json::from_str(raw.get()).ok()?;
            Some((name.clone(), value))
        });
        read.collect()
    };
    let mut variables = texts(own);
    // pm2's own number of the instance.
    variables.remove("unique_id");
    let over: Option<BTreeMap<String, &RawValue>> =
        own.get("env").and_then(|env| serde_json::from_str(env.get()).ok());
    variables.extend(texts(&over.unwrap_or_default()));
    let folder = PathBuf::from(text("pm_cwd").unwrap_or_default());
    Some(Pm2App { name: text("name")?, pid, folder, variables })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_daemon_is_read_as_it_starts_its_apps() {
        let text = concat!(
            r#"j:{"args":[[{"pid":7,"name":"bot","pm2_env":{"name":"bot","pm_cwd":"/srv/bot","A":"flat","B":"flat","x":1,"#,
            r#""env":{"B":"own","C":2,"D":"\u0041"}}},{"pid":0,"name":"off","pm2_env":{"name":"off"}}]]}"#
        );
        let apps = apps_in(&SecretBytes::new(text.as_bytes().to_vec())).unwrap();
        let [bot, off] = apps.as_slice() else { panic!("two") };
        let of = |name: &str| String::from_utf8_lossy(bot.variables[name].expose()).into_owned();
        assert_eq!((of("A"), of("B"), of("D")), ("flat".into(), "own".into(), "A".into()));
        assert_eq!((bot.pid, bot.folder.as_path(), off.pid), (Some(7), Path::new("/srv/bot"), None));
        assert!(apps_in(&SecretBytes::new(br#"j:{"error":"x"}"#.to_vec())).is_none());
    }

    /// A user who may write into the folder of a daemon that has ended could answer in its place.
    #[test]
    fn only_the_daemon_itself_is_listened_to() {
        use std::os::unix::net::UnixListener;
        let home = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(home.path().join("rpc.sock")).unwrap();
        let text = br#"j:{"args":[[{"pid":7,"name":"bot","pm2_env":{"name":"bot"}}]]}"#;
        let answers = std::thread::spawn(move || {
            for socket in listener.incoming().take(2) {
                let mut socket = socket.unwrap();
                let mut question = [0; 5];
                // A client that asks nothing closes at once.
                if socket.read_exact(&mut question).is_ok() {
                    let long = u32::try_from(text.len()).unwrap().to_be_bytes();
                    socket.write_all(&[&[0x11], long.as_slice(), text].concat()).unwrap();
                }
            }
        });
        let own = keyroll_observe::process(std::process::id()).unwrap().id;
        let daemon = |process| Pm2Daemon { process, home: home.path().to_owned() };
        let apps = daemon(own).apps().unwrap();
        assert_eq!(apps.first().map(|app| app.name.as_str()), Some("bot"));
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = keyroll_observe::process(other.id()).unwrap().id;
        let refused = daemon(process).apps().map(drop).unwrap_err();
        let _ = other.kill();
        let _ = other.wait();
        answers.join().unwrap();
        assert!(refused.source.unwrap().to_string().contains("another process answers there"));
    }
}
