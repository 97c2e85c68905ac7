use std::collections::BTreeSet;

use keyroll_rotation::{HostId, Phase};

/// From which hosts an answer of which endpoint was shown, in each phase. What a host says may differ each time, so its text is
/// no key: it would be shown at each probe.
#[derive(Default)]
pub(super) struct Asked(BTreeSet<(HostId, String, Option<Phase>)>);

impl Asked {
    /// Whether nothing was shown of this host and endpoint in this phase before.
    pub(super) fn is_first(&mut self, host: HostId, endpoint: &str, phase: Option<Phase>) -> bool {
        self.0.insert((host, endpoint.to_owned(), phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_is_shown_once_for_each_host_and_phase() {
        let mut asked = Asked::default();
        let pairs = [(1, "a:443"), (1, "a:443"), (2, "a:443"), (1, "b:443"), (2, "a:443")];
        let mut shown =
            |phase| pairs.map(|(host, endpoint)| asked.is_first(HostId(host), endpoint, Some(phase)));
        for phase in [Phase::Probe, Phase::ConfirmDead] {
            assert_eq!(shown(phase), [true, false, true, true, false]);
        }
        assert_eq!(shown(Phase::Probe), [false; 5]);
    }
}
