//! A container of a cluster, as commands name it.

use keyroll_config::Config;
use keyroll_port::{Described, Journal};
use keyroll_rotation::{Incarnation, digest_of_life};

use crate::records::recorded::Opened;

/// How the name of every container begins.
const POD: &str = "pod/";

/// What holds a key in a cluster: `prod:pod/agent-6d5f-x2x1z/app`.
pub(super) struct ContainerThere {
    /// The cluster.
    host: String,
    /// `pod/POD/CONTAINER`, as an inspection described it.
    name: String,
}

impl ContainerThere {
    /// What a word names in a declared cluster, if it does: nothing there is looked at.
    pub(super) fn of(holder: &str, config: &Config) -> Option<Self> {
        let (host, name) = holder.split_once(':')?;
        let is_meant = config.cluster(host).is_some() && name.starts_with(POD);
        is_meant.then(|| Self { host: host.to_owned(), name: name.to_owned() })
    }

    /// As the operator reads it.
    pub(super) fn shown(&self) -> String {
        format!("{} on {}", self.name, self.host)
    }

    /// The undeclared container of this name, as an open rotation saw it last; descriptions are in the journal.
    pub(super) async fn seen_by(&self, journal: &dyn Journal, opened: &Opened) -> Option<Incarnation> {
        let host = opened.saved.host_id(&self.host)?;
        let seen = opened.state.look()?.seen.as_ref();
        let undeclared = seen.instances.iter().filter(|it| it.consumer.is_none()).map(|it| it.who);
        let there = undeclared.filter(|who| who.host == host);
        for who in there.filter(|who| who.life.is_container()) {
            let text = journal.recall(digest_of_life(who)).await.ok().flatten();
            if text.is_some_and(|text| self.is_described(&text)) {
                return Some(who);
            }
        }
        None
    }

    /// Whether a remembered description is of this name. It ends with the cluster's name.
    fn is_described(&self, text: &str) -> bool {
        Described::read(text).is_some_and(|it| it.name == self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n\
                    [hosts.web-1]\nconnect = \"ssh://web-1\"\n";
        Config::parse(text, "/srv/keyroll.toml").unwrap()
    }

    #[test]
    fn only_a_container_of_a_declared_cluster_is_named() {
        let config = config();
        let one = ContainerThere::of("prod:pod/agent-6d5f-x2x1z/app", &config).unwrap();
        assert_eq!((one.host.as_str(), one.shown().as_str()), ("prod", "pod/agent-6d5f-x2x1z/app on prod"));
        for other in
            ["web-1:pod/agent/app", "prod:4711", "prod:/srv/.env", "pod/agent/app", "dev:pod/agent/app"]
        {
            assert!(ContainerThere::of(other, &config).is_none(), "{other}");
        }
    }

    #[test]
    fn a_container_is_known_by_its_whole_name() {
        let one = ContainerThere::of("prod:pod/agent-6d5f-x2x1z/app", &config()).unwrap();
        let described =
            |name: &str| Described { name: name.to_owned(), found_by: "it takes the key".to_owned() }.text();
        assert!(one.is_described(&described("pod/agent-6d5f-x2x1z/app on prod")));
        for other in [
            "pod/agent-6d5f-x2x1z/app-2 on prod",
            "pod/agent-6d5f-x2x1z/app on dev",
            "pod/agent-6d5f-x2x1z/app",
            "agent",
        ] {
            assert!(!one.is_described(&described(other)), "{other}");
        }
        assert!(!one.is_described("pod/agent-6d5f-x2x1z/app on prod"));
    }
}
