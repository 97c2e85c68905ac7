use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The longest line of the protocol, bytes; a text with a length prefix is not a line.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// The largest text, bytes: a list of 50,000 clients.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most entries of one list: users, or the words of one answer.
const LIST_MAX: usize = 100_000;
/// How deep lists may be nested; a user's are three deep.
const DEPTH_MAX: usize = 6;

/// One answer of RESP2, Redis's protocol since version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Number(i64),
    List(Vec<Reply>),
    Nothing,
    /// A refusal, by the server's own words.
    Refused(String),
}

impl Reply {
    /// Reads one answer.
    pub(super) async fn read<S: AsyncBufRead + Unpin + Send>(stream: &mut S) -> io::Result<Self> {
        read(stream, 0).await
    }

    /// The texts of a list of texts.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        let Self::List(entries) = self else { return None };
        entries.iter().map(Self::text).collect()
    }

    /// The text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::List(_) | Self::Nothing | Self::Refused(_) => None,
        }
    }

    /// The number.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::List(_) | Self::Nothing | Self::Refused(_) => None,
        }
    }

    /// The value of a key, in a list of keys and values.
    pub(super) fn value(&self, key: &str) -> Option<&Self> {
        let Self::List(entries) = self else { return None };
        let at = entries.iter().step_by(2).position(|it| it.text() == Some(key))?;
        entries.get(at * 2 + 1)
    }
}

fn odd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not Redis's protocol")
}

async fn read<S: AsyncBufRead + Unpin + Send>(stream: &mut S, depth: usize) -> io::Result<Reply> {
    let mut line = Vec::new();
    (&mut *stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    let line = match line.strip_suffix(b"\r\n") {
        Some(line) => std::str::from_utf8(line).map_err(|_| odd())?,
        None if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
        None => return Err(odd()),
    };
    let kind = line.chars().next().ok_or_else(odd)?;
    let rest = line.get(kind.len_utf8()..).unwrap_or_default();
    let count = || match rest {
        "-1" => Ok(None),
        _ => rest.parse::<usize>().map(Some).map_err(|_| odd()),
    };
    match kind {
        '+' => Ok(Reply::Text(rest.to_owned())),
        '-' => Ok(Reply::Refused(rest.to_owned())),
        ':' => rest.parse().map(Reply::Number).map_err(|_| odd()),
        '$' => match count()? {
            None => Ok(Reply::Nothing),
            Some(length) if length > TEXT_BYTES_MAX => Err(odd()),
            Some(length) => text(stream, length).await,
        },
        '*' => match count()? {
            None => Ok(Reply::Nothing),
            Some(length) if length > LIST_MAX || depth == DEPTH_MAX => Err(odd()),
            Some(length) => {
                let mut entries = Vec::new();
                for _ in 0..length {
                    entries.push(Box::pin(read(stream, depth + 1)).await?);
                }
                Ok(Reply::List(entries))
            }
        },
        _ => Err(odd()),
    }
}

async fn text<S: AsyncBufRead + Unpin + Send>(stream: &mut S, length: usize) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let whole = u64::try_from(length).map_err(|_| odd())?.saturating_add(2);
    (&mut *stream).take(whole).read_to_end(&mut bytes).await?;
    let bytes = bytes.strip_suffix(b"\r\n").filter(|bytes| bytes.len() == length).ok_or_else(odd)?;
    Ok(Reply::Text(String::from_utf8(bytes.to_vec()).map_err(|_| odd())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(bytes: &[u8]) -> io::Result<Reply> {
        Reply::read(&mut &*bytes).await
    }

    #[tokio::test]
    async fn answers_of_every_kind_are_read() {
        let text = |text: &str| Reply::Text(text.to_owned());
        assert_eq!(parse(b"+OK\r\n").await.unwrap(), text("OK"));
        assert_eq!(parse(b":7\r\n").await.unwrap().number(), Some(7));
        assert_eq!(parse(b"$-1\r\n").await.unwrap(), Reply::Nothing);
        assert_eq!(parse(b"-NOPERM no\r\n").await.unwrap(), Reply::Refused("NOPERM no".to_owned()));
        let map = parse(b"*4\r\n$2\r\nid\r\n:9\r\n$4\r\nmode\r\n$3\r\na\nb\r\n").await.unwrap();
        assert_eq!(map.value("id").and_then(Reply::number), Some(9));
        assert_eq!(map.value("mode"), Some(&text("a\nb")));
        assert_eq!(map.value("a\nb"), None, "a value is no key");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_refused_within_bounds() {
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 2);
        let cases: [&[u8]; 9] = [
            b"",
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            b"+no end",
            b"$5\r\nab\r\n",
            b"$2\r\nabcd\r\n",
            b"$99999999999\r\n",
            b"*99999999\r\n",
            b":seven\r\n",
            &deep,
        ];
        for bytes in cases {
            assert!(parse(bytes).await.is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
