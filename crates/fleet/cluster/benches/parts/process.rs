//! The API server of a benchmark as a process of its own, and what the kernel says of the memory of this one.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use keyroll_kube::Address;

use crate::objects::NAMESPACE;

/// The API server. It ends with its input.
pub(crate) struct Server {
    child: Child,
    told: BufReader<ChildStdout>,
    /// Where it listens.
    pub(crate) address: String,
    folder: tempfile::TempDir,
}

impl Server {
    /// This program with these words. It reads the input, and says its address.
    pub(crate) fn start(words: &[&str], input: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        child.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let address = line(&mut told);
        Self { child, told, address, folder: tempfile::tempdir().unwrap() }
    }

    /// The cluster that it is.
    pub(crate) fn at(&self) -> Address {
        let path = self.folder.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u, namespace: {NAMESPACE}}}}}]\n",
            self.address,
        );
        fs::write(&path, text).unwrap();
        Address { kubeconfig: Some(path), ..Address::default() }
    }

    /// What it says of the requests that it answered.
    pub(crate) fn count(&mut self) -> String {
        self.child.stdin.as_mut().unwrap().write_all(b"count\n").unwrap();
        line(&mut self.told)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// The next line that the server says.
fn line(told: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// What the kernel says of this process's memory, megabytes.
pub(crate) fn memory_mb(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    // In units of 1,024 bytes. Source: proc(5).
    let kib: f64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kib * 1.024e-3
}

pub(crate) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
