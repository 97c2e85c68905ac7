//! What a plan refuses of consumers in clusters.

use keyroll_codes::Code;
use keyroll_config::{Consumer, InCluster, Secret, StoreRef};

use crate::configured::host_flags;
use crate::problem::Problem;

/// Refuses to give each consumer a key of its own where some are in clusters: keyroll moves those with the shared key only.
pub(crate) fn refuse_in_clusters(secret: &Secret) -> Result<(), Problem> {
    if secret.in_clusters().next().is_none() {
        return Ok(());
    }
    let (name, all) = (&secret.name, named(secret));
    Err(Problem::new(Code::NotPlannable, format!("plan a split of {name}"))
        .because(format!("consumers in clusters are moved with the shared key, and get no keys of their own: {all}"))
        .help(format!(
            "keyroll plan {name} rotates the shared key for all consumers; for a consumer in a cluster add a secret of its own \
             (keyroll secret add), and move its table in keyroll.toml there"
        )))
}

/// Refuses a consumer whose Secret is written from the store by External Secrets, if the store is keyroll's own, which only
/// keyroll reads.
pub(crate) fn refuse_unsynced(secret: &Secret) -> Result<(), Problem> {
    let mut synced = secret.in_clusters().filter(|(_, pods)| pods.synced);
    let Some((consumer, pods)) = synced.next().filter(|_| secret.store == StoreRef::Keyroll) else {
        return Ok(());
    };
    let (name, host) = (&secret.name, &consumer.host);
    Err(Problem::new(Code::NotPlannable, format!("plan a rotation of {name}"))
        .because(format!(
            "{} has `synced`: External Secrets writes the Secret {} in {host} from the store, and the store of {name} is \
             keyroll's own, which External Secrets cannot read",
            consumer.name, pods.secret
        ))
        .help(format!(
            "write the store that External Secrets reads, such as `store = \"vault:MOUNT/PATH#KEY\"`: keyroll why {name}{} shows \
             it",
            host_flags(&secret.clusters())
        )))
}

/// A note on each cluster: the new key is probed from machines only.
pub(crate) fn no_calls(secret: &Secret) -> Vec<String> {
    let note = |host| {
        format!(
            "{host}: keyroll makes no call from a cluster; the check of each consumer shows whether its pods reach the issuer"
        )
    };
    secret.clusters().into_iter().map(note).collect()
}

/// The consumers in clusters: `agent (deployment agent in prod), job (cronjob job in prod)`.
fn named(secret: &Secret) -> String {
    let one = |(consumer, pods): (&Consumer, &InCluster)| {
        format!("{} ({pods} in {})", consumer.name, consumer.host)
    };
    secret.in_clusters().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    const THERE: &str =
        "host = \"prod\"\nruns = { deployment = \"agent\" }\nreads = { secret = \"s\", key = \"k\" }\n";

    fn consumer(name: &str, lines: &str) -> String {
        format!("[[secrets.acme.consumers]]\nname = \"{name}\"\n{lines}")
    }

    fn parsed(store: &str, consumers: &str) -> Config {
        let text = format!(
            "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
             {store}{consumers}"
        );
        Config::parse(&text, "/srv/keyroll.toml").unwrap()
    }

    #[test]
    fn a_secret_with_consumers_in_clusters_is_not_split_and_each_is_named() {
        let here = consumer("api", "runs = { at_rest = true }\nreads = { file = \"./k\" }\n");
        assert!(refuse_in_clusters(parsed("", &here).secret("acme").unwrap()).is_ok());
        let all = [here, consumer("agent", THERE), consumer("job", &THERE.replace("deployment", "cronjob"))];
        for consumers in [all.concat(), all[1..].concat()] {
            let config = parsed("", &consumers);
            let problem = refuse_in_clusters(config.secret("acme").unwrap()).unwrap_err();
            assert_eq!(problem.code, Code::NotPlannable);
            let why = problem.causes.join(" ");
            assert!(why.contains("agent (deployment agent in prod), job (cronjob agent in prod)"), "{why}");
            assert!(problem.help.unwrap().contains("keyroll plan acme"));
        }
    }

    #[test]
    fn a_cluster_is_named_once_and_a_machine_is_none() {
        let all =
            [consumer("agent", THERE), consumer("job", &THERE.replace("deployment", "cronjob"))].concat();
        let notes = no_calls(parsed("", &all).secret("acme").unwrap());
        assert!(
            matches!(notes.as_slice(), [note] if note.starts_with("prod: keyroll makes no call")),
            "{notes:?}"
        );
        let here = consumer("api", "runs = { at_rest = true }\nreads = { file = \"./k\" }\n");
        assert!(no_calls(parsed("", &here).secret("acme").unwrap()).is_empty());
    }

    #[test]
    fn what_external_secrets_writes_needs_a_store_that_it_can_read() {
        let synced = consumer("agent", &format!("{THERE}synced = true\n"));
        let config = parsed("", &synced);
        let problem = refuse_unsynced(config.secret("acme").unwrap()).unwrap_err();
        assert_eq!(problem.code, Code::NotPlannable);
        assert!(problem.causes.join(" ").contains("the Secret s in prod"), "{:?}", problem.causes);
        assert!(problem.help.unwrap().contains("keyroll why acme --host prod"));
        let elsewhere = parsed("store = \"vault:kv/acme#key\"\n", &synced);
        assert!(refuse_unsynced(elsewhere.secret("acme").unwrap()).is_ok());
        assert!(refuse_unsynced(parsed("", &consumer("agent", THERE)).secret("acme").unwrap()).is_ok());
    }
}
