use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::LOCAL;
use keyroll_inventory::LookLimits;
use keyroll_leak::looks_like_name;

use super::at_once::{OfEach, at_once};
use super::chosen::Chosen;
use super::cluster::{ClusterAsked, look_at_clusters};
use super::here::{AskedHere, look_here};
use super::known::{Known, known};
use super::meant::UNKNOWN;
use super::reach::Way;
use super::seen::{HostCall, HostSeen};
use super::session::{Asked, look_there};
use crate::installation::Installation;
use crate::inventory::folders;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::redact;

/// How many hexadecimal digits the short id of a container has; a label shows no more.
const ID_DIGITS_MAX: usize = 12;

/// Looks at the chosen machines: first at this one, as `local`, then at the clusters, then at the hosts, a few at the same
/// time. A machine that cannot be looked at is one entry with its problem.
///
/// # Errors
/// What was typed cannot be sent, no machine has what was asked about, or nothing can be looked at from here.
pub fn look_at(
    chosen: &Chosen,
    call: &HostCall,
    roots: &[PathBuf],
    limits: &LookLimits,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<OfEach<HostSeen>, Problem> {
    let remotes = chosen.remotes();
    let way = Way::of(installation)?;
    let (mut known, secrets) = known(!remotes.is_empty(), installation, operator)?;
    let clusters: Vec<ClusterAsked> = chosen
        .clusters()
        .into_iter()
        .map(|(name, address)| {
            let (name, address) = (name.to_owned(), address.clone());
            ClusterAsked { name, address, secrets: secrets.duplicate() }
        })
        .collect();
    if !roots.is_empty() && !clusters.is_empty() && !chosen.here && remotes.is_empty() {
        operator.note("a cluster has no folders to search: the whole namespace is read");
    }
    // The values of the store are redacted by now, so that a typed one is recognised.
    let may_send =
        |known: &Known| if remotes.is_empty() { Ok(Vec::new()) } else { sendable(call, roots, known) };
    may_send(&known)?;
    let (mut all, mut absent, mut new): (OfEach<HostSeen>, usize, Vec<String>) = (Vec::new(), 0, Vec::new());
    let mut machines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if chosen.here {
        machines.extend(way.machine_here().map(|machine| (machine, vec![LOCAL.to_owned()])));
        let local = folders(roots)
            .and_then(|_| look_here(&AskedHere { call, roots, limits }, &mut known, secrets, operator))
            .map(|(seen, missing)| {
                absent += usize::from(missing);
                seen
            });
        all.push((LOCAL.to_owned(), local));
    }
    for (cluster, looked) in look_at_clusters(clusters, call, &mut known, operator)? {
        let seen = looked.map(|(seen, missing)| {
            absent += usize::from(missing);
            seen
        });
        all.push((cluster, seen));
    }
    // Once more: now the values that this machine and the clusters have are redacted too.
    let there = may_send(&known)?;
    let asked = Arc::new(Asked { call: call.clone(), roots: there, limits: *limits, known, way });
    let looked = at_once(remotes, operator, |remote, telling| look_there(asked.clone(), remote, telling))?;
    for (host, result) in looked {
        let seen = result.map(|looked| {
            absent += usize::from(looked.absent);
            new.extend(looked.new.then(|| host.clone()));
            looked.machine.into_iter().for_each(|it| machines.entry(it).or_default().push(host.clone()));
            looked.seen
        });
        all.push((host, seen));
    }
    tell_machines(machines, &new, operator);
    // An answer is not lost to a mistyped name: that is told only if every machine answered, and none has it.
    if absent > 0 && absent == all.len() {
        return Err(nowhere(&all));
    }
    Ok(all)
}

/// Tells which names lead to one machine, and which hosts were not accepted yet.
pub(super) fn tell_machines(
    machines: BTreeMap<String, Vec<String>>,
    new: &[String],
    operator: &mut dyn Operator,
) {
    machines.into_values().filter_map(|names| one_machine(&names)).for_each(|note| operator.note(note));
    if !new.is_empty() {
        operator.note(format!(
            "not accepted yet, so another machine in their place would not be noticed: {}; to accept: keyroll hosts accept {}",
            new.join(", "),
            new.join(" ")
        ));
    }
}

/// The problem of a word that no machine knows. It may still be in what is not visible there.
fn nowhere(all: &OfEach<HostSeen>) -> Problem {
    let on = if all.len() == 1 { "" } else { " on any of these machines" };
    let problem = Problem::new(Code::NameNotFound, "find the secret").because(format!("{UNKNOWN}{on}"));
    let in_part = |seen: &Result<HostSeen, Problem>| seen.as_ref().is_ok_and(|it| !it.missed.is_empty());
    let hosts: Vec<&str> =
        all.iter().filter(|(_, seen)| in_part(seen)).map(|(host, _)| host.as_str()).collect();
    let problem = match hosts.as_slice() {
        [] => problem,
        hosts => problem.because(format!("not everything is visible on {}", hosts.join(", "))),
    };
    problem.help("keyroll scan with the same --host lists all names, and what is not visible")
}

/// What is said of names that lead to one machine: it was counted under each, and shares every value with itself.
fn one_machine(names: &[String]) -> Option<String> {
    (names.len() > 1).then(|| {
        format!(
            "the same machine-id: {}; it is one machine, or these are clones of one, which each need an id of their own: \
             keyroll explain K0962",
            names.join(", ")
        )
    })
}

/// The folders as they are sent. Refuses to send a word that looks like a value, and a folder that means another one there.
fn sendable(call: &HostCall, roots: &[PathBuf], known: &Known) -> Result<Vec<String>, Problem> {
    let words = match call {
        HostCall::Scan => Vec::new(),
        HostCall::Why { what } => vec![what.as_str()],
        HostCall::Trace { secret, .. } => vec![secret.as_str()],
        HostCall::Draft { secrets, .. } => secrets.iter().map(String::as_str).collect(),
    };
    let folders = absolute(roots)?;
    if words.iter().any(|word| ["./", "../"].iter().any(|begin| word.starts_with(begin))) {
        return Err(Problem::new(Code::SearchPathUnreadable, "find the file on other hosts")
            .because("it is not an absolute path")
            .help("name the file as it is called there: /srv/app/api.env"));
    }
    let is_value = |text: &str| known.is_stored(text) || redact::pass(text) != text;
    if words.iter().any(|word| looks_random(word))
        || words.into_iter().chain(folders.iter().map(String::as_str)).any(is_value)
    {
        return Err(Problem::new(Code::UsageWrong, "ask other hosts about what was typed")
            .because("it holds a value of a secret, or has the form of one, and is not sent")
            .help("name the secret, or the digits of its label: keyroll scan shows both"));
    }
    Ok(folders)
}

/// Paths that are the same on every machine. Errors do not repeat one: it may be a value.
///
/// # Errors
/// One of them is not absolute.
pub(super) fn absolute(roots: &[PathBuf]) -> Result<Vec<String>, Problem> {
    let folder = |(at, root): (usize, &PathBuf)| match root.to_str().filter(|_| is_whole(root)) {
        Some(root) => Ok(root.to_owned()),
        None => {
            let which = if roots.len() == 1 { "it".to_owned() } else { format!("number {}", at + 1) };
            Err(Problem::new(Code::SearchPathUnreadable, "search the named folders on other hosts")
                .because(format!("{which} is not an absolute path"))
                .help("name folders as they are called there, such as /srv/app"))
        }
    };
    roots.iter().enumerate().map(folder).collect()
}

/// Whether a word that is no path may be a value: only its own host would know that it is one. The short id of a container
/// and the digits of a label are none.
fn looks_random(word: &str) -> bool {
    let is_id = |part: &str| part.len() <= ID_DIGITS_MAX && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = || word.split([' ', '·']);
    !word.starts_with('/') && parts().any(|part| !looks_like_name(part) && !is_id(part))
}

/// Whether a path means the same in each folder.
fn is_whole(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_was_typed_is_not_sent() {
        let token = keyroll_testkit::github_token();
        // It is too short to be redacted.
        let known = Known::with(&[("hunter2", "db", 1)]);
        let why = |what: &str| HostCall::Why { what: what.to_owned() };
        let trace = |secret: &str| HostCall::Trace { secret: secret.to_owned(), evidence: false };
        let root = |path: &str| vec![PathBuf::from(path)];
        let draft = |secrets: &[&str]| HostCall::Draft {
            secrets: secrets.iter().map(|secret| (*secret).to_owned()).collect(),
            folders: BTreeMap::new(),
        };
        // In no form that keyroll knows.
        let mixed = |one: char| [one, '7'];
        let unformed: String = keyroll_testkit::alphanumeric(24).chars().flat_map(mixed).collect();
        // Of 48 characters that are drawn alone, one in some hundred has too few changes between letters and digits.
        let unformed = format!("sk-proj-{unformed}");
        let folder = format!("/srv/{}/api.env", "0d63".repeat(16));
        for word in ["openai", "OPENAI_API_KEY", "container 0d634b36799c", "sk-…·9f3c21d07a11", &folder] {
            assert_eq!(sendable(&why(word), &root("/srv/app"), &known).unwrap(), ["/srv/app"], "{word}");
        }
        for (call, roots) in [
            (why(&token), Vec::new()),
            (trace(&token), Vec::new()),
            (draft(&["openai", &token]), Vec::new()),
            (why("hunter2"), Vec::new()),
            (why(&unformed), Vec::new()),
            (HostCall::Scan, root(&format!("/srv/{token}"))),
        ] {
            let problem = sendable(&call, &roots, &known).unwrap_err();
            assert_eq!(problem.code, "K0802");
            let told = format!("{problem:?}");
            assert!(["hunter2", &token, &unformed].iter().all(|value| !told.contains(value)));
        }
    }

    #[test]
    fn names_that_lead_to_one_machine_are_told() {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        assert_eq!(one_machine(&names(&["web-1"])), None);
        let note = one_machine(&names(&["local", "web-2"])).unwrap();
        assert!(note.contains("local, web-2") && note.contains("K0962"), "{note}");
    }

    #[test]
    fn a_folder_and_a_file_on_another_host_are_named_whole() {
        let known = Known::with(&[]);
        for what in ["./api.env", "../api.env"] {
            let call = HostCall::Why { what: what.to_owned() };
            assert_eq!(sendable(&call, &[], &known).unwrap_err().code, "K0934", "{what}");
        }
        for path in ["app", "./app", "/srv/../etc"] {
            assert_eq!(
                sendable(&HostCall::Scan, &[PathBuf::from(path)], &known).unwrap_err().code,
                "K0934",
                "{path}"
            );
        }
    }
}
