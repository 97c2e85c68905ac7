use crate::{CopyError, percent};

/// The position of a placeholder, which decides what may be written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Outside any URL.
    Text,
    /// Before the `@` of a URL.
    Userinfo,
    Host,
    Port,
    Path,
    Query,
    Fragment,
    /// `{field:raw}`.
    Raw,
}

/// What ends a URL inside a text.
const URL_ENDS: [char; 11] = [' ', '\t', '\n', '\r', '"', '\'', '<', '>', '`', '|', ';'];

impl Position {
    /// The position, from the text before and after the placeholder.
    pub(super) fn of(before: &str, behind: &str) -> Self {
        let word = before.rsplit(URL_ENDS).next().unwrap_or_default();
        let Some((_, inside)) = word.rsplit_once("://") else { return Self::Text };
        if inside.contains('#') {
            return Self::Fragment;
        }
        if inside.contains('?') {
            return Self::Query;
        }
        if inside.contains('/') {
            return Self::Path;
        }
        let behind = behind.split(URL_ENDS).next().unwrap_or_default();
        let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
        match (authority.contains('@'), inside.rsplit_once('@').map_or(inside, |(_, host)| host)) {
            (true, _) => Self::Userinfo,
            (false, host) if host.rsplit(']').next().is_some_and(|end| end.contains(':')) => Self::Port,
            (false, _) => Self::Host,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Userinfo => "user part",
            Self::Host => "host",
            Self::Port => "port",
            Self::Path => "path",
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::Raw => "raw text",
        }
    }

    pub(super) fn encodes(self) -> bool {
        match self {
            Self::Userinfo | Self::Path | Self::Query | Self::Fragment => true,
            Self::Text | Self::Host | Self::Port | Self::Raw => false,
        }
    }

    /// Why a byte cannot stand here.
    pub(super) fn refuses(self, byte: u8) -> Option<&'static str> {
        let harmless = byte.is_ascii_alphanumeric() || b"_-./:+=@,%^~".contains(&byte);
        match self {
            Self::Userinfo | Self::Path | Self::Query | Self::Fragment => {
                (byte == 0).then_some("no URL parser takes an encoded NUL")
            }
            Self::Host => {
                let host = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
                (!host).then_some("a host is of letters, digits, dots and dashes")
            }
            Self::Port => (!byte.is_ascii_digit()).then_some("a port is of digits"),
            Self::Text => {
                (!harmless).then_some("it has bytes that may mean something else to the file's reader")
            }
            Self::Raw => matches!(byte, 0 | b'\n' | b'\r').then_some("it has a NUL or a line end"),
        }
    }

    pub(super) fn write(self, name: &str, value: &[u8], out: &mut Vec<u8>) -> Result<(), CopyError> {
        if value.is_empty() {
            return Err(self.error(name, "it is empty"));
        }
        if let Some(why) = value.iter().find_map(|byte| self.refuses(*byte)) {
            return Err(self.error(name, why));
        }
        match self.encodes() {
            true => percent::encode(value, out),
            false => out.extend_from_slice(value),
        }
        Ok(())
    }

    pub(super) fn read(self, written: &[u8]) -> Option<Vec<u8>> {
        match self.encodes() {
            true => percent::decode(written),
            false => Some(written.to_vec()),
        }
    }

    pub(super) fn error(self, name: &str, why: &'static str) -> CopyError {
        CopyError::FieldNotCarried { name: name.to_owned(), position: self.name(), why }
    }

    /// Whether a byte can be a part of the written value, and not its end.
    pub(super) fn stands(self, byte: u8) -> bool {
        match self {
            Self::Userinfo | Self::Path | Self::Query | Self::Fragment => {
                byte.is_ascii_graphic() && !URL_ENDS.contains(&char::from(byte)) && !b"/?#@:&".contains(&byte)
            }
            Self::Host | Self::Port | Self::Text | Self::Raw => self.refuses(byte).is_none(),
        }
    }
}
