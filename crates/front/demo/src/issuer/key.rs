use std::time::{Duration, Instant};

use serde::Serialize;

use super::clock::unix_ms;

/// The shortest and longest delay until a new key works, and until disabling or deleting a key takes effect.
pub(crate) const DELAY_MS_MIN: u64 = 1_000;
pub(crate) const DELAY_MS_MAX: u64 = 3_000;

/// SHA-256 of a value: enough to recognise the value, but a search for the value does not find it.
pub(crate) type Digest = [u8; 32];

/// One key, without its value.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) digest: Digest,
    /// The value's first and last characters.
    hint: String,
    /// The delay with which creating, switching and deleting this key take effect.
    delay: Duration,
    born: Instant,
    /// Whether the key was enabled before the last switch, whether it is afterwards, and when that switch takes effect.
    switch: (bool, bool, Instant),
    /// When it stops working, once it was deleted.
    dies: Option<Instant>,
    last_used_unix_ms: Option<u64>,
    minted_unix_ms: u64,
    deleted_unix_ms: Option<u64>,
}

/// A key as the list shows it.
#[derive(Serialize)]
pub(crate) struct Shown {
    id: String,
    name: String,
    disabled: bool,
    last_used_ms: Option<u64>,
    hint: String,
}

/// A key's dates for the closing table, in milliseconds since the Unix epoch.
#[derive(Serialize)]
pub(crate) struct Dates {
    id: String,
    name: String,
    minted_unix_ms: u64,
    deleted_unix_ms: Option<u64>,
    dead_unix_ms: Option<u64>,
}

impl Key {
    pub(crate) fn new(id: String, label: String, value: &str, digest: Digest, delay: Duration) -> Self {
        let now = Instant::now();
        let tail = value.get(value.len().saturating_sub(4)..).unwrap_or_default();
        Self {
            id,
            label,
            digest,
            hint: format!("acme_…{tail}"),
            delay,
            born: now + delay,
            switch: (true, true, now),
            dies: None,
            last_used_unix_ms: None,
            minted_unix_ms: unix_ms(),
            deleted_unix_ms: None,
        }
    }

    /// Whether a call with it is accepted at this moment.
    pub(crate) fn accepts(&self, now: Instant) -> bool {
        let (before, after, at) = self.switch;
        let on = if now >= at { after } else { before };
        now >= self.born && on && self.dies.is_none_or(|dies| now < dies)
    }

    /// Whether lists show it: from when it works until it is deleted.
    pub(crate) fn is_listed(&self, now: Instant) -> bool {
        now >= self.born && self.dies.is_none()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.dies.is_some()
    }

    /// Disables or enables it, with this key's delay.
    pub(crate) fn set_disabled(&mut self, disabled: bool, now: Instant) {
        let (before, after, at) = self.switch;
        if after == disabled {
            self.switch = (if now >= at { after } else { before }, !disabled, now + self.delay);
        }
    }

    /// Deletes it; it works until its delay is over.
    pub(crate) fn delete(&mut self, now: Instant) {
        if self.dies.is_none() {
            self.dies = Some(now + self.delay);
            self.deleted_unix_ms = Some(unix_ms());
        }
    }

    pub(crate) fn used(&mut self) {
        self.last_used_unix_ms = Some(unix_ms());
    }

    pub(crate) fn shown(&self) -> Shown {
        let (_, on, _) = self.switch;
        Shown {
            id: self.id.clone(),
            name: self.label.clone(),
            disabled: !on,
            last_used_ms: self.last_used_unix_ms,
            hint: self.hint.clone(),
        }
    }

    pub(crate) fn dates(&self) -> Dates {
        let delay = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        Dates {
            id: self.id.clone(),
            name: self.label.clone(),
            minted_unix_ms: self.minted_unix_ms,
            deleted_unix_ms: self.deleted_unix_ms,
            dead_unix_ms: self.deleted_unix_ms.map(|at| at.saturating_add(delay)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn birth_switch_and_death_are_late() {
        let delay = Duration::from_millis(2_000);
        let mut key = Key::new("key_1".into(), "a".into(), "acme_sk_abcd", [0; 32], delay);
        let start = key.born;
        assert!(!key.accepts(start - Duration::from_millis(1)) && key.accepts(start));
        key.set_disabled(true, start);
        assert!(key.shown().disabled);
        assert!(key.accepts(start + delay / 2) && !key.accepts(start + delay));
        key.set_disabled(false, start + delay);
        assert!(!key.accepts(start + delay) && key.accepts(start + delay * 2));
        key.delete(start + delay * 3);
        assert!(key.accepts(start + delay * 3) && !key.is_listed(start + delay * 3));
        assert!(!key.accepts(start + delay * 4));
    }

    #[test]
    fn switching_twice_changes_nothing() {
        let delay = Duration::from_millis(1_000);
        let mut key = Key::new("key_1".into(), "a".into(), "acme_sk_abcd", [0; 32], delay);
        let start = key.born;
        key.set_disabled(true, start);
        key.set_disabled(true, start + delay);
        assert!(!key.accepts(start + delay));
    }
}
