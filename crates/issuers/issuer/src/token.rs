//! The access token that an issuer gives in exchange for the admin credential.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long a token works if the issuer does not say it, in seconds.
const LASTS_DEFAULT_S: u64 = 120;

/// How long before its end a token is no longer used, in seconds: a request with it still has to arrive.
const SPARE_S: u64 = 60;

/// The longest time for which a token is used, in seconds, whatever the issuer says.
const LASTS_MAX_S: u64 = 3_600;

/// The access token of one runner's admin, as long as it works. It is kept in memory alone.
#[derive(Default)]
pub(crate) struct AccessToken(Mutex<Option<Held>>);

struct Held {
    token: Zeroizing<String>,
    until: Instant,
}

/// The place of the token while one is requested: others wait for it.
pub(crate) struct Place<'a>(MutexGuard<'a, Option<Held>>);

impl AccessToken {
    /// The token, if one is held; otherwise its place.
    pub(crate) async fn held(&self) -> Result<Zeroizing<String>, Place<'_>> {
        let held = self.0.lock().await;
        match held.as_ref().filter(|held| held.until > Instant::now()) {
            Some(held) => Ok(held.token.clone()),
            None => Err(Place(held)),
        }
    }

    /// Drops the token: the issuer has just refused it.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

impl Place<'_> {
    /// Keeps a token that was requested at this time and works for so many seconds, as far as the issuer says.
    pub(crate) fn keep(mut self, token: &Zeroizing<String>, requested: Instant, lasts_s: Option<u64>) {
        let lasts = lasts_s.unwrap_or(LASTS_DEFAULT_S).min(LASTS_MAX_S);
        // A token of short life is used for half of it.
        let used = Duration::from_secs(lasts.saturating_sub(SPARE_S).max(lasts / 2));
        *self.0 = Some(Held { token: token.clone(), until: requested + used });
    }
}
