//! A host that sends what it must not: the link is closed, nothing large is allocated, and nothing panics.

use std::time::Duration;

use keyroll_link::{Call, End, Frame, Hello, HostHello, Item, Link, LinkError, Note, VERSION, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn hello(version: u32) -> Vec<u8> {
    let hello = HostHello {
        version,
        keyroll: "0.1.0".to_owned(),
        machine: None,
        hardware: None,
        boot: String::new(),
        now_unix_ms: 0,
        root: false,
        user: "deploy".to_owned(),
        seal: String::new(),
    };
    encode(&Frame::Hello(Hello::Host(hello))).unwrap()
}

fn answer(id: u64, items: Vec<Item>, end: Option<End>) -> Vec<u8> {
    encode(&Frame::Answer { id, items, end }).unwrap()
}

/// A host that sends these bytes, whatever it is asked, and then ends.
fn host(sends: Vec<u8>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (mut hears, mut says) = tokio::io::split(theirs);
    tokio::spawn(async move {
        // The driver may be gone before all is sent.
        drop(says.write_all(&sends).await);
        drop(says.shutdown().await);
    });
    tokio::spawn(async move { while hears.read(&mut [0; 512]).await.is_ok_and(|count| count > 0) {} });
    ours
}

async fn opened(sends: Vec<u8>) -> Result<Link, LinkError> {
    let (read, write) = tokio::io::split(host(sends));
    Link::open(read, write, &[7; 32], PATIENCE).await.map(|(link, _)| link)
}

/// The answer to a first call, of a host that greets and then sends these bytes.
async fn asked(sends: &[u8]) -> Result<Vec<Item>, LinkError> {
    let mut link = opened([hello(VERSION).as_slice(), sends].concat()).await.unwrap();
    let answered = link.call(Call::Scan, PATIENCE, &mut |_| {}).await;
    if !matches!(answered, Ok(_) | Err(LinkError::Failed { .. })) {
        let again = link.call(Call::Scan, PATIENCE, &mut |_| {}).await;
        assert!(matches!(again, Err(LinkError::Cut(_))), "{again:?}");
    }
    answered
}

#[tokio::test]
async fn a_greeting_or_an_answer_that_is_cut_at_any_byte_is_a_cut_connection() {
    let greeting = hello(VERSION);
    for end in 0..greeting.len() {
        let cut = opened(greeting[..end].to_vec()).await.err();
        assert!(matches!(cut, Some(LinkError::Cut(_))), "{end} bytes: {cut:?}");
    }
    assert!(opened(greeting).await.is_ok());
    let items = vec![Item::Refused, Item::Sentence("é".to_owned())];
    let bytes = [answer(1, items.clone(), None), answer(1, Vec::new(), Some(End::Done))].concat();
    for end in 0..bytes.len() {
        let cut = asked(&bytes[..end]).await;
        assert!(matches!(cut, Err(LinkError::Cut(_))), "{end} bytes: {cut:?}");
    }
    assert_eq!(asked(&bytes).await, Ok(items));
}

#[tokio::test]
async fn a_frame_that_is_longer_than_allowed_is_not_read() {
    for length in [u32::MAX, 9 << 20, (8 << 20) + 1] {
        let wanted = LinkError::TooLarge { bytes: length.into() };
        assert_eq!(asked(&length.to_be_bytes()).await, Err(wanted.clone()));
        assert_eq!(opened(length.to_be_bytes().to_vec()).await.err(), Some(wanted));
    }
}

#[tokio::test]
async fn what_is_no_frame_and_what_is_no_answer_is_garbage_that_is_not_repeated() {
    let said = "Welcome to web-1, the password is hunter2";
    let framed = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let all = [
        framed(said),
        framed(""),
        framed("{}"),
        framed("null"),
        framed(&"[".repeat(100_000)),
        framed(&format!("{{\"answer\":{{\"id\":\"{said}\",\"items\":[]}}}}")),
        framed(&format!("{{\"{said}\":1}}")),
        hello(VERSION),
        encode(&Frame::Call { id: 1, call: Call::Scan }).unwrap(),
        encode(&Frame::Cancel { id: 1 }).unwrap(),
    ];
    for bytes in all {
        let answered = asked(&bytes).await;
        let Err(LinkError::Garbage(why)) = &answered else { panic!("{answered:?}") };
        assert!(!why.contains("hunter2") && !why.is_empty(), "{why}");
    }
    let greeted = opened(said.as_bytes().to_vec()).await.err();
    // These letters are a length.
    assert!(matches!(greeted, Some(LinkError::TooLarge { .. })), "{greeted:?}");
}

#[tokio::test]
async fn an_answer_to_another_call_is_refused() {
    let late = Frame::Note { id: 0, note: Note::Alive };
    for bytes in [answer(2, Vec::new(), Some(End::Done)), encode(&late).unwrap()] {
        assert!(matches!(asked(&bytes).await, Err(LinkError::Garbage(_))));
    }
    // What follows the end of an answer is no answer to the next call.
    let end = || answer(1, Vec::new(), Some(End::Done));
    let mut link = opened([hello(VERSION), end(), end()].concat()).await.unwrap();
    assert_eq!(link.call(Call::Scan, PATIENCE, &mut |_| {}).await, Ok(Vec::new()));
    let next = link.call(Call::Scan, PATIENCE, &mut |_| {}).await;
    assert!(matches!(next, Err(LinkError::Garbage(_))), "{next:?}");
}

#[tokio::test]
async fn a_flood_of_notes_or_of_frames_without_items_ends() {
    let note = encode(&Frame::Note { id: 1, note: Note::Progress("…".to_owned()) }).unwrap();
    let empty = answer(1, Vec::new(), None);
    for one in [note, empty] {
        let answered = asked(&one.repeat(200_001)).await;
        assert!(matches!(answered, Err(LinkError::Garbage(_))), "{answered:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_ends() {
    let items = vec![Item::Refused; 100_000];
    let answered = asked(&answer(1, items, None).repeat(3)).await;
    assert!(matches!(answered, Err(LinkError::Garbage(_))), "too many items");
    let large = answer(1, vec![Item::Sentence("x".repeat(1 << 20))], None);
    let answered = asked(&large.repeat(65)).await;
    assert!(matches!(answered, Err(LinkError::TooLarge { .. })), "too many bytes");
}

#[tokio::test]
async fn a_text_cannot_begin_a_line_or_move_the_cursor() {
    let text = |text: &str| Item::Sentence(text.to_owned());
    let bytes = answer(1, vec![text("seen\non web-2:\u{1b}[2J\u{202e}")], Some(End::Done));
    assert_eq!(asked(&bytes).await, Ok(vec![text("seen on web-2:\u{fffd}[2J\u{fffd}")]));
}

#[tokio::test]
async fn another_version_and_a_first_frame_of_another_kind_are_refused() {
    let other = opened(hello(VERSION + 1)).await.err();
    assert!(matches!(other, Some(LinkError::OtherVersion(_))), "{other:?}");
    let answer = opened(answer(1, Vec::new(), None)).await.err();
    assert!(matches!(answer, Some(LinkError::Garbage(_))), "{answer:?}");
}

#[tokio::test]
async fn a_call_that_fails_leaves_the_link_as_it_is() {
    let end = End::Failed {
        code: "K0805".to_owned(),
        attempted: "find the secret".to_owned(),
        causes: vec!["no secret has this name".to_owned()],
        help: None,
    };
    let bytes =
        [hello(VERSION), answer(1, Vec::new(), Some(end)), answer(2, Vec::new(), Some(End::Done))].concat();
    let mut link = opened(bytes).await.unwrap();
    let failed = link.call(Call::Scan, PATIENCE, &mut |_| {}).await;
    assert!(matches!(failed, Err(LinkError::Failed { code, .. }) if code == "K0805"));
    assert_eq!(link.call(Call::Scan, PATIENCE, &mut |_| {}).await, Ok(Vec::new()));
}
