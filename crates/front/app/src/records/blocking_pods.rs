//! What a person does about the pods and keys of a cluster that block.
//!
//! Never a restart of a consumer's own pods: within half a minute of a change a node may give them the value of before.

use keyroll_config::{InCluster, KubeAddress};
use keyroll_rotation::{ConsumerId, State, UnitStep};

/// What to do with a consumer of which no pod runs.
pub(super) const PODS_RUN: &str = "see why its pods do not run (kubectl describe pod)";

/// What to do with a key of a Secret that cannot be read.
pub(super) const KEY_READABLE: &str =
    "see that the Secret and its key are there and that keyroll may read them";

/// What to do in a rollback with a pod of an undeclared workload.
pub(super) const WORKLOAD_BACK: &str = "once its Secret has had the old key for 30 s, restart its workload (kubectl rollout restart), so that it takes \
                                        the old key";

/// The kind of a pod that keyroll moves at this moment.
pub(crate) const MOVING: &str = "pod that is being moved";

/// Whether keyroll moves a consumer, or is about to.
pub(super) fn is_moving(state: &State, consumer: ConsumerId) -> bool {
    let unit = state.units().get(consumer.index());
    let begun = unit.is_some_and(|unit| unit.stage == UnitStep::Waiting || unit.stage.is_moving());
    state.hold().is_none() && begun
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

/// How the workload of an undeclared pod is declared.
pub(super) fn workload_declared(host: &str) -> String {
    format!("declare its workload (keyroll init --host {host})")
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;
    use keyroll_rotation::{Blocker, Fact, FileId, Holds, HostId, Incarnation, InstanceIdentity, Phase};

    use super::super::blockers::one;
    use super::super::plan_names::Called;
    use super::super::walk::{self, Walk};
    use super::*;

    #[test]
    fn a_pod_of_a_consumer_is_moved_again_by_keyroll_and_waited_for_while_it_is_moved() {
        let called = Called::of_rotation("0192", "acme");
        let mut walk = Walk::of(walk::plan());
        walk.until(|state| state.phase() == Phase::Quiesce);
        let pod = Incarnation { host: HostId(1), life: InstanceIdentity::Container { pod: 7, run: 3 } };
        let how = |state: &State, blocker| one(&called, state, blocker).how_to_move;
        let stale = Blocker::Stale(ConsumerId(0), pod, 0);
        assert_eq!(how(&walk.state, stale), "keyroll resume 0192, which moves it again");
        let key = |holds| Blocker::File(FileId(0), holds);
        let said = how(&walk.state, key(Holds::Other));
        assert!(said.ends_with(", then keyroll resume 0192"), "{said}");
        assert_eq!(how(&walk.state, key(Holds::Old)), "keyroll resume 0192, which writes it again");
        walk.say(Fact::AbortAsked);
        walk.until(|state| state.units()[0].stage.is_moving());
        let said = how(&walk.state, stale);
        assert!(
            said.starts_with("wait; ") && said.ends_with("keyroll resume 0192 goes on with it"),
            "{said}"
        );
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
