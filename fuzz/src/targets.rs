//! Each takes any bytes, and panics where a promise of the room behind it is broken.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use keyroll_config::Config;
use keyroll_copy::{Edit, Format, Slot, Template};
use keyroll_issuer::{Runner, Spec};
use keyroll_journal::{decode_event, decode_opening, encode_event, encode_opening};
use keyroll_link::{
    Call, Context, Frame, HostKey, Item, Order, Reply, Sealed, SessionsForm, read_frame, scan_report, seal,
    trace_report, why_reports,
};
use keyroll_needle::FingerprintSet;
use keyroll_port::{Class, Issuer as _, Probe, Values};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

/// Parts of an input stand between such bytes.
const BETWEEN: u8 = 0xff;

fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == BETWEEN);
    [(); N].map(|()| parts.next().unwrap_or_default())
}

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(bytes.to_vec())
}

/// A new value, an alphabet, and an env file with the variable `KEY`: what is written is read again and can be put
/// back, and nothing else changes its meaning.
pub fn dotenv(data: &[u8]) {
    let [new, alphabet, file] = parts(data);
    let slot = Slot::Variable("KEY".to_owned());
    let _ = Format::Dotenv.carries(file, &slot, alphabet, new.len());
    let _ = Format::Whole.carries_value(file, &Slot::Whole, &secret(new));
    let before = Format::Dotenv.variables(file).unwrap_or_default();
    let Ok(Some(old)) = Format::Dotenv.read(file, &slot) else { return };
    let new = secret(new);
    let forth = Edit { slot: slot.clone(), expect_old: &old, new: &new };
    let Ok(replaced) = Format::Dotenv.replace(file, &[forth]) else { return };
    let read = Format::Dotenv.read(replaced.expose(), &slot).ok().flatten();
    assert!(read.is_some_and(|read| read == new), "what was written is read");
    let again = Edit { slot: slot.clone(), expect_old: &old, new: &new };
    let again = Format::Dotenv.replace(replaced.expose(), &[again]).expect("the same edit again");
    assert!(again == replaced, "a second time is harmless");
    if Format::Dotenv.carries_value(file, &slot, &new).is_err() {
        return;
    }
    let back = Edit { slot: slot.clone(), expect_old: &new, new: &old };
    let back = Format::Dotenv.replace(replaced.expose(), &[back]).expect("it can be put back");
    let read = Format::Dotenv.read(back.expose(), &slot).ok().flatten();
    assert!(read.is_some_and(|read| read == old), "what was put back is read");
    let after = Format::Dotenv.variables(replaced.expose()).unwrap_or_default();
    let others = |all: keyroll_copy::Variables| -> Vec<(String, Option<SecretBytes>)> {
        let all = all.into_iter().filter(|(name, _)| name != "KEY");
        all.map(|(name, value)| (name, value.ok())).collect()
    };
    assert!(others(before) == others(after), "no other variable changes");
}

/// A number of a format, a new value, an alphabet, and a file: what is listed is read by its slot, what is written at a
/// place is read again and can be put back.
pub fn place(data: &[u8]) {
    let [format, new, alphabet, file] = parts(data);
    let (format, at) = match format.first().copied().unwrap_or_default() % 9 {
        0 => (Format::Json, "/a/k"),
        1 => (Format::Yaml, "/a/k"),
        2 => (Format::Compose, "/a/k"),
        3 => (Format::Toml, "/a/k"),
        4 => (Format::Ini, "/a/k"),
        5 => (Format::Npmrc, "k"),
        6 => (Format::Pgpass, "h:1:d"),
        7 => (Format::Netrc, "m"),
        _ => (Format::GitCredentials, "https://h"),
    };
    for entry in format.entries(file).unwrap_or_default() {
        let read = format.read(file, &entry.slot).ok().flatten();
        assert!(read == entry.value.ok(), "what is listed is read by its slot");
    }
    let Ok(slot) = format.slot(at, None) else { return };
    let promised = format.carries(file, &slot, alphabet, new.len()).is_ok();
    let Ok(Some(old)) = format.read(file, &slot) else { return };
    let kept = new.iter().all(|byte| alphabet.contains(byte)) && !new.is_empty();
    let new = secret(new);
    let edit = |expect_old, new| Edit { slot: slot.clone(), expect_old, new };
    let Ok(replaced) = format.replace(file, &[edit(&old, &new)]) else {
        // Three words are no texts to some readers of such files, and no alphabet is without their letters.
        let word = matches!(new.expose(), b"true" | b"false" | b"null");
        assert!(!(promised && kept) || word, "what the alphabet promises is kept");
        return;
    };
    let read = format.read(replaced.expose(), &slot).ok().flatten();
    assert!(read.is_some_and(|read| read == new), "what was written is read");
    let again = format.replace(replaced.expose(), &[edit(&old, &new)]).expect("the same edit again");
    assert!(again == replaced, "a second time is harmless");
    if format.carries_value(file, &slot, &new).is_err() {
        return;
    }
    let back = format.replace(replaced.expose(), &[edit(&new, &old)]).expect("it can be put back");
    let read = format.read(back.expose(), &slot).ok().flatten();
    assert!(read.is_some_and(|read| read == old), "what was put back is read");
}

/// A value, a text, and a template: a value that can be carried is rendered, and what was taken apart is rendered into
/// a text that is taken apart alike.
pub fn template(data: &[u8]) {
    let [value, text, template] = parts(data);
    let Ok(template) = Template::parse(&String::from_utf8_lossy(template)) else { return };
    let mut fields = Fields::new();
    // No alphabet says that a value may be empty.
    let mut carried = !value.is_empty();
    for name in template.names() {
        fields.insert(name, secret(value), true);
        carried &= template.carries(name, value, value.len()).is_ok();
    }
    assert!(!carried || template.render(&fields).is_ok(), "a value that can be carried is rendered");
    let Some(found) = template.extract(&secret(text)) else { return };
    let mut fields = Fields::new();
    found.iter().for_each(|(name, value)| fields.insert(name.as_str(), value.duplicate(), true));
    if let Ok(rendered) = template.render(&fields) {
        assert!(template.says(&rendered, &fields), "what was taken apart is said again");
    }
}

/// An issuer's spec: a refusal stands within the text.
pub fn spec(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Spec::parse(&text, "acme.toml") {
        Ok(spec) => {
            let _ = (spec.capabilities(), spec.reach(), spec.fields().count());
        }
        Err(error) => assert!(error.line >= 1 && error.line <= text.lines().count().max(1) + 1, "{error:?}"),
    }
}

/// A keyroll.toml.
pub fn config(data: &[u8]) {
    let _ = Config::parse(&String::from_utf8_lossy(data), "/srv/keyroll.toml");
}

/// An entry of the journal, or what opens a rotation: what is read is written so that it is read as the same.
pub fn entry(data: &[u8]) {
    if let Ok(event) = decode_event(data) {
        let written = encode_event(&event).expect("an event that was read");
        assert_eq!(decode_event(&written).expect("an event that was written"), event);
    }
    if let Ok(opening) = decode_opening(data) {
        let written = encode_opening(&opening).expect("an opening that was read");
        let again = decode_opening(&written).expect("an opening that was written");
        assert_eq!(encode_opening(&again).expect("the same opening"), written);
    }
}

/// A file of prints, and a text: what is read is written so that it is read as the same, and what is found stands in the text.
/// The file's seal is made anew, since hardly any input would have a right one.
pub fn prints(data: &[u8]) {
    let [file, text] = parts(data);
    let _ = FingerprintSet::from_bytes(file);
    let Ok(prints) = FingerprintSet::from_bytes(&sealed(file)) else { return };
    let written = prints.to_bytes();
    let again = FingerprintSet::from_bytes(&written).expect("a file that was written");
    assert!(*again.to_bytes() == *written && again.labels().len() == prints.labels().len(), "it is the same");
    let mut stands = |hit: keyroll_needle::FingerprintHit<'_>| {
        assert!(hit.start < hit.end && hit.end <= text.len(), "{}..{}", hit.start, hit.end);
        assert!(prints.labels().contains(hit.label), "it is one of the file's");
    };
    prints.find(text, &mut stands);
    prints.find_across(text, &mut stands);
}

/// The same with a last line that fits the others, where it has a key.
fn sealed(file: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(file);
    let body: String = text.split_inclusive('\n').filter(|line| !line.starts_with("end ")).collect();
    let digits = body.lines().nth(1).and_then(|line| line.strip_prefix("key ")).unwrap_or_default();
    let pairs = digits.as_bytes().chunks(2);
    let key: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let of_files = sign(&key.unwrap_or_default(), b"keyroll-prints 1 file");
    let seal = sign(of_files.as_ref(), body.as_bytes());
    let seal: String = seal.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let count = body.lines().filter(|line| line.starts_with("print ")).count();
    format!("{body}end {count} {seal}\n").into_bytes()
}

/// A frame of keyroll or of keyroll-host, and a stream of such frames: what is read can be written and read again, and any
/// items make reports. Each reply is refused, or becomes what a driver works with; of an order, nothing opens that was not
/// sealed to this process.
pub fn frame(data: &[u8]) {
    let mut stream = data;
    while let Ok(Some(_)) = read_frame(&mut stream) {}
    let Ok(frame) = keyroll_link::decode(data) else { return };
    let written = keyroll_link::encode(&frame).expect("a frame that was read");
    let again = read_frame(&mut written.as_slice()).expect("a frame that was written");
    if let Frame::Call { call: Call::Order { order, .. }, .. } = &frame {
        assert!(again.as_ref() == Some(&frame), "it is the same");
        in_host(order);
    }
    let Some(Frame::Answer { id, items, .. }) = again else { return };
    let Frame::Answer { id: before, items: all, .. } = frame else { panic!("it is another frame") };
    assert!(id == before && items.len() == all.len(), "it is the same");
    items.iter().for_each(in_ports);
    let _ = (scan_report(items.clone()), trace_report(items.clone()), why_reports(items));
}

/// What a driver makes of a reply.
fn in_ports(item: &Item) {
    let Item::Reply(reply) = item else { return };
    match *reply.clone() {
        Reply::Failed(form) => drop(form.into_port()),
        Reply::Surveyed(form) => drop(form.into_port()),
        Reply::Live(form) => drop(form.into_port()),
        Reply::Trial(forms) => forms.into_iter().for_each(|form| drop(form.into_port())),
        Reply::Applied { changes, .. } => changes.into_iter().for_each(|form| drop(form.into_port())),
        Reply::Looked(form) => drop(form.into_port()),
        Reply::Proved(form) => drop(form.into_port()),
        Reply::Holder(Some(form)) => drop(form.into_port()),
        Reply::Swept(form) => drop(form.into_port()),
        _ => {}
    }
}

/// What a host makes of an order before anything of it begins.
fn in_host(order: &Order) {
    if let Some(asked) = order.asked() {
        assert!(asked.intent == order.intent() && order.changes(), "what has a time limit has an effect");
    }
    let context = sealed_for(order.kind(), order.intent());
    for sealed in values_of(order) {
        assert!(host_key().open(sealed, &context).is_err(), "it was sealed by nobody");
    }
    let read = |sessions: &SessionsForm| drop(sessions.clone().into_port());
    match order {
        Order::Survey(survey) => read(&survey.sessions),
        Order::BeforeGivenOut { sessions, .. } | Order::Enumerate { sessions, .. } => read(sessions),
        Order::Prepare { before, .. } => read(before),
        Order::Go { after, .. } => read(after),
        Order::Describe { who } => {
            let _ = who.into_port();
        }
        Order::Apply { accepted: Some(all), .. } => {
            all.iter().for_each(|one| drop(one.clone().into_port()));
        }
        _ => {}
    }
}

/// What an order brings that is sealed.
fn values_of(order: &Order) -> Vec<&Sealed> {
    match order {
        Order::Survey(survey) => [Some(&survey.values), survey.next.as_ref()].into_iter().flatten().collect(),
        Order::Copies { values }
        | Order::Trial { values }
        | Order::Carries { values }
        | Order::Deliver { values, .. }
        | Order::Delivered { values, .. }
        | Order::RemoveSuperseded { values, .. }
        | Order::BeforeGivenOut { values, .. }
        | Order::Fetch { values, .. }
        | Order::Enumerate { values, .. }
        | Order::Sweep { values } => vec![values],
        Order::Prepare { of, .. } | Order::Go { of, .. } => vec![&of.values],
        _ => Vec::new(),
    }
}

/// The word of an order, a value, and changes of what is sealed, each a place and a digit: a value opens for the order that it
/// was sealed for and for no other one, and not at all once a digit was changed.
pub fn order(data: &[u8]) {
    let [word, value, changes] = parts(data);
    let word = String::from_utf8_lossy(word);
    let (key, context) = (host_key(), sealed_for(&word, 41));
    let fields = Fields::single(secret(value));
    let values = Values { old: &fields, new: None, old_ended: false };
    let sealed = seal(&key.public(), &context, &values).expect("a value that can be sealed");
    let opened = key.open(&sealed, &context).expect("what was sealed for this");
    let same = opened.old.get("value").is_some_and(|field| field.value.expose() == value);
    assert!(same && opened.new.is_none() && !opened.old_ended, "it is the same");
    let longer = format!("{word}x");
    for other in [sealed_for(&word, 42), sealed_for(&longer, 41)] {
        assert!(key.open(&sealed, &other).is_err(), "it opens for another order");
    }
    let mut digits = [sealed.enc.as_bytes(), sealed.text.as_bytes()].concat();
    for change in changes.chunks_exact(2) {
        let at = usize::from(change[0]) * digits.len() / 256;
        digits[at] = b"0123456789abcdef"[usize::from(change[1]) % 16];
    }
    let (enc, text) = digits.split_at(sealed.enc.len());
    let of = |digits: &[u8]| String::from_utf8_lossy(digits).into_owned();
    let changed = Sealed { enc: of(enc), text: of(text) };
    assert!(changed == sealed || key.open(&changed, &context).is_err(), "what was changed does not open");
}

/// The key of the host that is this process.
fn host_key() -> &'static HostKey {
    static KEY: OnceLock<HostKey> = OnceLock::new();
    KEY.get_or_init(|| HostKey::new().expect("a key"))
}

/// What values are sealed for: the order of this word and intent.
fn sealed_for(order: &str, intent: u64) -> Context<'_> {
    let (installation, host, secret, rotation) = ("0f0f", "9f3c21", "acme", "17ab");
    Context { installation, host, secret, rotation, epoch: 3, turn: 2, order, intent }
}

/// A question, a status, a media type and a body: an issuer that fails, or is not asked in vain, never decides over a
/// key, and what was presented stands in no message.
pub fn answer(data: &[u8]) {
    let [how, body] = parts(data);
    let at = |index: usize| how.get(index).copied().unwrap_or(0);
    let status = [200, 201, 204, 301, 400, 401, 403, 404, 409, 429, 500, 503][usize::from(at(1)) % 12];
    let media = ["application/json", "text/html", "text/plain", "application/problem+json"];
    let media = media[usize::from(at(2)) % 4];
    let mut whole =
        format!("HTTP/1.1 {status} X\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    whole.extend_from_slice(body);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback address");
    let port = listener.local_addr().expect("the port").port();
    let answering = std::thread::spawn(move || answering(&listener, &whole));
    let runner = Runner::new(acme(port), Some(secret(b"admin-of-the-fuzzer")));
    let value = "presented-by-the-fuzzer";
    let fields = Fields::single(SecretBytes::from(value.to_owned()));
    let id = CredentialId::new("key_1");
    let credential = Credential { id: Some(id.clone()), fields };
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    });
    let failure = runtime.block_on(async {
        match at(0) % 5 {
            0 => {
                let endpoint = runner.endpoints().remove(0);
                match runner.probe(&endpoint, &credential).await {
                    Probe::Alive | Probe::Dead | Probe::Denied => {
                        assert!(!matches!(status, 301 | 429 | 500..), "{status} decides over a key");
                        None
                    }
                    Probe::Unknown(why) => Some(why),
                }
            }
            1 => runner.list(&credential).await.err().map(|failure| format!("{failure:?}")),
            2 => runner
                .mint("keyroll/1/1", &credential, None)
                .await
                .err()
                .map(|failure| format!("{failure:?}")),
            3 => runner.sessions(&id).await.err().map(|failure| format!("{failure:?}")),
            _ => {
                let ended = runner.revoke(&id).await.err();
                let lost = matches!(status, 429 | 500..) && ended.is_none();
                assert!(!lost, "{status} counts as an end");
                let unsure = ended.as_ref().is_some_and(|failure| failure.class == Class::Retryable);
                assert!(!(unsure && status >= 500), "{status} counts as no effect");
                ended.map(|failure| format!("{failure:?}"))
            }
        }
    });
    // Only what the issuer itself repeats could hold it: it was not in the answer.
    if let Some(why) = failure
        && !body.windows(value.len()).any(|window| window == value.as_bytes())
    {
        assert!(!why.contains(value) && !why.contains("admin-of-the-fuzzer"), "{why}");
    }
    // Where nothing was asked, the one that answers is let go.
    drop(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
    drop(answering.join());
}

/// Answers every request of one connection with the same bytes.
fn answering(listener: &TcpListener, whole: &[u8]) {
    let Ok((mut stream, _)) = listener.accept() else { return };
    let mut buffer = [0; 4096];
    if stream.read(&mut buffer).is_ok_and(|count| count > 0) {
        drop(stream.write_all(whole));
    }
    drop(stream.shutdown(Shutdown::Both));
}

/// A spec whose parts are all there, for an issuer at this port.
fn acme(port: u16) -> Spec {
    const TEXT: &str = include_str!("../../crates/testkit/src/issuer/acme.toml");
    let text = TEXT.replace("@PORT@", &port.to_string()).replace("@REQUEST_MAX@", "5s");
    Spec::parse(&text, "acme.toml").expect("the spec of tests")
}
