use keyroll_http::is_loopback;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;

use crate::template::Template;

/// A host, and its port if that is not 443: `openrouter.ai`, `127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Host {
    /// A DNS name in lower case, or an address (IPv6 without its brackets).
    pub(crate) name: String,
    /// The TCP port.
    pub(crate) port: u16,
}

impl Host {
    fn parse(text: &str, port_default: u16) -> Result<Self, &'static str> {
        const FORM: &str = "a host is a lower-case name or an address, with a port where it is not 443";
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (name, port) = rest.split_once(']').ok_or(FORM)?;
            name.parse::<IpAddr>().map_err(|_| FORM)?;
            (name, port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or(FORM)?)
        } else {
            text.split_once(':').unwrap_or((text, ""))
        };
        let shown = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
        if name.is_empty() || name.len() > 253 || !name.bytes().all(shown) {
            return Err(FORM);
        }
        let port = if port.is_empty() { port_default } else { port.parse().map_err(|_| FORM)? };
        if port == 0 { Err(FORM) } else { Ok(Self { name: name.to_owned(), port }) }
    }

    /// A host of an address without encryption.
    pub(crate) fn plain(text: &str) -> Option<Self> {
        Self::parse(text, 80).ok()
    }

    /// `name:port`, as endpoints are named.
    pub(crate) fn endpoint(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    /// The value of the Host header, without the scheme's default port.
    pub(crate) fn authority(&self, tls: bool) -> String {
        let own = if tls { 443 } else { 80 };
        let endpoint = self.endpoint();
        if self.port == own {
            endpoint.rsplit_once(':').map_or(endpoint.clone(), |(name, _)| name.to_owned())
        } else {
            endpoint
        }
    }
}

impl TryFrom<String> for Host {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text, 443)
    }
}

/// The address of a request: `https://host[:port]/path/{cred.id}`. Placeholders may occur only in path segments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Target {
    /// Whether the scheme is `https`; `http` is allowed for loopback only.
    pub(crate) tls: bool,
    /// The host, fixed in the spec.
    pub(crate) host: Host,
    /// The segments of the path.
    pub(crate) segments: Vec<Template>,
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) | None => return Err("a url starts with https:// (http:// for loopback only)".to_owned()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains(['{', '}', '@']) {
            return Err("the host of a url is fixed: no placeholder and no user name in it".to_owned());
        }
        let host = Host::parse(authority, if tls { 443 } else { 80 })?;
        if !tls && !is_loopback(&host.name) {
            return Err("http:// is for loopback only; this host needs https://".to_owned());
        }
        if path.contains(['?', '#']) {
            return Err("a url has no `?` or `#`; write the query as query = { name = \"value\" }".to_owned());
        }
        let shown = |byte: u8| byte.is_ascii_graphic();
        if !path.bytes().all(shown) {
            return Err("a url's path is printable ASCII without spaces".to_owned());
        }
        let segments = path.split('/').map(|segment| Template::try_from(segment.to_owned()));
        let segments = segments.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { tls, host, segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_schemes() {
        let target = |text: &str| Target::try_from(text.to_owned());
        let keys = target("https://openrouter.ai/api/v1/keys/{cred.id}").unwrap();
        assert_eq!(keys.host.endpoint(), "openrouter.ai:443");
        assert_eq!(keys.host.authority(true), "openrouter.ai");
        assert_eq!(keys.segments.len(), 4);
        assert_eq!(target("http://127.0.0.1:8080/x").unwrap().host.authority(false), "127.0.0.1:8080");
        assert_eq!(target("http://[::1]:8080/x").unwrap().host.authority(false), "[::1]:8080");
        for wrong in [
            "http://example.com/",
            "ftp://example.com/",
            "https://{cred.id}.example.com/",
            "https://user@example.com/",
            "https://example.com/?a=b",
            "https://example.com:0/",
            "https://EXAMPLE.com/",
            "https://",
            "https://exa mple.com/",
        ] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
