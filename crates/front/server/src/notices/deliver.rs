//! Sends one notice to one recipient, in its way. One attempt; whether and when there is another one, the caller decides.

use keyroll_config::{Recipient, Way};

use super::notice::{Notice, Undelivered};
use super::{mail, webhook};

/// Sends a notice. After an error the recipient may have got it all the same: an answer can be lost.
///
/// # Errors
/// A sentence with the host of the receiver, and no other part of its address.
pub(crate) async fn deliver(to: &Recipient, notice: &Notice) -> Result<(), Undelivered> {
    let (id, notice) = (notice.message.clone(), notice.passed());
    let sent = match &to.way {
        Way::Webhook { url, secret } => webhook::post(url, secret.as_deref(), &id, &notice).await,
        Way::Slack { url } => webhook::slack(url, &notice).await,
        Way::Mail { server, from, to, login } => {
            mail::mail(server, from, to, login.as_deref(), &id, &notice).await
        }
    };
    sent.map_err(Undelivered::passed)
}
