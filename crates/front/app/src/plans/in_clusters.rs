//! Consumers in clusters, which this version shows and does not move.

use keyroll_codes::Code;
use keyroll_config::{ClusterConsumer, Secret};

use crate::configured::host_flags;
use crate::problem::Problem;

/// Refuses to plan a rotation of a secret with consumers in clusters: they would keep the old key, and break when that is
/// revoked.
pub(crate) fn refuse_in_clusters(secret: &Secret) -> Result<(), Problem> {
    if secret.in_clusters.is_empty() {
        return Ok(());
    }
    let (name, all) = (&secret.name, named(secret));
    let flags = host_flags(&secret.clusters());
    Err(Problem::new(Code::NotPlannable, format!("plan a rotation of {name}"))
        .because(format!("this version shows its consumers in clusters and does not move them: {all}"))
        .because("nothing was begun: the old key would end while they still use it")
        .help(format!(
            "keyroll why {name}{flags} shows which value each of them uses; rotate the secret by hand, as \
             docs/guides/kubernetes.md says"
        )))
}

/// The consumers in clusters: `agent (deployment agent in prod), job (cronjob job in prod)`.
pub(crate) fn named(secret: &Secret) -> String {
    secret.in_clusters.iter().map(ClusterConsumer::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    #[test]
    fn a_secret_with_consumers_in_clusters_is_not_planned_and_each_is_named() {
        let consumer =
            |name: &str, lines: &str| format!("[[secrets.acme.consumers]]\nname = \"{name}\"\n{lines}");
        let here = consumer("api", "runs = { at_rest = true }\nreads = { file = \"./k\" }\n");
        let there =
            "host = \"prod\"\nruns = { deployment = \"agent\" }\nreads = { secret = \"s\", key = \"k\" }\n";
        let parsed = |consumers: &str| {
            let text = format!(
                "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
                 {consumers}"
            );
            Config::parse(&text, "/srv/keyroll.toml").unwrap()
        };
        let config = parsed(&here);
        assert!(refuse_in_clusters(config.secret("acme").unwrap()).is_ok());
        let all = [here, consumer("agent", there), consumer("job", &there.replace("deployment", "cronjob"))];
        for consumers in [all.concat(), all[1..].concat()] {
            let config = parsed(&consumers);
            let problem = refuse_in_clusters(config.secret("acme").unwrap()).unwrap_err();
            assert_eq!(problem.code, Code::NotPlannable);
            let why = problem.causes.join(" ");
            assert!(why.contains("agent (deployment agent in prod), job (cronjob agent in prod)"), "{why}");
            let help = problem.help.unwrap();
            assert!(
                help.contains("keyroll why acme --host prod") && help.contains("kubernetes.md"),
                "{help}"
            );
        }
    }
}
