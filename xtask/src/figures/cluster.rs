//! A namespace of a Kubernetes cluster.

use serde_json::Value;

use super::page::Figure;
use super::seen::{last_json, number, printed};
use crate::lanes;
use crate::run::output;
use crate::targets::{self, Which};

/// The benchmark of what follows a namespace, and the name of its figure.
const FOLLOW: [&str; 6] = ["bench", "--quiet", "-p", "keyroll-controller", "--bench", "follow"];
const FOLLOWED: &str = "followed-pods";

/// The test that measures how soon mounted files follow their store, and the name of its figure.
const BROUGHT: &str = "cli/kubernetes::rotate::a_key_that_external_secrets_brings_is_rotated_at_its_store_and_no_pod_is_replaced";
const STORE_TO_FILE: &str = "store-to-file";

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

/// What it takes to follow a large namespace of an API server that is played.
pub(super) fn follow(all: &mut Vec<Figure>) -> Result<(), String> {
    let seen = output("cargo", &FOLLOW)?;
    println!("{seen}");
    all.push(Figure {
        what: "peak resident memory of a process that follows 5,000 pods and 200 SecretRotations, also while 100 pods and 10 objects change each second",
        value: printed(&seen, FOLLOWED)?,
        limit: "≤ 150 MB",
        command: "cargo bench -p keyroll-controller --bench follow",
    });
    Ok(())
}

/// The same of the real one. As root, and with the programs of `cargo xtask parts`.
pub(super) fn follow_real(all: &mut Vec<Figure>) -> Result<(), String> {
    let seen = output("cargo", &[&FOLLOW[..], &["--", "real"]].concat())?;
    println!("{seen}");
    all.push(Figure {
        what: "peak resident memory of a process that follows 5,000 pods and 200 SecretRotations of the real Kubernetes 1.33 over TLS, also while they change; no node runs the pods",
        value: printed(&seen, FOLLOWED)?,
        limit: "≤ 150 MB",
        command: "cargo bench -p keyroll-controller --bench follow -- real",
    });
    Ok(())
}

/// How soon pods use what was promoted at their store. The test runs alone: beside others it would measure them too.
pub(super) fn store_to_file(all: &mut Vec<Figure>) -> Result<(), String> {
    lanes::forget_logs();
    targets::counted(&Which::Begins(&[BROUGHT]), None)?;
    all.push(Figure {
        what: "from the new version at AWS Secrets Manager (moto), by External Secrets 0.20, until each pod has read its mounted file and called with it; the kubelet of Kubernetes 1.33 looks by itself once in an hour, and not each minute as usual",
        value: printed(&lanes::printed(), STORE_TO_FILE)?,
        limit: "≤ 3 s",
        command: "cargo xtask figures store-to-file",
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::root;

    /// Red: a test or a figure has another name, and a measurement of minutes finds nothing at its end.
    #[test]
    fn the_figures_are_printed_by_what_is_run_for_them() {
        let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
        let test = read("crates/front/cli/tests/kubernetes/rotate.rs");
        let name = BROUGHT.strip_prefix("cli/kubernetes::rotate::").unwrap();
        let (_, body) = test.split_once(&format!("fn {name}() {{")).unwrap();
        let (body, _) = body.split_once("\n}\n").unwrap();
        assert!(body.contains(&format!("figure(\"{STORE_TO_FILE}\", ")));
        let benchmark = read("crates/fleet/controller/benches/follow.rs");
        assert!(benchmark.contains(&format!("figure(\"{FOLLOWED}\", ")));
        assert!(read("crates/testkit/src/figure.rs").contains("\"figure {name}: {value}\""));
    }
}
