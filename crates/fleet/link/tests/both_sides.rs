//! The driver's side and the host's side, with each other.

use std::io::{Read, Write, pipe};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use keyroll_link::{Answers, Call, End, HostHello, Item, Link, LinkError, Note, Outbox, VERSION, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says what it does, and answers with what it was asked.
struct Parrot;

impl Answers for Parrot {
    fn hello(&mut self, key: &[u8; 32]) -> HostHello {
        HostHello {
            version: VERSION,
            keyroll: "0.1.0".to_owned(),
            machine: Some(key.iter().map(|byte| format!("{byte:02x}")).collect()),
            hardware: None,
            boot: String::new(),
            now_unix_ms: 0,
            root: false,
            user: "deploy".to_owned(),
            seal: String::new(),
        }
    }

    fn answer(&mut self, call: Call, out: &mut Outbox<'_>) -> End {
        out.note(Note::Progress("working".to_owned()));
        if call == Call::Check {
            let (code, attempted) = ("K0801".to_owned(), "check".to_owned());
            return End::Failed { code, attempted, causes: Vec::new(), help: None };
        }
        (0..3_000).for_each(|_| out.item(Item::Sentence("x".repeat(1_000))));
        out.item(Item::Differs(format!("{call:?}")));
        End::Done
    }
}

/// A host in a thread, and the driver's end of the connection to it.
fn host() -> (DuplexStream, mpsc::Receiver<bool>) {
    let ((input, mut to_host), (mut from_host, output)) = (pipe().unwrap(), pipe().unwrap());
    let (leaves, left) = mpsc::channel();
    let leave = move |ended: &std::io::Result<()>| leaves.send(ended.is_ok()).unwrap_or_default();
    thread::spawn(move || serve(input, output, &mut Parrot, leave));
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (mut read, mut write) = tokio::io::split(theirs);
    // The bytes are carried between the pipes and the stream.
    let runtime = tokio::runtime::Handle::current();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count) = from_host.read(&mut buffer)
            && count > 0
            && runtime.block_on(write.write_all(&buffer[..count])).is_ok()
        {}
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count) = read.read(&mut buffer).await
            && count > 0
            && to_host.write_all(&buffer[..count]).is_ok()
        {}
    });
    (ours, left)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_answered_whole_and_a_failure_leaves_the_next_one_possible() {
    let (stream, left) = host();
    let (read, write) = tokio::io::split(stream);
    let (mut link, hello) = Link::open(read, write, &[0x5f; 32], PATIENCE).await.unwrap();
    assert_eq!(hello.machine, Some("5f".repeat(32)));
    let why = Call::Why { what: "openai".to_owned() };
    for call in [Call::Scan, Call::Check, why] {
        let (asked, mut heard) = (format!("{call:?}"), Vec::new());
        let answered = link.call(call, PATIENCE, &mut |note| heard.push(note)).await;
        assert!(heard.contains(&Note::Progress("working".to_owned())), "{heard:?}");
        match answered {
            Ok(items) => {
                assert_eq!((items.len(), items.last()), (3_001, Some(&Item::Differs(asked))));
            }
            Err(error) => {
                assert_eq!(asked, "Check");
                assert!(matches!(error, LinkError::Failed { code, .. } if code == "K0801"));
            }
        }
    }
    // A link that is dropped is the end of the host's input.
    drop(link);
    assert!(left.recv_timeout(PATIENCE).unwrap());
}
