//! Notices by mail: to a real server, encrypted and not, and to servers that break the conversation.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{ANSWER, House, answered, refuses};

/// It must be in no output.
pub const PASSWORD: &str = "Pa55:OfTheLogin";

/// aiosmtpd; dropping it ends it.
struct Mailbox {
    child: Child,
    port: u16,
    mails: PathBuf,
}

impl Mailbox {
    fn start(house: &House, mode: &str, login: bool) -> Self {
        let mails = house.home.path().join(format!("{mode}.mails"));
        let script = house.home.path().join("mailbox.py");
        fs::write(&script, include_str!("mailbox.py")).unwrap();
        fs::write(&mails, "").unwrap();
        let (certificate, key) = if mode == "plain" { ("-", "-") } else { ("server.pem", "server.key") };
        let login = if login { format!("ada:{PASSWORD}") } else { "-".to_owned() };
        let mut child = Command::new(python().unwrap())
            .arg(script)
            .args([mode, certificate, key, &login])
            .arg(&mails)
            .current_dir(house.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("the mail server did not start: {line}"));
        Self { child, port, mails }
    }

    fn mails(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.mails).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python that has aiosmtpd. Debian's own does, if its package is installed.
/// The port of a server, and the commands that it heard.
type Heard = (u16, Arc<Mutex<Vec<String>>>);

fn python() -> Option<&'static str> {
    let has = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import aiosmtpd"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ["/usr/bin/python3", "python3"].into_iter().find(|python| has(python))
}

fn or_skip(what: &str) -> bool {
    let there = python().is_some();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "{what} needs aiosmtpd here");
    if !there {
        eprintln!("left out: {what} (no aiosmtpd)");
    }
    there
}

fn openssl(house: &House, words: &[&str]) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-days",
            "1",
        ])
        .args(words)
        .current_dir(house.home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A root, a certificate of it for `localhost`, and another root.
fn certificates(house: &House) {
    let authority = ["-addext", "basicConstraints=critical,CA:TRUE"];
    for name in ["root", "foreign"] {
        let (pem, key) = (format!("{name}.pem"), format!("{name}.key"));
        let subject = ["-subj", "/CN=a root of this test", "-out", &pem, "-keyout", &key];
        openssl(house, &[&subject[..], &authority].concat());
    }
    let subject = ["-subj", "/CN=a server of this test", "-out", "server.pem", "-keyout", "server.key"];
    let signed = ["-CA", "root.pem", "-CAkey", "root.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    let name = ["-addext", "subjectAltName=DNS:localhost"];
    openssl(house, &[&subject[..], &signed, &name].concat());
}

fn table(name: &str, smtp: &str, to: &[&str], login: bool) -> String {
    let login = if login { "login = \"file:./smtp.login\"\n" } else { "" };
    format!(
        "[server.notices.{name}]\nsmtp = \"{smtp}\"\nfrom = \"keyroll@example.org\"\nto = {}\n{login}",
        json!(to)
    )
}

/// A house whose recipients are these mail servers.
fn rewrite(house: &House, tables: &str) {
    house.put(
        "keyroll.toml",
        &format!(
            "version = 1\n[server]\nlisten = \"127.0.0.1:0\"\n[server.emergency]\n\
             admin_token = \"file:./admin-token\"\n{tables}"
        ),
    );
}

#[test]
fn a_mail_arrives_encrypted_and_with_its_login() {
    if !or_skip("notices by mail") {
        return;
    }
    let mut house = House::new("");
    certificates(&house);
    house.roots = Some("root.pem");
    house.put("smtp.login", &format!("ada:{PASSWORD}\n"));
    let to = ["ops@example.org", "ada@example.org"];
    let boxes = ["plain", "starttls", "smtps"].map(|mode| Mailbox::start(&house, mode, mode != "plain"));
    let [plain, starttls, smtps] = &boxes;
    rewrite(
        &house,
        &[
            table("plain", &format!("smtp://127.0.0.1:{}", plain.port), &to, false),
            table("starttls", &format!("smtp+starttls://localhost:{}", starttls.port), &to, true),
            table("smtps", &format!("smtps://localhost:{}", smtps.port), &to, true),
        ]
        .concat(),
    );
    let ran = house.test(&[]);
    ran.exits(0);
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    for (one, protected) in [(plain, false), (starttls, true), (smtps, true)] {
        let mails = one.mails();
        assert_eq!(mails.len(), 1, "{}", ran.text);
        let mail = &mails[0];
        assert_eq!((&mail["from"], &mail["to"]), (&json!("keyroll@example.org"), &json!(to)), "{mail}");
        assert_eq!((&mail["encrypted"], &mail["login"]), (&json!(protected), &json!(protected)), "{mail}");
        let text =
            String::from_utf8(BASE64_STANDARD.decode(mail["text"].as_str().unwrap()).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            format!("Subject: [keyroll] test on {host}"),
            "From: keyroll@example.org".to_owned(),
            "To: ops@example.org, ada@example.org".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
            "MIME-Version: 1.0".to_owned(),
        ] {
            assert!(head.split("\r\n").any(|found| found == line), "{line}: {head}");
        }
        let id = head.split("\r\n").find(|line| line.starts_with("Message-ID: <msg_")).unwrap();
        assert!(id.ends_with('>') && id.contains('@'), "{id}");
        assert!(head.contains("\r\nDate: ") || head.starts_with("Date: "), "{head}");
        assert!(body.starts_with("this is a test of keyroll's notices") && body.contains("keyroll status"));
        assert!(text.is_ascii() && !text.contains(PASSWORD));
    }
}

/// Nobody between, and nobody else with a certificate, gets a mail or a login.
#[test]
fn a_server_without_a_valid_certificate_gets_nothing() {
    if !or_skip("the certificate of a mail server") {
        return;
    }
    let mut house = House::new("");
    certificates(&house);
    house.put("smtp.login", &format!("ada:{PASSWORD}\n"));
    let boxes = ["starttls", "smtps"].map(|mode| Mailbox::start(&house, mode, true));
    let tables = |host: &str| {
        let [starttls, smtps] = &boxes;
        let hook = "[server.notices.hook]\nwebhook = \"file:./hook.url\"\n";
        [
            table("starttls", &format!("smtp+starttls://{host}:{}", starttls.port), &["a@example.org"], true),
            table("smtps", &format!("smtps://{host}:{}", smtps.port), &["a@example.org"], true),
            hook.to_owned(),
        ]
        .concat()
    };
    let hook = |host: &str| format!("https://{host}:{}/{}\n", boxes[1].port, super::CANARY);
    for (roots, host, words) in [
        ("foreign.pem", "localhost", "invalid peer certificate"),
        ("root.pem", "127.0.0.1", "not valid for name"),
    ] {
        house.roots = Some(roots);
        house.put("hook.url", &hook(host));
        rewrite(&house, &tables(host));
        let ran = house.test(&[]);
        ran.refused(1, "K0954", &["3 of 3"]);
        for name in ["starttls", "smtps", "hook"] {
            refuses(&ran, name, &["no TLS session", words]);
        }
    }
    assert!(boxes.iter().all(|one| one.mails().is_empty()));
    // The same with the right certificate, and a login that the server refuses.
    house.put("hook.url", &hook("localhost"));
    house.put("smtp.login", &format!("ada:{PASSWORD}x\n"));
    rewrite(&house, &tables("localhost"));
    let ran = house.test(&[]);
    for name in ["starttls", "smtps"] {
        refuses(&ran, name, &["answered the login with the code 535"]);
    }
    let (_, said) = answered(&ran, "hook");
    assert!(!said.contains("TLS"), "its certificate is valid, but it speaks no HTTP: {said}");
    assert!(boxes.iter().all(|one| one.mails().is_empty()));
}

/// How a server of the test goes on.
enum Reply {
    Say(&'static str),
    Hang,
    Close,
}

use Reply::{Close, Hang, Say};

/// What a right server says to this line.
fn right(line: &str) -> Reply {
    match line.split(' ').next().unwrap_or_default() {
        "EHLO" => Say("250-localhost\r\n250 8BITMIME\r\n"),
        "DATA" => Say("354 go on\r\n"),
        "QUIT" => Say("221 until later\r\n"),
        _ => Say("250 taken\r\n"),
    }
}

/// A server on loopback that answers as the test says; each line that it reads is kept. The end of the mail is the line `.`.
fn server(
    greeting: Reply,
    answer: impl Fn(&str) -> Reply + Send + 'static,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = lines.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut go_on = say(&stream, &greeting);
            let (mut line, mut in_mail) = (Vec::new(), false);
            while go_on && reader.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                kept.lock().unwrap().push(text.clone());
                if in_mail && text != "." {
                    continue;
                }
                let reply = answer(&text);
                in_mail = matches!(reply, Say(said) if said.starts_with("354"));
                go_on = say(&stream, &reply);
            }
        }
    });
    (port, lines)
}

fn say(mut stream: &TcpStream, reply: &Reply) -> bool {
    match reply {
        Say(text) => stream.write_all(text.as_bytes()).is_ok(),
        // Until the caller leaves.
        Hang => {
            let _ = std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink());
            false
        }
        Close => false,
    }
}

/// Answers this command, or the end of the mail, with these words; everything else is right.
fn but(command: &'static str, reply: fn() -> Reply) -> impl Fn(&str) -> Reply {
    move |line: &str| if line.starts_with(command) { reply() } else { right(line) }
}

#[test]
fn a_server_that_breaks_the_conversation_is_named_with_its_code() {
    assert_eq!(ANSWER, "WordsOfTheReceiver", "the replies below have it");
    let to = ["ops@example.org", "ada@example.org"];
    let cases: Vec<(&str, Heard, &str)> = vec![
        ("busy", server(Say("421 WordsOfTheReceiver\r\n"), right), "answered the greeting with the code 421"),
        ("silent", server(Hang, right), "no answer within 10 s"),
        ("garbage", server(Say("HTTP/1.1 400 WordsOfTheReceiver\r\n\r\n"), right), "to the greeting"),
        ("gone", server(Close, right), "the greeting"),
        (
            "mail",
            server(Say("220 a\r\n"), but("MAIL", || Say("550 WordsOfTheReceiver\r\n"))),
            "answered MAIL with the code 550",
        ),
        (
            "nobody",
            server(Say("220 a\r\n"), but("RCPT", || Say("550 WordsOfTheReceiver\r\n"))),
            "answered RCPT with the code 550",
        ),
        (
            "one",
            server(Say("220 a\r\n"), but("RCPT TO:<ops", || Say("550 WordsOfTheReceiver\r\n"))),
            "refused 1 of 2 addresses with the code 550; the others got it",
        ),
        (
            "later",
            server(Say("220 a\r\n"), but("DATA", || Say("451-a\r\n451 WordsOfTheReceiver\r\n"))),
            "answered DATA with the code 451",
        ),
        (
            "spam",
            server(Say("220 a\r\n"), but(".", || Say("554 WordsOfTheReceiver\r\n"))),
            "answered the mail with the code 554",
        ),
        ("cut", server(Say("220 a\r\n"), but(".", || Close)), "the mail"),
    ];
    let slow = server(Say("220 a\r\n"), but("QUIT", || Hang));
    let mut tables = table("slow", &format!("smtp://127.0.0.1:{}", slow.0), &to, false);
    for (name, (port, _), _) in &cases {
        tables += &table(name, &format!("smtp://127.0.0.1:{port}"), &to, false);
    }
    let house = House::new(&tables);
    let ran = house.test(&[]);
    ran.refused(1, "K0954", &["10 of 11"]);
    for (name, (port, _), words) in &cases {
        refuses(&ran, name, &[&format!("127.0.0.1:{port}"), words]);
    }
    assert!(answered(&ran, "slow").0, "the mail was taken before QUIT: {}", ran.text);
    let got = |name: &str| {
        let (_, (_, lines), _) = cases.iter().find(|(known, _, _)| *known == name).unwrap();
        lines.lock().unwrap().iter().any(|line| line.starts_with("Subject: [keyroll] "))
    };
    assert!(got("one"), "the other address got the mail");
    assert!(!got("nobody") && !got("mail"));
}

/// Somebody between who takes STARTTLS away, or puts answers behind it, gets neither the mail nor the login.
#[test]
fn nothing_is_sent_before_the_session_is_encrypted() {
    let without = server(Say("220 a\r\n"), right);
    let refused = server(Say("220 a\r\n"), |line| match line.split(' ').next() {
        Some("EHLO") => Say("250-a\r\n250 starttls\r\n"),
        _ => Say("454 WordsOfTheReceiver\r\n"),
    });
    let inserted = server(Say("220 a\r\n"), |line| match line.split(' ').next() {
        Some("EHLO") => Say("250-a\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n"),
        Some("STARTTLS") => {
            Say("220 go on\r\n250-a\r\n250 AUTH PLAIN\r\n235 in\r\n250 a\r\n250 a\r\n354 a\r\n250 a\r\n")
        }
        // What follows is the beginning of a TLS session.
        _ => Hang,
    });
    let mut house = House::new("");
    certificates(&house);
    house.roots = Some("root.pem");
    house.put("smtp.login", &format!("ada:{PASSWORD}\n"));
    let cases = [
        ("without", &without, "does not offer STARTTLS"),
        ("refused", &refused, "answered STARTTLS with the code 454"),
        ("inserted", &inserted, "no TLS session"),
    ];
    let tables = cases.iter().map(|(name, (port, _), _)| {
        table(name, &format!("smtp+starttls://localhost:{port}"), &["ops@example.org"], true)
    });
    rewrite(&house, &tables.collect::<String>());
    let ran = house.test(&[]);
    ran.refused(1, "K0954", &["3 of 3"]);
    for (name, (_, lines), words) in cases {
        refuses(&ran, name, &[words]);
        let lines = lines.lock().unwrap();
        assert!(lines[0].starts_with("EHLO "), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("MAIL") || line.starts_with("AUTH")), "{lines:?}");
    }
}
