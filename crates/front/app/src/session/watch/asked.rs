use std::collections::BTreeSet;

use keyroll_rotation::HostId;

/// From which hosts an answer of which endpoint was shown. What a host says may differ each time, so its text is no key: it
/// would be shown at each probe.
#[derive(Default)]
pub(super) struct Asked(BTreeSet<(HostId, String)>);

impl Asked {
    /// Whether nothing was shown of this host and endpoint before.
    pub(super) fn is_first(&mut self, host: HostId, endpoint: &str) -> bool {
        self.0.insert((host, endpoint.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_is_shown_once_for_each_host() {
        let mut asked = Asked::default();
        let pairs = [(1, "a:443"), (1, "a:443"), (2, "a:443"), (1, "b:443"), (2, "a:443")];
        let shown = pairs.map(|(host, endpoint)| asked.is_first(HostId(host), endpoint));
        assert_eq!(shown, [true, false, true, true, false]);
    }
}
