pub(crate) mod escapes;
pub(crate) mod pem;
pub(crate) mod radix;
pub(crate) mod shell;
pub(crate) mod variants;

use std::fmt;

/// The encoding in which a value was found.
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
    /// Percent-encoding (RFC 3986) of paths, queries, components and user names, in both cases; also applied twice.
    Percent,
    /// `application/x-www-form-urlencoded`, where a space is `+`.
    Form,
    /// The inside of a JSON string (RFC 8259), with or without `\/`; `\u` for non-ASCII, for HTML-sensitive
    /// characters, or for those that .NET, Gson and PHP escape.
    Json,
    /// A JSON string inside a JSON string.
    JsonTwice,
    /// XML or HTML text or attribute, with named or numbered entities.
    Xml,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// In quotes that are doubled inside: single quotes of YAML, double quotes of SQL, PgBouncer and CSV.
    Quoted,
    /// With `$$` for `$`: compose files, in any of YAML's quotes.
    Dollars,
    /// With `\` before `:` and `\`: the password file of libpq.
    Pgpass,
    /// Quoted for a shell: `'\''`, double quotes, backslashes, `$'…'`.
    Shell,
    /// The bytes themselves, as a whole word.
    Word,
}

impl Encoding {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw | Self::Word => "plain",
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
