//! A secret that is being driven.

use aws_lc_rs::hmac;
use keyroll_app::places::Asker;
use tokio::sync::watch;

use super::errand::{Operate, Work};
use crate::seen::Seen;

/// A secret that is being driven, or waits for its turn.
pub(crate) struct Drive {
    pub(crate) seen: watch::Receiver<Seen>,
    /// The value that it was begun with.
    pub(super) value: Option<hmac::Tag>,
    pub(super) work: Work,
    /// Who asked for it.
    pub(super) asker: Asker,
    /// Told once, when another one takes its place, or an operator wants a pause.
    pub(super) withdrawn: watch::Sender<bool>,
}

impl Drive {
    /// It was begun with a key that somebody brought.
    pub(crate) fn has_value(&self) -> bool {
        self.value.is_some()
    }

    /// It is no emergency: it makes way for one, and asks nobody to make way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.work.is_quiet()
    }

    /// What an operator asked for.
    pub(crate) fn operate(&self) -> Option<&Operate> {
        self.work.operate()
    }

    /// The rotation that it is about, once that is known.
    pub(crate) fn rotation(&self) -> Option<String> {
        let asked = self.operate().map(|operate| operate.rotation.clone());
        asked.or_else(|| self.seen.borrow().rotation.clone())
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        let mut seen = self.seen.clone();
        // A sender that is gone has ended, too.
        let _ = seen.wait_for(|seen| seen.ended).await;
    }
}
