//! The share of each followed namespace in the composed configuration: none takes the room of another.

use std::collections::BTreeMap;

use keyroll_config::CONFIG_BYTES_MAX;

use crate::base::Base;
use crate::refusal::Refusal;

/// What the tables of objects take, and what they may.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// What the base file leaves, bytes.
    room: u64,
    /// An equal part of it for each followed namespace.
    share: u64,
    /// By secret: the bytes of its table; as long as nothing is decided about it, those of the table that counted before.
    tables: BTreeMap<String, u64>,
    /// The same by namespace.
    taken: BTreeMap<String, u64>,
}

impl Shares {
    /// Those beside this base file; no table takes anything yet.
    pub(crate) fn new(base: &Base) -> Self {
        let room = CONFIG_BYTES_MAX.saturating_sub(base.beginning().len() as u64);
        let namespaces = base.followed().namespaces.len().max(1) as u64;
        Self { room, share: room / namespaces, tables: BTreeMap::new(), taken: BTreeMap::new() }
    }

    /// Refuses a table for which its namespace has no room. One that is not larger than before keeps its place, also where
    /// the share has become smaller.
    pub(crate) fn check(&self, secret: &str, bytes: u64) -> Result<(), Refusal> {
        let before = self.tables.get(secret).copied().unwrap_or_default();
        if bytes <= before {
            return Ok(());
        }
        let namespace = namespace_of(secret).unwrap_or_default();
        let taken = self.taken.get(namespace).copied().unwrap_or_default();
        let left = self.share.saturating_sub(taken.saturating_sub(before));
        if bytes > left {
            let share = self.share;
            return Err(Refusal::new(
                format!(
                    "its table takes {bytes} bytes of keyroll's configuration; the share of each followed namespace is {share} \
                     bytes, and the other objects of this one leave {left}"
                ),
                "shorten it, or shorten or delete another object of this namespace; what was accepted before keeps its place",
            ));
        }
        // What counted when the shares were larger is still there.
        let all: u64 = self.taken.values().sum();
        match bytes > self.room.saturating_sub(all.saturating_sub(before)) {
            true => Err(full()),
            false => Ok(()),
        }
    }

    /// The table of a secret takes so much from now on.
    pub(crate) fn put(&mut self, secret: &str, bytes: u64) {
        let before = self.tables.insert(secret.to_owned(), bytes).unwrap_or_default();
        let namespace = namespace_of(secret).unwrap_or_default();
        let taken = self.taken.entry(namespace.to_owned()).or_default();
        *taken = taken.saturating_sub(before) + bytes;
    }
}

/// The refusal of a table that does not fit into the configuration.
pub(crate) fn full() -> Refusal {
    Refusal::new(
        format!("with it, keyroll's configuration would be larger than {CONFIG_BYTES_MAX} bytes"),
        "shorten or delete an object; what was accepted before keeps its place",
    )
}

/// The namespace of an object's secret; none: it is not one of an object.
pub(crate) fn namespace_of(secret: &str) -> Option<&str> {
    secret.split_once('.').map(|(namespace, _)| namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tests::base;

    #[test]
    fn a_table_takes_what_the_others_of_its_namespace_leave() {
        let mut shares = Shares::new(&base());
        let share = shares.share;
        assert_eq!(share, (CONFIG_BYTES_MAX - base().beginning().len() as u64) / 2);
        assert_eq!(shares.check("shop.a", share), Ok(()));
        assert!(shares.check("shop.a", share + 1).is_err());
        shares.put("shop.a", share - 10);
        let why = shares.check("shop.b", 11).unwrap_err().to_string();
        assert!(why.contains("takes 11 bytes") && why.contains("leave 10 · shorten it"), "{why}");
        assert!(why.contains(&format!("is {share} bytes")), "{why}");
        assert_eq!(shares.check("shop.b", 10), Ok(()));
        assert_eq!(shares.check("ops-team.b", share), Ok(()), "another namespace has its own");
        assert_eq!(shares.check("shop.a", share), Ok(()), "what it has itself is free for it");
        shares.put("shop.a", 0);
        assert_eq!(shares.check("shop.b", share), Ok(()));
    }

    #[test]
    fn what_is_larger_than_the_share_keeps_its_place_and_the_whole_has_an_end() {
        let mut shares = Shares::new(&base());
        let large = shares.share + 100;
        shares.put("shop.a", large);
        assert_eq!(shares.check("shop.a", large), Ok(()));
        assert_eq!(shares.check("shop.a", large - 1), Ok(()));
        let why = shares.check("shop.a", large + 1).unwrap_err().to_string();
        assert!(why.contains(&format!("leave {}", shares.share)), "{why}");
        assert!(shares.check("shop.b", 1).unwrap_err().to_string().contains("leave 0 "));
        let whole = shares.check("ops-team.b", shares.share).unwrap_err().to_string();
        assert!(whole.contains("would be larger than 1048576 bytes"), "{whole}");
        assert_eq!(shares.check("ops-team.b", shares.share - 101), Ok(()));
    }
}
