use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, DATE, HOST, LINK, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::{Answer, Asked};
use crate::render::Outgoing;
use crate::tls;

/// The largest answer that is read, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// How long one address may take to connect, milliseconds: a dead IPv6 route must leave time for IPv4.
const CONNECT_MS_MAX: u64 = 5_000;

/// Why there is no answer; without any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing was sent: surely no effect.
    NotSent(String),
    /// The machine trusts no certificate authority.
    NoRoots,
    /// The request was on its way: it may have had its effect.
    Lost(String),
}

/// Sends one request on a new connection and reads the whole answer, within the limit. Follows no redirect.
/// `from` is told our end of the connection, as soon as there is one.
pub(crate) async fn exchange(
    outgoing: &Outgoing,
    limit: Duration,
    from: &OnceLock<SocketAddr>,
) -> Result<Answer, Trouble> {
    let sent = AtomicBool::new(false);
    let outcome = timeout(limit, attempt(outgoing, &sent, from)).await;
    outcome.unwrap_or_else(|_| {
        let why = format!("no answer within {} ms", limit.as_millis());
        Err(if sent.load(Ordering::Relaxed) { Trouble::Lost(why) } else { Trouble::NotSent(why) })
    })
}

async fn attempt(
    outgoing: &Outgoing,
    sent: &AtomicBool,
    from: &OnceLock<SocketAddr>,
) -> Result<Answer, Trouble> {
    let stream = connect(outgoing).await?;
    if let Ok(own) = stream.local_addr() {
        from.get_or_init(|| own);
    }
    if outgoing.tls {
        let stream = tls::wrap(stream, &outgoing.host.name).await?;
        converse(stream, outgoing, sent).await
    } else {
        converse(stream, outgoing, sent).await
    }
}

async fn connect(outgoing: &Outgoing) -> Result<TcpStream, Trouble> {
    let host = &outgoing.host;
    let found = tokio::net::lookup_host((host.name.as_str(), host.port)).await;
    let found =
        found.map_err(|error| Trouble::NotSent(format!("the name does not resolve ({})", error.kind())))?;
    // The address that was checked is the one that is connected to: no second resolution.
    let addresses: Vec<SocketAddr> = found.filter(|address| allowed(address.ip(), outgoing.tls)).collect();
    let mut last = "the name leads to no address that may be asked".to_owned();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match timeout(Duration::from_millis(CONNECT_MS_MAX), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A small request should not wait for a full segment; without it the call is only slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error.kind().to_string(),
            Err(_) => last = format!("no connection within {CONNECT_MS_MAX} ms"),
        }
    }
    Err(Trouble::NotSent(last))
}

/// Which addresses a name may lead to: plain HTTP only to this machine, TLS not to link-local addresses (where clouds
/// serve their metadata), nor to those that stand for another (`::ffff:169.254.169.254`).
fn allowed(address: IpAddr, tls: bool) -> bool {
    if !tls {
        return address.is_loopback();
    }
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            let metadata = v6.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254];
            let stands_for = v6.to_ipv4_mapped().is_some();
            !(metadata
                || stands_for
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast())
        }
    }
}

async fn converse<S>(stream: S, outgoing: &Outgoing, sent: &AtomicBool) -> Result<Answer, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let request = request(outgoing)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Trouble::NotSent("the connection closed".to_owned()))?;
    sent.store(true, Ordering::Relaxed);
    let answer = async {
        let response = sender.send_request(request).await.map_err(lost)?;
        read(response, outgoing).await
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection may end first, with the answer still in its channel.
        _ = connection => answer.await,
    }
}

fn lost(error: hyper::Error) -> Trouble {
    let why = if error.is_parse() {
        "an answer that is no HTTP"
    } else if error.is_incomplete_message() {
        "the connection closed before the whole answer"
    } else {
        "the connection was lost"
    };
    Trouble::Lost(why.to_owned())
}

fn request(outgoing: &Outgoing) -> Result<hyper::Request<Full<Bytes>>, Trouble> {
    let target = if outgoing.query.is_empty() {
        outgoing.path.to_string()
    } else {
        format!("{}?{}", outgoing.path.as_str(), outgoing.query.as_str())
    };
    let mut builder = hyper::Request::builder()
        .method(outgoing.method.clone())
        .uri(target)
        .header(HOST, outgoing.host.authority(outgoing.tls))
        .header(USER_AGENT, concat!("keyroll/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    for (name, value) in &outgoing.headers {
        builder = builder.header(name, value);
    }
    let body = match &outgoing.body {
        Some((media, bytes)) => {
            builder = builder.header(CONTENT_TYPE, *media);
            Bytes::copy_from_slice(bytes)
        }
        None => Bytes::new(),
    };
    // The builder's own error would repeat the path, which may hold a value.
    builder.body(Full::new(body)).map_err(|_| Trouble::NotSent("the request is no valid HTTP".to_owned()))
}

async fn read(response: hyper::Response<Incoming>, outgoing: &Outgoing) -> Result<Answer, Trouble> {
    let (head, mut body) = response.into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(lost)?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len().saturating_add(data.len()) > BODY_BYTES_MAX {
            return Err(Trouble::Lost(format!("an answer of more than {BODY_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(data);
    }
    let asked = Asked { authority: outgoing.host.authority(outgoing.tls), path: outgoing.path.clone() };
    let answer = Answer::new(head.status.as_u16(), header(CONTENT_TYPE), header(LINK), asked, bytes);
    Ok(answer.dated(header(DATE)).without_echo(|code| outgoing.mentions(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_name_may_lead_to() {
        let allows = |text: &str, tls| allowed(text.parse().unwrap(), tls);
        for bad in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "0.0.0.0", "::"]
        {
            assert!(!allows(bad, true), "{bad}");
        }
        assert!(allows("203.0.113.7", true) && allows("10.0.0.5", true) && allows("2001:db8::1", true));
        assert!(allows("127.0.0.1", false) && !allows("203.0.113.7", false) && !allows("10.0.0.5", false));
    }
}
