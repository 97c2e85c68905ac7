//! Whether the gate can ever open for a consumer. Checked before anything is made or written.

use keyroll_codes::Code;
use keyroll_config::{Check, Consumer};
use keyroll_setup::passes_on;

use crate::problem::Problem;

/// Refuses a consumer that has no way to show the new value on one of its paths.
///
/// Where the issuer shows which process made a call, each path must be seen there: the main one by the traffic, the
/// others by a request to the process. Otherwise, and for a job at rest, only a check that was seen to fail with a
/// wrong value proves it. In a cluster no calls are attributed, and keyroll itself runs each check beside one with a wrong value,
/// without a `{copy}`.
pub fn provable(consumer: &Consumer, attributes: bool) -> Result<(), Problem> {
    refuse_unseen_reread(consumer)?;
    let in_cluster = consumer.in_cluster.is_some();
    let seen_there = attributes && !consumer.runs.workload().is_job() && !passes_on(consumer) && !in_cluster;
    let main = (None, consumer.check.as_ref());
    let others = consumer.paths.iter().map(|path| (Some(&path.name), Some(&path.check)));
    for (path, check) in std::iter::once(main).chain(others) {
        let enough = match check {
            _ if seen_there && path.is_none() => true,
            // It says so itself. What the issuer shows of its calls counts more.
            _ if consumer.trusts_word && !seen_there && !in_cluster => true,
            Some(Check::Http(_) | Check::Turn { after: None, .. }) => seen_there,
            Some(Check::Exec(argv) | Check::Turn { after: Some(argv), .. }) => {
                !seen_there && (in_cluster || argv.uses("copy"))
            }
            // Each worker is asked itself, whether or not the issuer shows its calls.
            Some(Check::LiteLlm(_)) => true,
            None => false,
        };
        if !enough {
            let flow = path.map_or_else(String::new, |path| format!(" on its path {path}"));
            let help = match seen_there {
                false if consumer.serves.is_some() => {
                    "write `trusts = \"own word\"` beside `serves` if you believe what its programs say"
                }
                false if in_cluster => {
                    "give it `check = { exec = [\"/PROGRAM\", \"ARGUMENT\"] }`, a command of its image that succeeds only with a working key"
                }
                true => {
                    "give the path `check = { http = \"http://127.0.0.1:PORT/…\" }`, a request on which the process uses the key"
                }
                false => {
                    "give it `check = { exec = [\"./probe.sh\", \"{copy}\"] }`, a command that succeeds only with a working key in that copy"
                }
            };
            return Err(Problem::new(
                Code::NoEvidencePossible,
                format!("find a way for {} to prove the new value{flow}", consumer.name),
            )
            .because(
                "the old key could never be revoked: no configured evidence could prove that it is no \
                 longer needed",
            )
            .help(help));
        }
    }
    Ok(())
}

/// Refuses a consumer in a cluster whose program reads its file again, unless that is trusted: no cluster shows that it has.
fn refuse_unseen_reread(consumer: &Consumer) -> Result<(), Problem> {
    let rereads = consumer.in_cluster.as_ref().is_some_and(|pods| pods.rereads);
    if !rereads || consumer.trusts_word {
        return Ok(());
    }
    Err(Problem::new(
        Code::NoEvidencePossible,
        format!("find a way for {} to prove the new value", consumer.name),
    )
    .because(
        "whether its program has read the file again is not visible in a cluster: neither the new value nor, in a rollback, \
         the old one could be proven",
    )
    .help(
        "write `trusts = \"rereads\"` if it reads the file at each call; or leave out `rereads`: its pods are then replaced",
    ))
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    #[test]
    fn a_program_in_a_cluster_that_reads_its_file_again_is_trusted_or_its_pods_are_replaced() {
        let tried = |runs: &str, more: &str| {
            let text = format!(
                "version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
                 [[secrets.acme.consumers]]\nname = \"agent\"\nhost = \"prod\"\nruns = {{ deployment = \"agent\"{runs} }}\n\
                 reads = {{ secret = \"s\", key = \"k\" }}\ncheck = {{ exec = [\"/probe\"] }}\n{more}"
            );
            let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
            provable(&config.secret("acme").unwrap().consumers[0], true)
        };
        let problem = tried(", rereads = true", "").unwrap_err();
        assert_eq!(problem.code, Code::NoEvidencePossible);
        assert!(problem.causes.join(" ").contains("not visible in a cluster"), "{:?}", problem.causes);
        assert!(problem.help.unwrap().contains("trusts = \"rereads\""));
        assert!(tried(", rereads = true", "trusts = \"rereads\"\n").is_ok());
        assert!(tried("", "").is_ok());
    }
}
