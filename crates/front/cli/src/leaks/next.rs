use std::collections::BTreeSet;

use keyroll_app::env;
use keyroll_app::leaks::{Identities, LeakShown, notes};
use keyroll_issuer::Spec;
use keyroll_scanner::Report;

use crate::args::LeaksArgs;

/// The most secrets whose next step is shown, one line each.
const SECRETS_SHOWN_MAX: usize = 10;

/// The operator's next steps, one line each. `kept` are the secrets that the store of this machine keeps.
pub(crate) fn next(
    report: &Report,
    kept: &BTreeSet<String>,
    args: &LeaksArgs,
    identities: Identities,
) -> Vec<String> {
    let (staged, same) = (args.staged, same(args));
    let shown: Vec<LeakShown> = report.open().map(LeakShown::of).collect();
    let mut lines = notes(&shown);
    lines.extend(of_live(&shown, kept));
    if staged && !shown.is_empty() {
        lines.extend(of_staged());
    } else if shown.iter().any(|one| one.state == "unknown") {
        // No value of another machine comes here to be sent to its issuer.
        let asked = args.hosts.any() || shown.iter().any(|one| one.verified.is_some());
        let ask =
            if asked { String::new() } else { format!("; to see whether it still works: {same} --verify") };
        lines.push(format!(
            "if it is a leak: revoke it at its issuer and replace it; removing it from the file is not \
             enough{ask}"
        ));
        lines.extend(how(&shown));
    }
    if shown.iter().any(|one| matches!(one.state, "unknown" | "dead")) {
        let again = if staged { " and git add the file again" } else { "" };
        let one = if identities.stay() { "; --only ID for one finding" } else { "" };
        lines.push(format!(
            "if it is no leak: write # keyroll:allow REASON on its line{again}, or {same} --accept REASON \
             for all{one}"
        ));
    }
    lines
}

/// The command that repeats this scan, in the same places and for the same secrets. Typed arguments are not repeated,
/// because one may be a value.
fn same(args: &LeaksArgs) -> &'static str {
    let elsewhere = args.stdin
        || args.pid.is_some()
        || args.image.is_some()
        || args.container.is_some()
        || args.journal.is_some();
    let otherwise = args.rules.is_some()
        || args.fingerprints.is_some()
        || args.baseline.is_some()
        || args.known
        || args.forms
        || args.no_ignore
        || args.no_archives
        || args.hosts.any();
    match (args.git, args.staged) {
        _ if elsewhere || otherwise || !args.paths.is_empty() => "the same command with",
        (true, _) => "keyroll leaks --git",
        (false, true) => "keyroll leaks --staged",
        (false, false) => "keyroll leaks",
    }
}

/// How to revoke the findings that no issuer was asked about, if a shipped spec knows their kind.
fn how(shown: &[LeakShown]) -> Option<String> {
    let kinds = shown.iter().filter(|one| one.state == "unknown" && one.secret.is_none());
    let rules: BTreeSet<&str> = kinds.map(|one| one.rule.as_str()).collect();
    let issuers: BTreeSet<&str> = rules.into_iter().filter_map(Spec::of_rule).collect();
    let all = Vec::from_iter(issuers);
    match all.as_slice() {
        [] => None,
        [one] => Some(format!("how to revoke it: keyroll issuers show {one}")),
        several => {
            Some(format!("how to revoke each: keyroll issuers show NAME, which is {}", several.join(", ")))
        }
    }
}

fn of_live(shown: &[LeakShown], kept: &BTreeSet<String>) -> Vec<String> {
    let live = shown.iter().filter(|one| one.state == "live");
    let live: BTreeSet<&String> = live.filter_map(|one| one.secret.as_ref()).collect();
    let line = |secret: &&String| match kept.contains(*secret) {
        true => {
            format!("{secret} works: who uses it: keyroll why {secret}; to replace it: keyroll plan {secret}")
        }
        // The value was found by a fingerprint: the machine that exported it has the secret.
        false => {
            format!("{secret} works: replace it on the machine that manages it: keyroll plan {secret}")
        }
    };
    let mut lines: Vec<String> = live.iter().take(SECRETS_SHOWN_MAX).map(line).collect();
    match live.len().saturating_sub(SECRETS_SHOWN_MAX) {
        0 => {}
        1 => lines.push("and 1 more secret that works".to_owned()),
        more => lines.push(format!("and {more} more secrets that work")),
    }
    lines
}

fn of_staged() -> [String; 2] {
    // git sets this variable for its hooks.
    let stopped = match env::GIT_INDEX_FILE.get() {
        Some(_) => "the commit was stopped: nothing of it is in the history yet",
        None => "nothing of it is in the history yet",
    };
    let out = "to remove a value: replace it by a reference and git add the file again; or unstage the file: git \
     restore --staged FILE, or git rm --cached FILE if it is new";
    [stopped.to_owned(), out.to_owned()]
}
