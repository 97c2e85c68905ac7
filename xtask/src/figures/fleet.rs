//! Hosts that are reached by ssh, and the process that drives them.

use super::page::Figure;
use super::seen::{last_json, number};
use crate::run::output;

/// What a connection and a host's step cost, and how much memory a thousand connected hosts take.
pub(super) fn measure(all: &mut Vec<Figure>) -> Result<(), String> {
    let seen = last_json(&output("cargo", &["bench", "--quiet", "-p", "keyroll", "--bench", "fleet"])?)?;
    println!("{seen}");
    let command = "cargo bench -p keyroll --bench fleet";
    let is = |key: &str| number(&seen, key);
    all.push(Figure {
        what: "ssh to a host that has keyroll-host in its cache, until that has greeted, relative to `ssh HOST true`; median of 21 pairs on loopback",
        value: format!(
            "{:.2} × ({:.0} ms); with sudo {:.2} × ({:.0} ms)",
            is("connect_ratio"),
            is("connect_ms"),
            is("connect_sudo_ratio"),
            is("connect_sudo_ms"),
        ),
        limit: "≤ 1.2 × without sudo",
        command,
    });
    all.push(Figure {
        what: "the step of one host of five by ssh: time beyond the restart of its unit with keyroll's two seconds of watching, its check, and six round trips; median",
        value: format!(
            "{:.0} ms of {:.0} ms (restart {:.0} ms, other checks {:.0} ms, a round trip {:.2} ms)",
            is("step_own_ms"),
            is("step_wall_ms"),
            is("step_restart_ms"),
            is("step_other_checks_ms"),
            is("round_trip_ms"),
        ),
        limit: "≤ 80 ms",
        command,
    });
    // The benchmark above has built the keyroll-host that this one starts.
    let links = ["bench", "--quiet", "-p", "keyroll-fleet", "--bench", "links"];
    let seen = last_json(&output("cargo", &links)?)?;
    println!("{seen}");
    all.push(Figure {
        what: "peak resident memory of a process with open links to 1,000 keyroll-hosts, over pipes; ssh's own processes not included",
        value: format!(
            "{:.0} MB with {} hosts, {:.1} KB for each",
            number(&seen, "peak_mb"),
            number(&seen, "hosts"),
            number(&seen, "own_kb_per_host"),
        ),
        limit: "≤ 200 MB",
        command: "cargo bench -p keyroll-fleet --bench links",
    });
    Ok(())
}
