use std::io::Read;

use zeroize::Zeroizing;

/// The longest request, bytes. Source: <https://developer.hashicorp.com/vault/api-docs#limits>.
const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The room that a request has at first, bytes: a buffer that grows leaves a copy in memory.
const ROOM_BYTES: usize = 256 * 1024;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 4096;

/// One request.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it was sent, without the query.
    pub(super) target: String,
    /// Below `/v1/`, without escapes; empty where it is not below.
    pub(super) path: String,
    /// The number in `?version=`.
    pub(super) version: Option<u64>,
    pub(super) token: Option<Zeroizing<String>>,
    /// Whether it has the header `X-Vault-Request: true`.
    pub(super) from_a_client: bool,
    /// Whether the connection ends with the answer.
    pub(super) is_last: bool,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Request {
    /// The same request with another token.
    pub(super) fn with(&self, token: Option<Zeroizing<String>>) -> Self {
        Self { token, ..self.clone() }
    }

    /// Reads a whole request; `None` where none comes any more.
    pub(super) fn read(stream: &mut impl Read) -> Option<Self> {
        let mut all = Zeroizing::new(Vec::with_capacity(ROOM_BYTES));
        let mut piece = Zeroizing::new([0_u8; PIECE_BYTES]);
        let mut more = |all: &mut Zeroizing<Vec<u8>>| {
            let count = stream.read(&mut piece[..]).ok().filter(|count| *count > 0)?;
            all.extend_from_slice(piece.get(..count)?);
            (all.len() <= REQUEST_BYTES_MAX).then_some(())
        };
        let begins = loop {
            if let Some(at) = all.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            more(&mut all)?;
        };
        let head = Zeroizing::new(String::from_utf8_lossy(all.get(..begins)?).into_owned());
        let header = |name: &str| {
            let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let mut found = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.trim())
        };
        let length = header("content-length").and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
        while all.len() < begins + length {
            more(&mut all)?;
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let is_old = words.next().is_some_and(|version| version.starts_with("HTTP/1.0"));
        let (target, query) = target.split_once('?').unwrap_or((target, ""));
        let version = query.split('&').find_map(|pair| pair.strip_prefix("version="));
        let bearer = || header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        Some(Self {
            method,
            target: target.to_owned(),
            path: target.strip_prefix("/v1/").map(unescaped).unwrap_or_default(),
            version: version.and_then(|number| number.parse::<u64>().ok()).filter(|number| *number > 0),
            token: header("x-vault-token").or_else(bearer).map(|token| Zeroizing::new(token.to_owned())),
            from_a_client: header("x-vault-request") == Some("true"),
            is_last: is_old || header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            body: Zeroizing::new(all.get(begins..begins + length)?.to_vec()),
        })
    }
}

/// A path with its escapes undone.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
