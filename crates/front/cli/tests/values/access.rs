//! `keyroll get --token-url`: a short-lived token instead of the value.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_testkit::command::wait;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{TRUSTED, Values, python};

/// A token server. It overwrites what it read: keyroll searches the memory of this process too.
struct Tokens {
    port: u16,
    heard: thread::JoinHandle<Vec<String>>,
}

impl Tokens {
    /// Answers so many requests: those with this secret, or all of them, with a token.
    fn start(secret: Option<&str>, requests: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wanted = secret.map(|secret| format!("basic {}", STANDARD.encode(format!("app:{secret}"))));
        let heard = thread::spawn(move || {
            let one = |at| {
                let mut stream = listener.accept().unwrap().0;
                let (head, body) = read(&mut stream);
                let sent = field(&head, "authorization:");
                let (status, answer) = match wanted.as_ref().is_none_or(|it| it.eq_ignore_ascii_case(sent)) {
                    true => (
                        "200 OK",
                        format!(r#"{{"access_token":"token-{at}","token_type":"Bearer","expires_in":90}}"#),
                    ),
                    false => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned()),
                };
                let length = answer.len();
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{answer}").unwrap();
                format!("{} {}", head.lines().next().unwrap(), body.as_str())
            };
            (0..requests).map(one).collect()
        });
        Self { port, heard }
    }
}

/// The head and the body of a request.
fn read(stream: &mut TcpStream) -> (Zeroizing<String>, Zeroizing<String>) {
    let mut all = Zeroizing::new(vec![0; 16 * 1024]);
    let mut length = 0;
    loop {
        length += stream.read(&mut all[length..]).unwrap();
        let text = std::str::from_utf8(&all[..length]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if body.len() == field(head, "content-length:").parse::<usize>().unwrap() {
            return (Zeroizing::new(head.to_owned()), Zeroizing::new(body.to_owned()));
        }
    }
}

fn field<'h>(head: &'h str, name: &str) -> &'h str {
    let of = |line: &&str| line.get(..name.len()).is_some_and(|its| its.eq_ignore_ascii_case(name));
    head.lines().find(of).map(|line| line[name.len()..].trim()).unwrap()
}

#[test]
fn a_program_gets_a_short_lived_token_and_never_the_value() {
    let values = Values::start(TRUSTED, false);
    let value = values.got();
    let tokens = Tokens::start(Some(&value), 3);
    let url = format!("http://127.0.0.1:{}/oauth/token", tokens.port);
    let get = |words: &[&str]| {
        let code = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)";
        let output = Command::new(python())
            .args(["-c", code, env!("CARGO_BIN_EXE_keyroll"), "get", "ring", "--token-url"])
            .args(words)
            .env_clear()
            .env("KEYROLL_SOCKET", values.served.scene.path("values.sock"))
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(!out.contains(value.as_str()) && !err.contains(value.as_str()));
        (output.status.code(), out, err)
    };
    let (code, out, err) = get(&[&url, "--client-id", "app", "--scope", "a b"]);
    assert_eq!((code, out.as_str()), (Some(0), "token-0\n"), "{err}");
    let (_, out, err) = get(&[&url, "--client-id", "app", "--format", "kube"]);
    let kube: Value = serde_json::from_str(&out).expect(&err);
    assert_eq!(kube["status"]["token"], "token-1");
    let until: jiff::Timestamp = kube["status"]["expirationTimestamp"].as_str().unwrap().parse().unwrap();
    let left_s = until.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((20..=45).contains(&left_s), "half of its life: {until}");
    let (code, out, err) = get(&[&url, "--client-id", "other"]);
    assert!(code == Some(1) && out.is_empty() && err.contains("with 401: invalid_client"), "{code:?} {err}");
    let heard = tokens.heard.join().unwrap();
    assert_eq!(
        heard[0], "POST /oauth/token HTTP/1.1 grant_type=client_credentials&scope=a%20b",
        "nothing of the client is in the address or the form"
    );
    for (words, part) in [
        (&[url.as_str()][..], "it has no client_id"),
        (&["http://192.0.2.1/token"], "without encryption"),
        (&[&url, "--format", "aws"], "no access key of AWS"),
    ] {
        let (code, out, err) = get(words);
        assert!(code != Some(0) && out.is_empty() && err.contains(part), "{words:?}: {err}");
    }
}

/// A process that lives on and has only a token holds nothing up.
#[test]
fn a_program_that_exchanged_the_value_lives_on_and_the_old_key_ends() {
    let mut values = Values::start(TRUSTED, false);
    let tokens = Tokens::start(None, 1);
    let (ready, lifeline) = (values.served.scene.path("run/x.ready"), std::process::id().to_string());
    let code = "import os, subprocess, sys, time\n\
                subprocess.run(sys.argv[3:], check=True, stdout=subprocess.DEVNULL)\n\
                open(sys.argv[1], 'w').close()\n\
                while os.path.exists('/proc/' + sys.argv[2]): time.sleep(0.1)";
    let child = Command::new(python())
        .args(["-c", code, &ready.display().to_string(), &lifeline])
        .args([env!("CARGO_BIN_EXE_keyroll"), "get", "ring", "--client-id", "app", "--token-url"])
        .arg(format!("http://127.0.0.1:{}/", tokens.port))
        .env_clear()
        .env("KEYROLL_SOCKET", values.served.scene.path("values.sock"))
        .spawn()
        .unwrap();
    values.agents.push(child);
    wait("the program has its token", || ready.exists());
    let scene = &values.served.scene;
    scene.apply().exits(0).ended("done");
    assert!(scene.is_ended(&scene.old) && values.agents[0].try_wait().unwrap().is_none());
    tokens.heard.join().unwrap();
}
