use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_inventory::LeakSource;
use keyroll_link::{Call, HostLeaks, Item, LeaksCall, host_leaks};
use keyroll_scanner::{Detector, SecretVersion};

use super::at_once::{OfEach, Telling, at_once};
use super::chosen::{Chosen, Remote};
use super::look::{absolute, tell_machines};
use super::reach::Way;
use super::session::ended;
use super::unreached::{of_answer, of_link};
use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::redact;

/// How long a scan may take. A host that works says so all the time; one that says nothing is given up much earlier.
const SCAN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is searched for on hosts.
pub(crate) struct LeaksThere<'a> {
    /// The question.
    pub(crate) call: LeaksCall,
    /// What the numbers in it mean.
    pub(crate) versions: &'a [SecretVersion],
    /// What is searched for on this machine.
    pub(crate) detector: &'a Detector,
}

/// What one host sent.
struct Scanned {
    items: Vec<Item>,
    /// No machine was accepted under its name yet.
    new: bool,
    machine: Option<String>,
}

/// Scans hosts for leaks, a few at the same time. A host that cannot be scanned is one entry with its problem.
///
/// # Errors
/// What was typed cannot be sent, or nothing can be scanned from here.
pub(crate) fn leaks_there(
    chosen: &Chosen,
    asked: LeaksThere<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<OfEach<HostLeaks>, Problem> {
    let LeaksThere { call, versions, detector } = asked;
    let way = Way::of(installation)?;
    let mut machines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if chosen.here {
        machines.extend(way.machine_here().map(|machine| (machine, vec![keyroll_config::LOCAL.to_owned()])));
    }
    let asked = Arc::new((way, call));
    let scanned =
        at_once(chosen.remotes(), operator, |remote, telling| scan_there(asked.clone(), remote, telling))?;
    let (mut all, mut new): (OfEach<HostLeaks>, Vec<String>) = (Vec::new(), Vec::new());
    for (host, result) in scanned {
        let found = result.and_then(|scanned| {
            new.extend(scanned.new.then(|| host.clone()));
            scanned.machine.into_iter().for_each(|it| machines.entry(it).or_default().push(host.clone()));
            host_leaks(&host, scanned.items, versions, detector).map_err(|why| of_answer(&host, "scan", why))
        });
        all.push((host, found));
    }
    tell_machines(machines, &new, operator);
    Ok(all)
}

async fn scan_there(
    asked: Arc<(Way, LeaksCall)>,
    remote: Remote,
    telling: Telling,
) -> Result<Scanned, Problem> {
    let (way, call) = asked.as_ref();
    let mut reached = way.reach(&remote, &telling).await?;
    let new = way.refuse_other(&remote.name, &reached.hello)?;
    let machine = reached.hello.machine.clone();
    let mut heard = |note| telling.note(note);
    let items = reached.link.call(Call::Leaks(Box::new(call.clone())), SCAN_MAX, &mut heard).await;
    let items = items.map_err(|error| of_link(&remote.name, "scan", error));
    Ok(Scanned { items: ended(reached, items).await?, new, machine })
}

/// Refuses a path that means another one on a host, and a word that holds a value.
///
/// # Errors
/// There is such a path or word.
pub(crate) fn refuse_unsendable(source: &LeakSource, detector: &Detector) -> Result<(), Problem> {
    let mut words = absolute(source.paths())?;
    match source {
        LeakSource::Image(word) | LeakSource::Container(word) | LeakSource::Journal(word) => {
            words.push(word.clone());
        }
        LeakSource::Tree(_) | LeakSource::Histories(_) | LeakSource::Process(_) => {}
        LeakSource::Staged { .. } | LeakSource::Stdin => {
            return Err(Problem::new(Code::UsageWrong, "scan hosts for leaked secrets")
                .because("this source is on this machine only")
                .help("name folders as they are called there: keyroll leaks --host NAME /srv /var/log"));
        }
    }
    match words.iter().any(|word| detector.knows(word) || redact::pass(word) != word.as_str()) {
        true => Err(Problem::new(Code::UsageWrong, "ask other hosts about what was typed")
            .because("it holds a value of a secret, or has the form of one, and is not sent")
            .help("name a folder above it")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use keyroll_needle::{NeedleId, Needles};
    use keyroll_scanner::{KnownValues, Tree};
    use keyroll_secret::{FingerprintKey, SecretBytes};

    use super::*;

    #[test]
    fn a_path_that_holds_a_value_or_means_another_one_is_not_sent() {
        let value = keyroll_testkit::alphanumeric(16);
        let needles = Needles::builder().add(NeedleId(0), &SecretBytes::from(value.clone())).build().unwrap();
        let version =
            SecretVersion { secret: "openai".to_owned(), number: 1, state: "current", retired: false };
        let known = KnownValues { needles: Some(needles), versions: vec![version], ..KnownValues::default() };
        let detector = Detector::new(known, FingerprintKey::new(&[1; 32]));
        let tree =
            |path: &str| LeakSource::Tree(Tree { paths: vec![PathBuf::from(path)], ignored_left_out: true });
        assert!(refuse_unsendable(&tree("/srv/app"), &detector).is_ok());
        let token = format!("/srv/{}", keyroll_testkit::github_token());
        for (source, code) in [
            (tree("srv/app"), "K0934"),
            (tree("/srv/../etc"), "K0934"),
            (tree(&format!("/srv/{value}/app")), "K0802"),
            (tree(&token), "K0802"),
            (LeakSource::Container(value.clone()), "K0802"),
            (LeakSource::Stdin, "K0802"),
        ] {
            let problem = refuse_unsendable(&source, &detector).unwrap_err();
            assert_eq!(problem.code, code, "{problem:?}");
            assert!(!format!("{problem:?}").contains(&value));
        }
    }
}
