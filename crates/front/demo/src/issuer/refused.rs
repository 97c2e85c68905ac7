use std::collections::VecDeque;

use serde::Serialize;

use super::clients::Client;
use super::clock::unix_ms;

/// The most refused uses that are kept; older ones are forgotten.
const KEPT_MAX: usize = 10_000;

/// Entries per page.
const PAGE: usize = 50;

/// The record of refused uses of known keys, in order.
#[derive(Default)]
pub(crate) struct Refused {
    count: u64,
    entries: VecDeque<RefusedCall>,
}

struct RefusedCall {
    key: String,
    shown: Shown,
}

/// A refused use as the record shows it.
#[derive(Serialize, Clone)]
pub(crate) struct Shown {
    id: u64,
    at_ms: u64,
    /// The client's `address:port`.
    client: String,
    caller: Option<String>,
}

impl Refused {
    pub(crate) fn add(&mut self, key: &str, client: Client, caller: Option<&str>) {
        self.count += 1;
        let shown = Shown {
            id: self.count,
            at_ms: unix_ms(),
            client: client.to_string(),
            caller: caller.map(str::to_owned),
        };
        if self.entries.len() == KEPT_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(RefusedCall { key: key.to_owned(), shown });
    }

    /// One page of a key's entries since a time and after the entry with this number; and where the next page begins.
    pub(crate) fn page(&self, key: &str, since_ms: u64, after: u64) -> (Vec<Shown>, Option<String>) {
        let of = self.entries.iter().filter(|entry| entry.key == key && entry.shown.at_ms >= since_ms);
        let mut later = of.map(|entry| &entry.shown).filter(|shown| shown.id > after);
        let page: Vec<Shown> = later.by_ref().take(PAGE).cloned().collect();
        let next = later.next().and_then(|_| page.last()).map(|last| last.id.to_string());
        (page, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_use_of_a_key_stands_on_one_page() {
        let client = ([127, 0, 0, 1], 4000).into();
        let mut refused = Refused::default();
        for at in 0..120 {
            refused.add(if at % 2 == 0 { "old" } else { "new" }, client, None);
        }
        let (first, next) = refused.page("old", 0, 0);
        let (second, end) = refused.page("old", 0, next.unwrap().parse().unwrap());
        assert_eq!((first.len(), second.len(), end), (50, 10, None));
        assert!(refused.page("old", u64::MAX, 0).0.is_empty());
    }
}
