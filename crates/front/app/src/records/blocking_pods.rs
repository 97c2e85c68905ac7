//! What a person does about the pods and keys of a cluster that block.
//!
//! Never a restart of a consumer's own pods: within half a minute of a change a node may give them the value of before.

use keyroll_config::{InCluster, KubeAddress};
use keyroll_rotation::{ConsumerId, Holds, State, UnitStep};

use super::missing_proof::again;

/// The kind of a pod that keyroll moves at this moment.
pub(crate) const MOVING: &str = "pod that is being moved";

/// Whether keyroll moves a consumer, or is about to.
pub(super) fn is_moving(state: &State, consumer: ConsumerId) -> bool {
    let unit = state.units().get(consumer.index());
    let begun = unit.is_some_and(|unit| unit.stage == UnitStep::Waiting || unit.stage.is_moving());
    state.hold().is_none() && begun
}

/// What to do with a pod of a consumer that is on the key that goes.
pub(super) fn stale_moved(state: &State, consumer: ConsumerId) -> String {
    match is_moving(state, consumer) {
        true => "wait; if no keyroll runs, keyroll resume goes on with it".to_owned(),
        false => format!("{} moves it again", again(state)),
    }
}

/// What to do with a consumer of which no pod runs.
pub(super) fn not_running_moved(state: &State) -> String {
    format!("see why its pods do not run (kubectl describe pod), then {}, which moves it again", again(state))
}

/// What to do with a key of a Secret that holds something else than it must; `freed`: what lets it have its own value again.
pub(super) fn key_moved(state: &State, freed: &str, holds: Holds) -> String {
    let again = again(state);
    match holds {
        Holds::Other => format!("{freed}, then {again}"),
        Holds::Old | Holds::New => format!("{again}, which writes it again"),
        Holds::Unreadable => {
            format!("see that the Secret and its key are there and that keyroll may read them, then {again}")
        }
    }
}

/// What lets a key that somebody else wrote have its own value again. keyroll overwrites no value that it does not know, and
/// writes a key that is absent.
pub(super) fn key_freed(pods: &InCluster, address: Option<&KubeAddress>) -> String {
    let InCluster { secret, key, synced, versioned, .. } = pods;
    if *synced {
        return "let External Secrets write it from the store again".to_owned();
    }
    if *versioned {
        return format!("let {} refer to its Secret of before again", pods.object());
    }
    let context = address.and_then(|one| one.context.as_deref());
    let namespace = address.and_then(|one| one.namespace.as_deref());
    let flags = [("--context", context), ("-n", namespace)];
    let flags: String =
        flags.iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", (*value)?))).collect();
    format!(
        "to let keyroll write its own value again, remove the key: kubectl{flags} patch secret {secret} --type=json -p \
         '[{{\"op\":\"remove\",\"path\":\"/data/{key}\"}}]'"
    )
}

/// What to do with a pod of an undeclared workload on a host.
pub(super) fn undeclared_moved(host: Option<&str>, back: bool) -> String {
    let host = host.unwrap_or("HOST");
    match back {
        true => {
            "once its Secret has had the old key for 30 s, restart its workload (kubectl rollout restart), so that it takes \
             the old key"
                .to_owned()
        }
        false => format!("keyroll abort, declare its workload (keyroll init --host {host}), then plan again"),
    }
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;
    use keyroll_rotation::{Fact, Phase};

    use super::super::walk::{self, Walk};
    use super::*;

    #[test]
    fn a_pod_of_a_consumer_is_moved_again_by_keyroll_and_waited_for_while_it_is_moved() {
        let mut walk = Walk::of(walk::plan());
        walk.until(|state| state.phase() == Phase::Quiesce);
        assert_eq!(stale_moved(&walk.state, ConsumerId(0)), "keyroll resume moves it again");
        assert!(
            key_moved(&walk.state, "remove it", Holds::Other).ends_with("remove it, then keyroll resume")
        );
        assert!(key_moved(&walk.state, "remove it", Holds::Old).starts_with("keyroll resume, which writes"));
        walk.say(Fact::AbortAsked);
        walk.until(|state| state.units()[0].stage.is_moving());
        assert!(stale_moved(&walk.state, ConsumerId(0)).starts_with("wait; "));
    }

    fn freed(connect: &str, more: &str) -> String {
        let text = format!(
            "version = 1\n[hosts.prod]\nconnect = \"{connect}\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
             [[secrets.acme.consumers]]\nname = \"agent\"\nhost = \"prod\"\nruns = {{ deployment = \"agent\" }}\n\
             reads = {{ secret = \"acme\", key = \"api.key\" }}\n{more}"
        );
        let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
        let consumer = &config.secret("acme").unwrap().consumers[0];
        let address = config.cluster(consumer.host.as_str());
        key_freed(consumer.in_cluster.as_ref().unwrap(), address)
    }

    #[test]
    fn a_key_that_somebody_wrote_is_removed_in_its_own_cluster_and_namespace() {
        let said = freed("kube://eks/agents", "");
        let command = "kubectl --context eks -n agents patch secret acme --type=json -p \
                       '[{\"op\":\"remove\",\"path\":\"/data/api.key\"}]'";
        assert!(said.ends_with(command), "{said}");
        let said = freed("kube://in-cluster", "");
        assert!(said.contains(": kubectl patch secret acme"), "{said}");
    }

    #[test]
    fn a_key_that_keyroll_does_not_write_is_not_removed() {
        let said = freed("kube://eks/agents", "versioned = true\n");
        assert_eq!(said, "let deployment/agent refer to its Secret of before again");
        assert!(freed("kube://eks/agents", "synced = true\n").contains("External Secrets"));
    }
}
