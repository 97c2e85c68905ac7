use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyroll_http::header::HeaderValue;
use keyroll_http::{Method, Response, secret_header};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::attempt::{Attempt, Nature};
use crate::failure::{REACH, foreign, refused, says};
use crate::private_file;
use crate::server::Server;

/// A token is not used any more when its lease ends within this time, milliseconds: it would end on its way.
const LEASE_LEFT_MS_MIN: u64 = 10_000;

/// The login with AppRole. Its token is kept in this process only.
/// Source: <https://developer.hashicorp.com/vault/api-docs/auth/approle#login-with-approle>.
pub(crate) struct AppRole {
    mount: String,
    role_id: String,
    secret_id: PathBuf,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: SecretBytes,
    /// When the lease ends; `None` for one without an end.
    until: Option<Instant>,
}

#[derive(Deserialize)]
struct LoginAnswer<'a> {
    #[serde(borrow)]
    auth: Granted<'a>,
}

#[derive(Deserialize)]
struct Granted<'a> {
    client_token: &'a str,
    /// Seconds; 0 for no end.
    lease_duration: u64,
}

impl AppRole {
    pub(crate) fn new(mount: &str, role_id: String, secret_id: PathBuf) -> Self {
        Self { mount: mount.trim_matches('/').to_owned(), role_id, secret_id, held: Mutex::new(None) }
    }

    /// The token, as long as its lease lasts.
    pub(crate) fn token(&self) -> Option<HeaderValue> {
        let held = self.lock();
        let held = held.as_ref()?;
        let least = Duration::from_millis(LEASE_LEFT_MS_MIN);
        let lasts = |until: Instant| until.saturating_duration_since(Instant::now()) > least;
        held.until.is_none_or(lasts).then(|| header(&held.token))?
    }

    /// The next request begins with a login.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// Logs in. The secret id is read each time: it may have been replaced.
    pub(crate) async fn log_in(&self, server: &Server, of: &Attempt<'_>) -> Result<HeaderValue, Failure> {
        // Whatever the login is for has not been sent yet.
        let attempt = Attempt { what: "log in with AppRole for", nature: Nature::Read, ..*of };
        let secret_id = private_file::read(&attempt, &self.secret_id)?;
        let Some(body) = self.body(&secret_id) else {
            let failure = attempt.fail(Class::Permanent, attempt.codes.access);
            return Err(failure.because("the secret id is no text").help(self.help()));
        };
        let path = format!("auth/{}/login", self.mount);
        let answer = server.send(Method::POST, &path, None, body).await;
        let answer = answer.map_err(|error| attempt.not_answered(&error, REACH))?;
        let why = match answer.status {
            200 => return self.keep(&attempt, &answer),
            400 if says(&answer, "invalid role or secret ID") => {
                "it does not know this role id with this secret id, which may have been used up or have ended"
                    .to_owned()
            }
            400 if says(&answer, "source address") => {
                "the role or the secret id may not be used from the address of this machine".to_owned()
            }
            400 if says(&answer, "DR secondary") => return Err(refused(&attempt, &answer)),
            400 | 403 | 404 | 405 => format!("auth/{} refused the login ({})", self.mount, answer.status),
            _ => return Err(refused(&attempt, &answer)),
        };
        Err(attempt.fail(Class::Permanent, attempt.codes.access).because(why).help(self.help()))
    }

    fn help(&self) -> String {
        format!(
            "make a new secret id (`vault write -f auth/{}/role/ROLE/secret-id`), write it into {}, mode 0600, and compare \
             `role_id` and the namespace",
            self.mount,
            self.secret_id.display()
        )
    }

    /// `None` where the secret id is no text.
    fn body(&self, secret_id: &SecretBytes) -> Option<Zeroizing<Vec<u8>>> {
        let role_id = serde_json::to_string(&self.role_id).ok()?;
        let secret_id = std::str::from_utf8(secret_id.expose()).ok()?;
        // In one buffer of the full size. JSON makes six bytes of one at most.
        let mut body = Zeroizing::new(Vec::with_capacity(64 + role_id.len() + 6 * secret_id.len()));
        body.extend_from_slice(b"{\"role_id\":");
        body.extend_from_slice(role_id.as_bytes());
        body.extend_from_slice(b",\"secret_id\":");
        serde_json::to_writer(&mut *body, secret_id).ok()?;
        body.push(b'}');
        Some(body)
    }

    fn keep(&self, attempt: &Attempt<'_>, answer: &Response) -> Result<HeaderValue, Failure> {
        // The parser's own message is dropped: it repeats a part of the text.
        let read: Result<LoginAnswer<'_>, _> = serde_json::from_slice(&answer.body);
        let granted = read.map_err(|_| foreign(attempt, answer))?.auth;
        if granted.client_token.is_empty() {
            let failure = attempt.fail(Class::Permanent, attempt.codes.access);
            let failure = failure.because("the login asks for a second factor");
            return Err(failure.help("use a role without one (`vault list identity/mfa/login-enforcement`)"));
        }
        let token = SecretBytes::new(granted.client_token.as_bytes().to_vec());
        let value = header(&token).ok_or_else(|| foreign(attempt, answer))?;
        let lease = Some(granted.lease_duration).filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let until = lease.and_then(|lease| Instant::now().checked_add(lease));
        *self.lock() = Some(Held { token, until });
        Ok(value)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token as a header's value; `None` where it has a byte that no header can carry.
pub(crate) fn header(token: &SecretBytes) -> Option<HeaderValue> {
    secret_header(Zeroizing::new(token.expose().to_vec()))
}
