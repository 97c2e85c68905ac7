use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_cluster::Grade;
use keyroll_link::{Call, Fact, HostHello, Item};
use keyroll_ssh::{Started, Sudo};

use super::at_once::{Telling, at_once};
use super::chosen::{Remote, chosen};
use super::cluster::check_clusters;
use super::pins::Standing;
use super::reach::Way;
use super::unreached::{of_link, sudo_rule};
use crate::installation::Installation;
use crate::operator::{CheckShown, Finding, Operator, plain};
use crate::problem::Problem;
use crate::wall_clock;

/// How long a host may take to say what it may inspect.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// The difference of two clocks that is no finding, milliseconds.
const CLOCK_MS_MAX: u64 = 2_000;

/// What keyroll checks itself: a host says nothing of these.
const OWN: [&str; 6] = ["ssh", "keyroll-host", "cache folder", "sudo", "clock", "machine"];

/// What was checked of a host.
pub struct HostChecked {
    /// Its name.
    pub host: String,
    /// The findings.
    pub checks: Vec<CheckShown>,
    /// It was not reached, is another machine than the accepted one, or did not say what it may inspect.
    pub problem: Option<Problem>,
}

/// Checks everything that looking at a host needs, for the named hosts or for all.
///
/// # Errors
/// The configuration or hosts.json cannot be read, or nothing has one of the names.
pub fn check(
    names: &[String],
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Vec<HostChecked>, Problem> {
    let chosen = chosen(names, names.is_empty(), installation)?;
    let way = Arc::new(Way::of(installation)?);
    let all = at_once(chosen.remotes(), operator, |remote, telling| check_one(way.clone(), remote, telling))?;
    let mut checked = Vec::new();
    for (host, result) in all {
        let (checks, problem) = result.unwrap_or_else(|problem| (Vec::new(), Some(problem)));
        checked.push(HostChecked { host, checks, problem });
    }
    for (name, result) in check_clusters(&chosen.clusters(), operator)? {
        let (checks, problem) = match result {
            Ok(all) => (all.into_iter().map(of_cluster).collect(), None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        checked.push(HostChecked { host: name, checks, problem });
    }
    checked.sort_by(|one, other| one.host.cmp(&other.host));
    Ok(checked)
}

fn of_cluster(checked: keyroll_cluster::Checked) -> CheckShown {
    let keyroll_cluster::Checked { what, grade, detail, help } = checked;
    let finding = match grade {
        Grade::Good => Finding::Good,
        Grade::Less => Finding::Note,
        Grade::Bad => Finding::Bad,
    };
    CheckShown { name: what.to_owned(), finding, detail: plain(&detail), help }
}

async fn check_one(
    way: Arc<Way>,
    remote: Remote,
    telling: Telling,
) -> Result<(Vec<CheckShown>, Option<Problem>), Problem> {
    let began = Instant::now();
    let before = now_unix_ms();
    let mut reached = way.reach(&remote, &telling).await?;
    let greeted = Greeted { before, connect: reached.started.connect, took: began.elapsed() };
    let mut checks = vec![
        good("ssh", format!("connected in {:.1} s", reached.started.connect.as_secs_f64())),
        program(&remote, &reached.started, &reached.hello),
        cache(&remote, &reached.started),
        sudo(&remote, &reached.started),
        clock(&greeted, reached.hello.now_unix_ms),
    ];
    checks.retain(|check| !check.detail.is_empty());
    if let Err(problem) = way.refuse_other(&remote.name, &reached.hello) {
        return Ok((checks, Some(problem)));
    }
    checks.push(accepted(&remote, &way.pins.standing(&remote.name, &reached.hello)));
    let mut heard = |note| telling.note(note);
    let answered = reached.link.call(Call::Check, CHECK_MAX, &mut heard).await;
    drop(reached.end().await);
    match answered {
        Ok(items) => {
            checks.extend(items.into_iter().filter_map(of_item));
            Ok((checks, None))
        }
        Err(error) => Ok((checks, Some(of_link(&remote.name, "check", error)))),
    }
}

fn good(name: &str, detail: String) -> CheckShown {
    CheckShown { name: name.to_owned(), finding: Finding::Good, detail, help: None }
}

fn note(name: &str, detail: String, help: String) -> CheckShown {
    CheckShown { name: name.to_owned(), finding: Finding::Note, detail, help: Some(help) }
}

fn program(remote: &Remote, started: &Started, hello: &HostHello) -> CheckShown {
    let (version, machine) = (plain(&hello.keyroll), plain(&started.machine));
    let how = match (&remote.address.program, started.sent) {
        (Some(program), _) => format!("installed as {program}"),
        (None, true) => "sent now".to_owned(),
        (None, false) => "it was there already".to_owned(),
    };
    let detail = format!("version {version} for {machine}, {how}");
    match hello.keyroll == env!("CARGO_PKG_VERSION") {
        true => good("keyroll-host", detail),
        false => note(
            "keyroll-host",
            detail,
            format!("this keyroll is version {}: install the same there", env!("CARGO_PKG_VERSION")),
        ),
    }
}

/// Nothing is said where an installed program needs no cache folder.
fn cache(remote: &Remote, started: &Started) -> CheckShown {
    let detail = match (&remote.address.program, started.free_kib) {
        (Some(_), _) => String::new(),
        (None, Some(kib)) => format!("~/.cache/keyroll can be used, {} MiB are free", kib >> 10),
        (None, None) => "~/.cache/keyroll can be used".to_owned(),
    };
    good("cache folder", detail)
}

fn sudo(remote: &Remote, started: &Started) -> CheckShown {
    match started.sudo {
        Sudo::NotAsked => good("sudo", "not used".to_owned()),
        Sudo::Root => good("sudo", "not needed: root logs in".to_owned()),
        Sudo::Yes => good("sudo", "keyroll-host runs as root".to_owned()),
        Sudo::Refused => {
            let help = sudo_rule(remote);
            let detail =
                "it was refused: keyroll-host runs as the user who logs in, and sees less".to_owned();
            CheckShown { name: "sudo".to_owned(), finding: Finding::Bad, detail, help: Some(help) }
        }
    }
}

/// When a host greeted.
struct Greeted {
    /// The time here before the connection, milliseconds since 1970.
    before: u64,
    /// How long the connection took.
    connect: Duration,
    /// How long it took to the greeting.
    took: Duration,
}

/// Compares the time in a greeting with the middle of the time in which it was written.
fn clock(greeted: &Greeted, there: u64) -> CheckShown {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let trip = ms(greeted.took.saturating_sub(greeted.connect));
    let here = greeted.before.saturating_add(ms(greeted.connect)).saturating_add(trip / 2);
    let apart = there.abs_diff(here);
    if apart <= CLOCK_MS_MAX.max(trip) {
        return good("clock", "as here".to_owned());
    }
    let (seconds, which) = (apart / 1_000, if there > here { "ahead" } else { "behind" });
    note(
        "clock",
        format!("{seconds} s {which}"),
        "compare times of this host with care; see that its time is synchronised: timedatectl".to_owned(),
    )
}

fn accepted(remote: &Remote, standing: &Standing) -> CheckShown {
    match standing {
        Standing::Accepted { rebooted: false } => good("machine", "the accepted one".to_owned()),
        Standing::Accepted { rebooted: true } => {
            good("machine", "the accepted one, rebooted since".to_owned())
        }
        Standing::New | Standing::Other { .. } | Standing::Twin(_) => note(
            "machine",
            "not accepted yet: another machine in its place would not be noticed".to_owned(),
            format!("keyroll hosts accept {}", remote.name),
        ),
    }
}

/// A fact that the host tells.
fn of_item(item: Item) -> Option<CheckShown> {
    let Item::Fact(Fact { what, good, detail }) = item else { return None };
    let finding = if good { Finding::Good } else { Finding::Note };
    let shown = CheckShown { name: plain(&what), finding, detail: plain(&detail), help: None };
    (!OWN.contains(&what.as_str())).then_some(shown)
}

fn now_unix_ms() -> u64 {
    u64::try_from(wall_clock::now().timestamp().as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_told_if_it_differs_by_more_than_the_way_explains() {
        let greeted = |trip: u64| Greeted {
            before: 1_000_000,
            connect: Duration::from_millis(500),
            took: Duration::from_millis(500 + trip),
        };
        for (trip, there, said) in [
            (100, 1_000_550, "as here"),
            (100, 1_002_550, "as here"),
            (100, 1_002_551, "2 s ahead"),
            (100, 990_550, "10 s behind"),
            (8_000, 1_012_000, "as here"),
        ] {
            assert_eq!(clock(&greeted(trip), there).detail, said, "{trip} {there}");
        }
    }
}
