use std::fmt;

/// The form in which a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// The bytes themselves.
    Raw,
    /// Base64 with `+` and `/` (RFC 4648 §4), at any of its three alignments.
    Base64,
    /// Base64 with `-` and `_` (RFC 4648 §5), where that differs.
    Base64Url,
    /// Base64 of base64 that begins with the value, at any of the outer one's three alignments.
    Base64Twice,
    /// Hexadecimal with `a`–`f`.
    HexLower,
    /// Hexadecimal with `A`–`F`.
    HexUpper,
    /// Base32 (RFC 4648 §6), at any of its five alignments.
    Base32,
    /// Percent-encoding (RFC 3986), as paths, queries, components and user names have it, in both cases; also twice.
    Percent,
    /// `application/x-www-form-urlencoded`, where a space is `+`.
    Form,
    /// The inside of a JSON string (RFC 8259), with or without `\/`, `\u` for what is not ASCII or not safe in HTML, or for
    /// more marks, as .NET, Gson and PHP write them.
    Json,
    /// A JSON string inside a JSON string.
    JsonTwice,
    /// XML or HTML text or attribute, with named or numbered entities.
    Xml,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// Between quotes that are written twice inside: YAML's single ones, SQL's, PgBouncer's and CSV's double ones.
    Quoted,
    /// Where `$` is written `$$`: compose files, in any of YAML's quotes.
    Dollars,
    /// Where `\` stands before `:` and `\`: libpq's password file.
    Pgpass,
    /// As shells write it: between quotes that end before `'`, with `\` before what is special, in `$'…'`.
    Shell,
}

impl Encoding {
    /// The name that people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "plain",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Base64Twice => "base64 twice",
            Self::HexLower | Self::HexUpper => "hex",
            Self::Base32 => "base32",
            Self::Percent => "percent-encoded",
            Self::Form => "form-encoded",
            Self::Json => "JSON-escaped",
            Self::JsonTwice => "JSON-escaped twice",
            Self::Xml => "XML-escaped",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Quoted => "quoted",
            Self::Dollars => "with $ written twice",
            Self::Pgpass => "escaped as in .pgpass",
            Self::Shell => "quoted for a shell",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
