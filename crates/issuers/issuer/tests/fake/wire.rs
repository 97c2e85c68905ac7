//! HTTP by hand, so that every way of breaking it is possible.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::dialect::{Dialect, Reply};
use super::{Behaviour, Live, Odd, RecordedRequest, World, lock};

pub async fn serve(mut stream: TcpStream, peer: SocketAddr, world: Arc<Mutex<World>>, dialect: Dialect) {
    let end = Arc::new(Notify::new());
    let number = lock(&world).connections;
    tokio::select! {
        () = talk(&mut stream, peer, &world, dialect, number, &end) => {}
        () = end.notified() => {}
    }
    lock(&world).live.remove(&number);
}

async fn talk(
    stream: &mut TcpStream,
    peer: SocketAddr,
    world: &Mutex<World>,
    dialect: Dialect,
    number: u64,
    end: &Arc<Notify>,
) {
    while let Some(seen) = request(stream).await {
        let mood = lock(world).turn();
        let reply = match mood {
            Behaviour::Silent => std::future::pending().await,
            Behaviour::Odd(odd) => {
                lock(world).seen.push(seen);
                spoil(stream, odd).await;
                return;
            }
            Behaviour::Fair | Behaviour::LoseNext | Behaviour::RepeatsKey(_) => {
                let mut world = lock(world);
                world.seen.push(seen.clone());
                let mut reply = dialect.answer(&mut world, &seen, peer);
                if world.dated {
                    reply.headers.push(("date", world.date()));
                }
                if let Behaviour::RepeatsKey(key) = mood {
                    reply.body = reply.body.replacen('{', &format!("{{\"{key}\":\"another\","), 1);
                }
                if mood == Behaviour::LoseNext && seen.method != "GET" && !reply.passing {
                    world.mood = Behaviour::Fair;
                    return;
                }
                if let Some(key) = &reply.key {
                    let live =
                        Live { key: key.clone(), client: peer, calls: 0, busy: false, end: Arc::clone(end) };
                    world.live.entry(number).or_insert(live).calls += 1;
                }
                reply
            }
        };
        let close = seen.headers.get("connection").is_some_and(|value| value == "close");
        if write(stream, &reply).await.is_err() || close {
            return;
        }
    }
}

async fn write(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    if !reply.media.is_empty() {
        head.push_str(&format!("content-type: {}\r\n", reply.media));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{}", reply.body).as_bytes()).await
}

async fn spoil(stream: &mut TcpStream, odd: Odd) {
    let json =
        |status: u16, body: String| Reply { status, media: "application/json", body, ..Reply::default() };
    let fine = "{\"account\":\"a\",\"data\":{},\"scopes\":[]}";
    let reply = match odd {
        Odd::Status(status) => json(status, "{\"error\":{\"code\":\"invalid_key\"}}".to_owned()),
        Odd::HtmlWith(status) => {
            let body = "<!doctype html><title>Log in</title>".to_owned();
            Reply { status, media: "text/html", body, ..Reply::default() }
        }
        Odd::Redirect(to) => {
            let mut reply = json(307, fine.to_owned());
            reply.headers.push(("location", format!("http://{to}/v1/whoami")));
            reply
        }
        Odd::Huge => json(200, format!("{{\"account\":\"{}\"}}", "a".repeat(3 * 1024 * 1024))),
        Odd::BrokenJson => json(401, "{\"error\":{\"code\":\"invalid_key\"".to_owned()),
        Odd::DeepJson => json(200, format!("{{\"account\":{}{}}}", "[".repeat(5000), "]".repeat(5000))),
        Odd::NoHttp => {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n").await;
            return;
        }
        Odd::HalfBody => {
            let head = "HTTP/1.1 401 x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n";
            let _ = stream
                .write_all(format!("{head}{{\"error\":{{\"code\":\"invalid_key\"}}}}").as_bytes())
                .await;
            return;
        }
    };
    // The reader may close before a huge body is through.
    let _ = write(stream, &reply).await;
}

async fn request(stream: &mut TcpStream) -> Option<RecordedRequest> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.filter_map(header).collect();
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes[head_end + 4..].to_vec();
    while body.len() < length {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&chunk[..read]);
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (plain(name), plain(value))).collect();
    Some(RecordedRequest {
        method,
        path: path.to_owned(),
        query,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}

/// Undoes percent-encoding.
pub fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
