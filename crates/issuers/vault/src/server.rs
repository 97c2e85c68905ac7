use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keyroll_http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use keyroll_http::tls::ClientConfig;
use keyroll_http::{
    Endpoint, Excess, HttpError, Limits, Method, Request, Response, Stream, Uri, connect, dial, exchange,
    is_loopback, percent_encode, tls,
};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::settings::SOCKET;

/// How long one request may take, from the name's look-up to the last byte of the answer, milliseconds.
const REQUEST_MS_MAX: u64 = 20_000;

/// The largest answer, bytes. The storage of Vault takes 1 MiB for an entry.
/// Source: <https://developer.hashicorp.com/vault/docs/internals/limits>.
const ANSWER_BYTES_MAX: usize = 4 << 20;

const LIMITS: Limits = Limits {
    time: Duration::from_millis(REQUEST_MS_MAX),
    body_bytes_max: ANSWER_BYTES_MAX,
    excess: Excess::Refuse,
};

/// The header with the token. Source: <https://developer.hashicorp.com/vault/api-docs#authentication>.
const TOKEN: &str = "x-vault-token";

/// The header that an agent or a proxy may demand, so that no browser of this machine can be made to ask it.
/// Source: <https://developer.hashicorp.com/vault/api-docs#the-x-vault-request-header>.
const FROM_A_CLIENT: &str = "x-vault-request";

/// Source: <https://developer.hashicorp.com/vault/api-docs#namespaces>.
const NAMESPACE: &str = "x-vault-namespace";

/// How the server is reached.
enum Route {
    Tcp {
        host: String,
        port: u16,
        encrypted: bool,
        /// The authorities to trust; `None` for the machine's own.
        roots: Option<Arc<ClientConfig>>,
    },
    Socket(PathBuf),
}

/// A server of Vault or OpenBao, or an agent before it.
pub(crate) struct Server {
    route: Route,
    /// For the header `Host`.
    authority: String,
    /// A path before `/v1`, where the server is behind a proxy.
    base: String,
    namespace: Option<HeaderValue>,
    limits: Limits,
    /// `https://vault.example:8200`, with the namespace where there is one.
    shown: String,
}

impl Server {
    /// The server at this address; or why it is not asked.
    pub(crate) fn at(address: &str, ca: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = address.strip_prefix(SOCKET) {
            return Ok(Self::socket(Path::new(path)));
        }
        let no_url = || "its address is no URL that begins with https://, http:// or unix://".to_owned();
        let uri: Uri = address.parse().map_err(|_| no_url())?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(no_url()),
        };
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else { return Err(no_url()) };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err("its address has more than a host, a port and a path".to_owned());
        }
        // An IPv6 address stands in brackets in an address, and without them for a look-up.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !encrypted && !is_loopback(&host) {
            return Err(format!(
                "its address is http, which shows what is sent, and {host} is another machine"
            ));
        }
        let roots = match ca.filter(|_| encrypted) {
            Some(file) => Some(tls::client_config(Some(file)).map_err(|error| error.to_string())?),
            None => None,
        };
        let base = uri.path().trim_end_matches('/').to_owned();
        let scheme = if encrypted { "https" } else { "http" };
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Ok(Self {
            route: Route::Tcp { host, port, encrypted, roots },
            authority: authority.as_str().to_owned(),
            shown: format!("{scheme}://{authority}{base}"),
            base,
            namespace: None,
            limits: LIMITS,
        })
    }

    /// The server at a Unix socket.
    pub(crate) fn socket(path: &Path) -> Self {
        Self {
            route: Route::Socket(path.to_owned()),
            authority: "localhost".to_owned(),
            base: String::new(),
            namespace: None,
            limits: LIMITS,
            shown: format!("unix:{}", path.display()),
        }
    }

    /// The same server, asked within a namespace; `None` where the name cannot stand in a header.
    pub(crate) fn within(self, namespace: &str) -> Option<Self> {
        let name = namespace.trim_matches('/');
        let shown = format!("{}, namespace {name}", self.shown);
        Some(Self { namespace: Some(HeaderValue::from_str(name).ok()?), shown, ..self })
    }

    /// The same server, where one request may take so many milliseconds.
    pub(crate) fn limited(self, request_ms_max: u64) -> Self {
        let limits = Limits { time: Duration::from_millis(request_ms_max), ..self.limits };
        Self { limits, ..self }
    }

    /// For people.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Sends one request, once. The path is one below `/v1/`, without escapes.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<HeaderValue>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Response, HttpError> {
        let mut target = format!("{}/v1", self.base);
        for part in path.split('/') {
            target.push('/');
            percent_encode(&mut target, part.as_bytes());
        }
        let named =
            |name, value: Option<HeaderValue>| value.map(|value| (HeaderName::from_static(name), value));
        let mut headers = vec![(HeaderName::from_static(FROM_A_CLIENT), HeaderValue::from_static("true"))];
        headers.extend(named(NAMESPACE, self.namespace.clone()));
        headers.extend(named(TOKEN, token));
        if !body.is_empty() {
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        }
        let request = Request {
            method,
            target: Zeroizing::new(target),
            authority: self.authority.clone(),
            headers,
            body,
            in_one_piece: false,
        };
        exchange(self.open(), request, &self.limits).await
    }

    async fn open(&self) -> Result<Box<dyn Stream>, HttpError> {
        match &self.route {
            Route::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|error| HttpError::NotSent(error.kind().to_string()))?;
                Ok(Box::new(stream))
            }
            Route::Tcp { host, port, encrypted, roots } => {
                let endpoint = Endpoint { host, port: *port, tls: *encrypted };
                let Some(roots) = roots else {
                    let local = OnceLock::new();
                    return connect(endpoint, &local).await;
                };
                let stream = dial(endpoint).await?;
                Ok(Box::new(tls::handshake(stream, host, roots).await?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: &str) -> Result<String, String> {
        Server::at(address, None).map(|server| server.shown().to_owned())
    }

    #[test]
    fn nothing_is_sent_to_another_machine_unencrypted() {
        for good in [
            "https://vault.example:8200",
            "https://vault.example",
            "https://proxy.example/vault",
            "http://127.0.0.1:8200",
            "http://[::1]:8200",
        ] {
            assert_eq!(shown(good).as_deref(), Ok(good));
        }
        assert_eq!(shown("https://vault.example:8200/").as_deref(), Ok("https://vault.example:8200"));
        assert_eq!(shown("unix:///run/vault.sock").as_deref(), Ok("unix:/run/vault.sock"));
        for bad in ["http://vault.example:8200", "http://192.0.2.1:8200", "http://10.0.0.5"] {
            assert!(shown(bad).is_err_and(|why| why.contains("another machine")), "{bad}");
        }
        for bad in ["vault.example:8200", "vault.example", "", "ftp://vault.example", "/run/vault.sock"] {
            assert!(shown(bad).is_err_and(|why| why.contains("no URL")), "{bad}");
        }
        let login = shown("https://ada:canary@vault.example").err().unwrap();
        assert!(!login.contains("canary"), "{login}");
    }

    #[test]
    fn a_namespace_is_part_of_what_is_shown() {
        let server = Server::at("https://vault.example", None).unwrap().within("team-a/").unwrap();
        assert_eq!(server.shown(), "https://vault.example, namespace team-a");
        assert!(Server::at("https://vault.example", None).unwrap().within("a\nb").is_none());
    }
}
