//! A namespace of a Kubernetes cluster.

use serde_json::Value;

use super::page::Figure;
use super::seen::{last_json, number};
use crate::run::output;

/// What a look at a small namespace and at a large one costs.
pub(super) fn measure(all: &mut Vec<Figure>) -> Result<(), String> {
    let words = ["bench", "--quiet", "-p", "keyroll-cluster", "--bench", "namespace"];
    let seen = last_json(&output("cargo", &words)?)?;
    println!("{seen}");
    let of = |scene: &str, key: &str| number(seen.get(scene).unwrap_or(&Value::Null), key);
    let command = "cargo bench -p keyroll-cluster --bench namespace";
    all.push(Figure {
        what: "requests of a look at a namespace with 100 Deployments, 200 pods and 100 Secrets; peak resident memory",
        value: format!("{:.0} requests; {:.0} MB", of("small", "requests"), of("small", "peak_mb")),
        limit: "≤ 16 requests; ≤ 60 MB",
        command,
    });
    all.push(Figure {
        what: "peak resident memory of a look at a namespace with 500 Deployments, 5,000 pods and 200 Secrets",
        value: format!(
            "{:.0} MB for {:.0} MB of answers in {:.0} requests",
            of("large", "peak_mb"),
            of("large", "answers_mb"),
            of("large", "requests"),
        ),
        limit: "≤ 150 MB",
        command,
    });
    all.push(Figure {
        what: "time of that look: until everything is read, relative to only fetching the same answers and parsing them as JSON; then to find the secrets, to report on all, and to explain two",
        value: format!(
            "read {:.2} × ({:.1} s); find {:.1} s, report {:.1} s, explain {:.1} s",
            of("large", "read_to_peer"),
            of("large", "read_s"),
            of("large", "of_s"),
            of("large", "scan_s"),
            of("large", "why_s"),
        ),
        limit: "–",
        command,
    });
    rotation(all)
}

/// What a rotation in a namespace costs.
fn rotation(all: &mut Vec<Figure>) -> Result<(), String> {
    let words = ["bench", "--quiet", "-p", "keyroll-cluster", "--bench", "rotate"];
    let seen = last_json(&output("cargo", &words)?)?;
    println!("{seen}");
    let of = |key: &str| number(&seen, key);
    all.push(Figure {
        what: "rotation of a Secret that 100 Deployments with 200 pods take, one after the other: requests for each Deployment besides those that wait for its roll-out; own time for each; peak resident memory",
        value: format!("{:.1} requests; {:.1} ms; {:.0} MB", of("requests"), of("own_ms"), of("peak_mb")),
        limit: "≤ 12 requests; ≤ 100 ms; ≤ 60 MB",
        command: "cargo bench -p keyroll-cluster --bench rotate",
    });
    Ok(())
}
