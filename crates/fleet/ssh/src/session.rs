//! One connection while it is made: ssh, and the boot script at its other end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use keyroll_link::{HostHello, Link, LinkError};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::command_line::command_line;
use crate::error::ReachError;
use crate::marker::{self, Heard, Marker};
use crate::program::Program;
use crate::said::Said;
use crate::verb::Verb;

/// Asks nothing, waits 15 s for each host on the way, notices a dead connection within 15 s. Nothing of the operator's
/// configuration for ssh that would let the host reach back, or replace the command, is followed.
const OPTIONS: [&str; 15] = [
    "-T",
    "-a",
    "-x",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=15",
    "-o",
    "ServerAliveInterval=5",
    "-o",
    "ServerAliveCountMax=3",
    "-o",
    "ClearAllForwardings=yes",
    "-o",
    "RemoteCommand=none",
];
/// How long the end of ssh is awaited, once it was asked to end or has closed its output.
const END_WAIT: Duration = Duration::from_secs(5);
/// How long the first frame of `keyroll-host` is awaited.
const HELLO_WAIT: Duration = Duration::from_secs(30);
/// How much of the program is read at once, bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Its name in the configuration, for messages.
    pub name: String,
    /// As whom; else as ssh's own configuration says.
    pub user: Option<String>,
    /// Its address, or its name in ssh's configuration.
    pub host: String,
    /// Its port; else as ssh's own configuration says.
    pub port: Option<u16>,
    /// Whether `keyroll-host` is to run as root, by sudo without a password. [`Verb::Reach`] never does.
    pub sudo: bool,
    /// An installed `keyroll-host`, which is used as it is; else one is sent.
    pub program: Option<String>,
    /// What `keyroll-host` does there.
    pub verb: Verb,
}

/// Which ssh is used, and how long it is awaited.
pub(crate) struct Ssh {
    pub(crate) program: PathBuf,
    /// From its start to the first line of the boot script.
    pub(crate) answer_wait: Duration,
    /// While `keyroll-host` is sent.
    pub(crate) send_wait: Duration,
}

impl Ssh {
    /// The operator's own, with their configuration and their agent.
    pub(crate) fn installed() -> Self {
        Self {
            program: PathBuf::from("ssh"),
            answer_wait: Duration::from_secs(60),
            send_wait: Duration::from_secs(600),
        }
    }
}

pub(crate) struct Session<'a> {
    ssh: &'a Ssh,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    said: Said,
}

impl<'a> Session<'a> {
    #[expect(
        clippy::disallowed_methods,
        reason = "ssh needs the operator's own environment: it has their agent"
    )]
    pub(crate) fn start(ssh: &'a Ssh, to: &Reach, programs: &[Program]) -> Result<Self, ReachError> {
        let mut command = Command::new(&ssh.program);
        command.args(OPTIONS);
        if let Some(user) = &to.user {
            command.arg("-l").arg(user);
        }
        if let Some(port) = to.port {
            command.arg("-p").arg(port.to_string());
        }
        // ssh takes an IPv6 address without its brackets.
        command.arg("--").arg(to.host.trim_matches(['[', ']']));
        command.arg(command_line(programs, to.sudo, to.program.as_deref(), to.verb));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| ReachError::NoSsh(error.to_string()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(ReachError::NoSsh("it has no pipes".to_owned()));
        };
        Ok(Self { ssh, child, input, output: BufReader::new(output), said: Said::by(errors) })
    }

    /// Awaits the first line of the boot script.
    pub(crate) async fn begun(mut self) -> Result<(Self, Marker), ReachError> {
        let wait = self.ssh.answer_wait;
        match timeout(wait, marker::next(&mut self.output)).await {
            Ok(heard) => self.understood(heard).await,
            Err(_) => Err(ReachError::Late { seconds: wait.as_secs() }),
        }
    }

    /// Sends the program that the boot script asks for, and awaits what it says then.
    pub(crate) async fn send(mut self, program: &Program) -> Result<(Self, Marker), ReachError> {
        let wait = self.ssh.send_wait;
        match timeout(wait, exchange(&mut self.input, &mut self.output, program)).await {
            Ok(heard) => self.understood(heard?).await,
            Err(_) => Err(ReachError::Late { seconds: wait.as_secs() }),
        }
    }

    /// The program runs: from here on there are frames.
    pub(crate) async fn open(self, key: &[u8; 32]) -> Result<(Link, HostHello, Running), ReachError> {
        let Self { ssh: _, child, input, output, said } = self;
        match Link::open(output, input, key, HELLO_WAIT).await {
            Ok((link, hello)) => Ok((link, hello, Running { child, said })),
            // The host's shell or sudo may have said why.
            Err(LinkError::Cut(why)) => {
                let words = said.last().await;
                let why = if words.is_empty() { why } else { format!("{why}; {words}") };
                Err(ReachError::Link(LinkError::Cut(why)))
            }
            Err(error) => Err(ReachError::Link(error)),
        }
    }

    async fn understood(mut self, heard: io::Result<Heard>) -> Result<(Self, Marker), ReachError> {
        match heard {
            Ok(Heard::Marker(marker)) => Ok((self, marker)),
            Ok(Heard::Noise(line)) => Err(ReachError::Noise(line)),
            Ok(Heard::End(line)) => {
                let ended = timeout(END_WAIT, self.child.wait()).await;
                let code = ended.ok().and_then(Result::ok).and_then(|status| status.code());
                let said = self.said.last().await;
                // Without a word of ssh's own, the last one of the host's shell is the reason.
                Err(ReachError::Ssh { said: if said.is_empty() { line } else { said }, code })
            }
            Err(error) => Err(ReachError::Noise(error.to_string())),
        }
    }
}

/// ssh, while frames go through it; it is ended on drop.
pub(crate) struct Running {
    child: Child,
    said: Said,
}

impl Running {
    /// Awaits its end, once its input is closed. What it said last, if it said anything.
    pub(crate) async fn end(mut self) -> Option<String> {
        if timeout(END_WAIT, self.child.wait()).await.is_err() {
            // It may have ended at this moment.
            let _ = self.child.kill().await;
        }
        Some(self.said.last().await).filter(|said| !said.is_empty())
    }

    #[cfg(test)]
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Sends the program, and hears the answer also in the middle of it: a host without space says so at once.
async fn exchange(
    input: &mut ChildStdin,
    output: &mut BufReader<ChildStdout>,
    program: &Program,
) -> Result<io::Result<Heard>, ReachError> {
    let heard = marker::next(output);
    tokio::pin!(heard);
    tokio::select! {
        heard = &mut heard => return Ok(heard),
        given = give(input, program) => given?,
    }
    Ok(heard.await)
}

/// Gives the program. A host that does not take it is no error here: it says why.
async fn give(input: &mut ChildStdin, program: &Program) -> Result<(), ReachError> {
    // Read when it was listed, and gone or shortened since: there is none any more.
    let gone = || ReachError::NoProgramFor(program.machine.to_owned());
    let mut file = File::open(&program.path).map_err(|_| gone())?.take(program.bytes);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = program.bytes;
    while left > 0 {
        // The file was read whole a moment ago: this does not wait for a disk.
        let read = file.read(&mut chunk).map_err(|_| gone())?;
        let part = chunk.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Err(gone());
        }
        if input.write_all(part).await.is_err() {
            return Ok(());
        }
        left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
    }
    // Where the host has gone, what it said is read next.
    let _ = input.flush().await;
    Ok(())
}
