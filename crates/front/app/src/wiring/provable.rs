//! Whether the gate can ever open for a consumer. Checked before anything is made or written.

use keyroll_codes::Code;
use keyroll_config::{Check, Consumer};
use keyroll_setup::passes_on;

use crate::problem::Problem;

/// Refuses a consumer that has no way to show the new value on one of its paths.
///
/// Where the issuer shows which process made a call, each path must be seen there: the main one by the traffic, the
/// others by a request to the process. Otherwise, and for a job at rest, only a check that was seen to fail with a
/// wrong value proves it.
pub fn provable(consumer: &Consumer, attributes: bool) -> Result<(), Problem> {
    let seen_there = attributes && !consumer.runs.workload().is_job() && !passes_on(consumer);
    let main = (None, consumer.check.as_ref());
    let others = consumer.paths.iter().map(|path| (Some(&path.name), Some(&path.check)));
    for (path, check) in std::iter::once(main).chain(others) {
        let enough = match check {
            _ if seen_there && path.is_none() => true,
            // It says so itself. What the issuer shows of its calls counts more.
            _ if consumer.trusts_word && !seen_there => true,
            Some(Check::Http(_) | Check::Turn { after: None, .. }) => seen_there,
            Some(Check::Exec(argv) | Check::Turn { after: Some(argv), .. }) => {
                !seen_there && argv.uses("copy")
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
