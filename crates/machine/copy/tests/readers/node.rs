//! Node's readers of env files, and curl's of `.netrc`.

use std::fs;
use std::process::Command;

use super::places::{netrc, node_with, seen};
use super::{compare, left_out, one_file, run, written};

/// Prints every variable of the file `env` by a reader.
fn ask(reader: &str, prefix: &str, node: &mut Command) {
    let folder = tempfile::tempdir().unwrap();
    let all = written();
    let (file, expected) = one_file(all.iter(), prefix);
    fs::write(folder.path().join("env"), file).unwrap();
    match run(node.current_dir(folder.path()), b"") {
        Some(output) => compare(reader, &expected, &seen(&output)),
        None => left_out(reader, "not installed"),
    }
}

#[test]
fn dotenv_of_npm_reads_what_was_written() {
    let Some(modules) = node_with("dotenv") else {
        return left_out("dotenv of npm", "it cannot be installed");
    };
    let script = "const all = require('dotenv').parse(require('fs').readFileSync('env'));
        for (const [name, value] of Object.entries(all)) console.log(name, Buffer.from(value, 'utf8').toString('hex'))";
    for prefix in ["", "export "] {
        ask("dotenv of npm", prefix, Command::new("node").args(["-e", script]).env("NODE_PATH", &modules));
    }
}

/// `--env-file` came with Node 20.6, values over several lines with 20.12.
#[test]
fn node_reads_what_was_written() {
    let version = run(Command::new("node").args(["-p", "process.versions.node"]), b"");
    let version = version.map(|text| String::from_utf8(text).unwrap());
    let mut numbers =
        version.as_deref().unwrap_or("0").trim().split('.').map(|part| part.parse::<u32>().unwrap());
    if (numbers.next(), numbers.next()) < (Some(20), Some(12)) {
        eprintln!("left out: node --env-file (node is not there, or older than 20.12)");
        return;
    }
    let script = "for (const [name, value] of Object.entries(process.env))
        if (/^K\\d+$/.test(name)) console.log(name, Buffer.from(value, 'utf8').toString('hex'))";
    for prefix in ["", "export "] {
        ask("node --env-file", prefix, Command::new("node").args(["--env-file=env", "-e", script]));
    }
}

/// curl sends each machine the login that the file has for it.
#[test]
fn curl_reads_what_was_written_into_netrc() {
    let script = "const http = require('http'), fs = require('fs'), { spawn } = require('child_process');
        const server = http.createServer((asked, answer) => {
            const login = Buffer.from((asked.headers.authorization || '').replace(/^Basic /, ''), 'base64');
            console.log(asked.headers.host.toUpperCase(), login.subarray(login.indexOf(':') + 1).toString('hex'));
            answer.end();
        });
        server.listen(0, '127.0.0.1', () => {
            const urls = [...Array(+process.argv[1]).keys()].map(n => `url = \"http://k${n}/\"\\noutput = /dev/null`);
            fs.writeFileSync('urls', urls.join('\\n'));
            const to = `::127.0.0.1:${server.address().port}`;
            const curl = spawn('curl', ['-sS', '--noproxy', '*', '--netrc-file', 'copy', '--connect-to', to, '-K', 'urls']);
            curl.stderr.pipe(process.stderr);
            curl.on('error', () => process.exit(3));
            curl.on('exit', code => process.exit(code));
        });";
    if run(Command::new("curl").arg("--version"), b"").is_none() {
        return left_out("curl", "not installed");
    }
    let written = netrc();
    let count = written.expected.len().to_string();
    super::places::ask("curl", Command::new("node").args(["-e", script, &count]), &written);
}
