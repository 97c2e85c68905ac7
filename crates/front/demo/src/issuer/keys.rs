use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use zeroize::Zeroizing;

use super::key::{DELAY_MS_MAX, DELAY_MS_MIN, Dates, Digest, Key, Shown};

/// The most keys that the issuer keeps, deleted ones included.
const KEYS_MAX: usize = 1_000;
/// Random bytes of a value: 30 give 40 characters of base64 without padding.
const VALUE_BYTES: usize = 30;

/// Every key that was ever made, in order.
pub(crate) struct Keys {
    admin: Digest,
    keys: Vec<Key>,
}

/// The caller, by the presented key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The admin key.
    Admin,
    /// A key that is accepted, by its id.
    Key(String),
    /// A key that is known and not accepted, by its id.
    Refused(String),
    /// An unknown key.
    Nobody,
}

impl Keys {
    /// No keys yet, and a new admin key.
    pub(crate) fn new() -> Result<(Self, Zeroizing<String>), Failure> {
        let admin = value("acme_admin_")?;
        Ok((Self { admin: digest_of(admin.as_bytes()), keys: Vec::new() }, admin))
    }

    /// Makes a key; its value is returned only here.
    pub(crate) fn mint(&mut self, label: String) -> Result<(String, Zeroizing<String>), Failure> {
        if self.keys.len() >= KEYS_MAX {
            return Err(Failure::new(
                Class::Permanent,
                Code::DemoFailed,
                "mint one more key at the demo's issuer",
            ));
        }
        let value = value("acme_sk_")?;
        let id = format!("key_{:04}{:04x}", self.keys.len() + 1, u16::from_le_bytes(random()?));
        let span = DELAY_MS_MAX - DELAY_MS_MIN + 1;
        let delay = DELAY_MS_MIN + u64::from(u32::from_le_bytes(random()?)) % span;
        let digest = digest_of(value.as_bytes());
        self.keys.push(Key::new(id.clone(), label, &value, digest, Duration::from_millis(delay)));
        Ok((id, value))
    }

    /// The owner of this value.
    pub(crate) fn caller(&self, value: Option<&[u8]>, now: Instant) -> Caller {
        let Some(digest) = value.map(digest_of) else { return Caller::Nobody };
        if digest == self.admin {
            return Caller::Admin;
        }
        match self.keys.iter().find(|key| key.digest == digest) {
            Some(key) if key.accepts(now) => Caller::Key(key.id.clone()),
            Some(key) => Caller::Refused(key.id.clone()),
            None => Caller::Nobody,
        }
    }

    /// A key that was not deleted.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Key> {
        self.keys.iter_mut().find(|key| key.id == id && !key.is_deleted())
    }

    /// A key, even after it was deleted.
    pub(crate) fn get(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// One page of the list, and where the next one starts. `None`: no such cursor.
    pub(crate) fn page(
        &self,
        cursor: Option<&str>,
        size: usize,
        now: Instant,
    ) -> Option<(Vec<Shown>, Option<String>)> {
        let start = match cursor {
            Some(id) => self.keys.iter().position(|key| key.id == id)?,
            None => 0,
        };
        let mut listed = self.keys.iter().skip(start).filter(|key| key.is_listed(now));
        let page = listed.by_ref().take(size).map(Key::shown).collect();
        Some((page, listed.next().map(|key| key.id.clone())))
    }

    pub(crate) fn used(&mut self, id: &str) {
        if let Some(key) = self.keys.iter_mut().find(|key| key.id == id) {
            key.used();
        }
    }

    pub(crate) fn dates(&self) -> Vec<Dates> {
        self.keys.iter().map(Key::dates).collect()
    }
}

fn digest_of(value: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, value).as_ref());
    out
}

/// A new value. It may hold `+` and `/`, so that a URL made from it needs percent-encoding.
fn value(prefix: &str) -> Result<Zeroizing<String>, Failure> {
    let bytes = Zeroizing::new(random::<VALUE_BYTES>()?);
    let mut value = Zeroizing::new(String::with_capacity(64));
    value.push_str(prefix);
    STANDARD_NO_PAD.encode_string(bytes.as_slice(), &mut value);
    Ok(value)
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
        Failure::new(Class::Retryable, Code::DemoFailed, "draw random bytes for the demo's issuer")
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_millis(DELAY_MS_MAX)
    }

    #[test]
    fn a_list_is_read_page_by_page() {
        let (mut keys, _) = Keys::new().unwrap();
        let made: Vec<String> = (0..5).map(|n| keys.mint(format!("k{n}")).unwrap().0).collect();
        assert_eq!(keys.page(None, 2, Instant::now()).unwrap().0.len(), 0, "not born yet");
        let (first, next) = keys.page(None, 2, later()).unwrap();
        assert_eq!((first.len(), next.as_deref()), (2, Some(made[2].as_str())));
        let (last, end) = keys.page(Some(&made[4]), 2, later()).unwrap();
        assert_eq!((last.len(), end), (1, None));
        assert!(keys.page(Some("key_none"), 2, later()).is_none());
    }

    #[test]
    fn callers_are_told_apart_by_their_value_alone() {
        let (mut keys, admin) = Keys::new().unwrap();
        let (id, value) = keys.mint("a".into()).unwrap();
        assert_eq!(keys.caller(Some(admin.as_bytes()), later()), Caller::Admin);
        assert_eq!(keys.caller(Some(value.as_bytes()), later()), Caller::Key(id.clone()));
        assert_eq!(keys.caller(Some(value.as_bytes()), Instant::now()), Caller::Refused(id));
        assert_eq!(keys.caller(Some(b"acme_sk_other"), later()), Caller::Nobody);
        assert_eq!(keys.caller(None, later()), Caller::Nobody);
    }
}
