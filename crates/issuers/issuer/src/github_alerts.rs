//! Reads the value of an alert of GitHub's secret scanning, which its webhook does not send.

use std::sync::OnceLock;
use std::time::Duration;

use keyroll_http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue};
use keyroll_http::{Endpoint, Excess, Limits, Request, bearer, connect, exchange, is_loopback, strict_json};
use keyroll_secret::SecretBytes;
use serde::Deserialize;

use crate::target::Host;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// The largest answer, bytes.
const BODY_BYTES_MAX: usize = 256 << 10;
/// The version of GitHub's API that this was written for.
const VERSION: &str = "2022-11-28";

/// GitHub, or a server of one's own.
pub struct GithubAlerts {
    tls: bool,
    host: Host,
    /// The path before `/repos`.
    path: String,
}

#[derive(Deserialize)]
struct Alert {
    secret: Option<String>,
}

impl GithubAlerts {
    /// The API at this address: `https://api.github.com`, `https://github.example/api/v3`. Without encryption only on
    /// this machine.
    pub fn at(address: &str) -> Option<Self> {
        let (tls, rest) = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, rest) => (false, rest?),
        };
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let host = if tls { Host::try_from(host.to_owned()).ok()? } else { Host::plain(host)? };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
        if !path.bytes().all(plain) || (!tls && !is_loopback(&host.name)) {
            return None;
        }
        Some(Self { tls, host, path: path.trim_end_matches('/').to_owned() })
    }

    /// The value of an alert; `None` if GitHub does not show it. `repository`: `owner/name`.
    /// <https://docs.github.com/en/rest/secret-scanning/secret-scanning#get-a-secret-scanning-alert>
    ///
    /// # Errors
    /// Why it could not be read, without a part of the answer.
    pub async fn value(
        &self,
        repository: &str,
        number: u64,
        token: &SecretBytes,
    ) -> Result<Option<SecretBytes>, String> {
        let at = self.host.endpoint();
        let part = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (1..=100).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
        };
        let named = repository.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name));
        if !named {
            return Err("the alert does not name a repository".to_owned());
        }
        let target = format!("{}/repos/{repository}/secret-scanning/alerts/{number}", self.path);
        let token = bearer(token).ok_or_else(|| "the token cannot be sent in a header".to_owned())?;
        let mut request = Request::get(self.host.authority(self.tls), target);
        request.headers = vec![
            (ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            (AUTHORIZATION, token),
            (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static(VERSION)),
        ];
        let endpoint = Endpoint { host: &self.host.name, port: self.host.port, tls: self.tls };
        let limits = Limits { time: ANSWER_MAX, body_bytes_max: BODY_BYTES_MAX, excess: Excess::Refuse };
        let local = OnceLock::new();
        let answer = exchange(connect(endpoint, &local), request, &limits).await;
        let answer = answer.map_err(|error| format!("{at}: {error}"))?;
        match answer.status {
            200 => {
                let alert: Alert = strict_json::read(&answer.body)
                    .map_err(|defect| format!("{at}: the answer is not understood: {defect}"))?;
                Ok(alert.secret.filter(|value| !value.is_empty()).map(SecretBytes::from))
            }
            401 | 403 => Err(format!(
                "{at} refuses the token (status {}): it needs to read alerts of secret scanning",
                answer.status
            )),
            404 => Err(format!("{at} has no such alert, or does not show it to this token (status 404)")),
            other => Err(format!("{at}: status {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_path() {
        for (address, endpoint, path) in [
            ("https://api.github.com", "api.github.com:443", ""),
            ("https://github.example/api/v3/", "github.example:443", "/api/v3"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", ""),
        ] {
            let found = GithubAlerts::at(address).unwrap();
            assert_eq!((found.host.endpoint().as_str(), found.path.as_str()), (endpoint, path), "{address}");
        }
        for bad in [
            "api.github.com",
            "ftp://api.github.com",
            "http://api.github.com",
            "https://",
            "https://a/?b",
            "https://A",
        ] {
            assert!(GithubAlerts::at(bad).is_none(), "{bad}");
        }
    }
}
