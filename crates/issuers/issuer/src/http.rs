use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use keyroll_http::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderValue, LINK};
use keyroll_http::{Addresses, Endpoint, Excess, HttpError, Limits, Request, connect_within};
use zeroize::Zeroizing;

use crate::answer::{Answer, Asked};
use crate::render::Outgoing;

/// The largest answer that is read, bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Sends one request on a new connection to one of these addresses and reads the whole answer, within the limit. `local`
/// becomes our end of the connection.
pub(crate) async fn exchange(
    outgoing: &Outgoing,
    addresses: Addresses,
    time: Duration,
    local: &OnceLock<SocketAddr>,
) -> Result<Answer, HttpError> {
    let endpoint = Endpoint { host: &outgoing.host.name, port: outgoing.host.port, tls: outgoing.tls };
    let limits = Limits { time, body_bytes_max: BODY_BYTES_MAX, excess: Excess::Refuse };
    let connecting = connect_within(endpoint, addresses, local);
    let mut response = keyroll_http::exchange(connecting, request(outgoing), &limits).await?;
    let body = std::mem::take(&mut *response.body);
    let header = |name| response.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let asked = Asked { authority: outgoing.host.authority(outgoing.tls), path: outgoing.path.clone() };
    let answer = Answer::new(response.status, header(CONTENT_TYPE), header(LINK), asked, body);
    Ok(answer.dated(header(DATE)).without_echo(|code| outgoing.mentions(code)))
}

fn request(outgoing: &Outgoing) -> Request {
    let mut target = Zeroizing::new(String::with_capacity(outgoing.path.len() + outgoing.query.len() + 1));
    target.push_str(&outgoing.path);
    if !outgoing.query.is_empty() {
        target.push('?');
        target.push_str(&outgoing.query);
    }
    let mut headers = outgoing.headers.clone();
    if !headers.iter().any(|(name, _)| name == ACCEPT) {
        headers.push((ACCEPT, HeaderValue::from_static("application/json")));
    }
    let body = outgoing.body.as_ref().map(|(media, body)| {
        headers.push((CONTENT_TYPE, HeaderValue::from_static(media)));
        body.clone()
    });
    Request {
        method: outgoing.method.clone(),
        target,
        authority: outgoing.host.authority(outgoing.tls),
        headers,
        body: body.unwrap_or_default(),
        in_one_piece: false,
    }
}
