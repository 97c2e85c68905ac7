use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_link::{HostHello, bytes_of};

use super::at_once::{OfEach, Telling, at_once};
use super::chosen::{Remote, chosen};
use super::pins::{Pin, Pins, Standing};
use super::reach::{Way, other, same_as};
use super::unreached::of_answer;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::records::acts::asked;
use crate::wall_clock;

/// How many hex digits the id of a boot has.
const BOOT_DIGITS: usize = 16;

/// Accepts the machines that now answer under these names; with `again` also other machines than before. Returns a sentence
/// for each. If one cannot be accepted, the others are.
///
/// # Errors
/// The first machine that cannot be accepted; the sentences of the others were told as notes.
pub fn accept(
    names: &[String],
    again: bool,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Vec<String>, Problem> {
    let help = "leave it out: a cluster is known by its certificate authority in the kubeconfig, so there is nothing to accept";
    let chosen = chosen(names, false, installation)?;
    chosen.refuse_clusters(names, "accept hosts", help)?;
    let remotes = chosen.remotes();
    if remotes.is_empty() {
        return Err(Problem::new(Code::UsageWrong, "accept hosts")
            .because("these names lead to this machine alone")
            .help("name hosts by ssh: keyroll hosts list shows them"));
    }
    let places = installation.places()?;
    let by = asked("hosts accept", &places).by;
    let way = Arc::new(Way::of(installation)?);
    let heard = at_once(remotes.clone(), operator, |remote, telling| hello(way.clone(), remote, telling))?;
    // Connecting takes a while: what another keyroll accepted meanwhile stays.
    let mut pins = way.pins.again(&places)?;
    let (said, problem) = accept_all(&mut pins, &remotes, heard, (again, &by));
    if !said.is_empty() {
        pins.save(&places)?;
    }
    match problem {
        None => Ok(said),
        Some(problem) => {
            said.into_iter().for_each(|sentence| operator.note(sentence));
            Err(problem)
        }
    }
}

/// What a host says of itself. It is asked for nothing else.
async fn hello(way: Arc<Way>, remote: Remote, telling: Telling) -> Result<HostHello, Problem> {
    let reached = way.reach(&remote, &telling).await?;
    let hello = reached.hello.clone();
    drop(reached.end().await);
    Ok(hello)
}

/// A sentence for each accepted machine, and the first problem.
fn accept_all(
    pins: &mut Pins,
    remotes: &[Remote],
    heard: OfEach<HostHello>,
    (again, by): (bool, &str),
) -> (Vec<String>, Option<Problem>) {
    let (mut said, mut first) = (Vec::new(), None);
    for (remote, (_, hello)) in remotes.iter().zip(heard) {
        let accepted = hello.and_then(|hello| {
            let pin = judged(pins, remote, &hello, again)?;
            pins.accept(&remote.name, Pin { by: by.to_owned(), ..pin });
            let user = if hello.root { "root" } else { "a user without the rights of root" };
            Ok(format!("accepted {}: {}, where keyroll-host runs as {user}", remote.name, remote.address))
        });
        match accepted {
            Ok(sentence) => said.push(sentence),
            Err(problem) => first = first.or(Some(problem)),
        }
    }
    (said, first)
}

/// The machine as it is kept.
fn judged(pins: &Pins, remote: &Remote, hello: &HostHello, again: bool) -> Result<Pin, Problem> {
    let name = remote.name.as_str();
    let Some(machine) = hello.machine.clone() else {
        return Err(Problem::new(Code::HostChanged, format!("accept {name}"))
            .because("it has no machine-id, so another machine in its place would not be noticed")
            .help("run systemd-machine-id-setup there, then accept it again"));
    };
    if [Some(&machine), hello.hardware.as_ref()]
        .into_iter()
        .flatten()
        .any(|digest| bytes_of(digest).is_none())
    {
        return Err(of_answer(name, "accept", "its id has another form than keyroll-host gives it"));
    }
    // It is kept in hosts.json: a host must not decide how long that file is.
    if !is_boot(&hello.boot) {
        return Err(of_answer(
            name,
            "accept",
            "the id of its boot has another form than keyroll-host gives it",
        ));
    }
    match pins.standing(name, hello) {
        Standing::Twin(twin) => Err(same_as("accept", name, &twin)),
        Standing::Other { accepted, by } if !again => Err(other("accept", name, &accepted, &by)),
        Standing::Other { .. } | Standing::New | Standing::Accepted { .. } => Ok(Pin {
            connect: remote.address.to_string(),
            machine,
            hardware: hello.hardware.clone(),
            boot: hello.boot.clone(),
            accepted: wall_clock::in_seconds(0),
            by: String::new(),
        }),
    }
}

/// 16 hex digits, or nothing.
fn is_boot(boot: &str) -> bool {
    boot.is_empty() || boot.len() == BOOT_DIGITS && boot.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use keyroll_config::SshAddress;

    use super::*;
    use crate::places::Locations;

    fn remote(name: &str) -> Remote {
        Remote { name: name.to_owned(), address: SshAddress::parse("ssh://deploy@web").unwrap() }
    }

    fn hello(machine: Option<&str>) -> HostHello {
        HostHello {
            version: 1,
            keyroll: "0.1.0".to_owned(),
            machine: machine.map(|digit| digit.repeat(64)),
            hardware: None,
            boot: "b1".repeat(8),
            now_unix_ms: 0,
            root: false,
            user: "deploy".to_owned(),
            seal: String::new(),
        }
    }

    fn pins() -> Pins {
        let folder = tempfile::tempdir().unwrap();
        let locations = Locations { state: Some(folder.path().join("state")), ..Locations::default() };
        Pins::read(&Installation::new(locations)).unwrap()
    }

    fn heard(all: &[(&str, Option<&str>)]) -> (Vec<Remote>, OfEach<HostHello>) {
        let remotes = all.iter().map(|(name, _)| remote(name)).collect();
        (remotes, all.iter().map(|(name, machine)| ((*name).to_owned(), Ok(hello(*machine)))).collect())
    }

    #[test]
    fn a_machine_is_accepted_once_and_another_one_in_its_place_only_on_demand() {
        let mut pins = pins();
        let mut accept = |machine: Option<&str>, again: bool| {
            let (remotes, heard) = heard(&[("web-1", machine)]);
            let (said, problem) = accept_all(&mut pins, &remotes, heard, (again, "user root"));
            (said.len(), problem.map(|problem| problem.code.as_str()))
        };
        assert_eq!(accept(None, false), (0, Some("K0962")));
        assert_eq!(accept(Some("a"), false), (1, None));
        assert_eq!(accept(Some("a"), false), (1, None));
        assert_eq!(accept(Some("b"), false), (0, Some("K0962")));
        assert_eq!(accept(Some("b"), true), (1, None));
        assert_eq!(accept(Some("x"), true), (0, Some("K0963")), "not hex");
        let pin = pins.pin("web-1").unwrap();
        assert_eq!((pin.machine.as_str(), pin.by.as_str()), ("b".repeat(64).as_str(), "user root"));
        assert_eq!(pin.connect, "ssh://deploy@web");
    }

    #[test]
    fn a_host_does_not_write_what_it_likes_into_the_file() {
        for (boot, is) in
            [("", true), ("9f3c21aa00b1c2d3", true), ("b1", false), ("9f3c21aa00b1c2d\n", false)]
        {
            let mut pins = pins();
            let (remotes, mut heard) = heard(&[("web-1", Some("a"))]);
            heard.iter_mut().for_each(|(_, hello)| {
                let hello = hello.as_mut().unwrap();
                hello.boot = boot.to_owned();
            });
            let (said, _) = accept_all(&mut pins, &remotes, heard, (false, "user root"));
            assert_eq!((said.len() == 1, pins.pin("web-1").is_some()), (is, is), "{boot}");
        }
    }

    #[test]
    fn one_machine_under_two_names_is_accepted_under_the_first() {
        let mut pins = pins();
        let (remotes, heard) = heard(&[("web-1", Some("a")), ("web-2", Some("a")), ("web-3", Some("b"))]);
        let (said, problem) = accept_all(&mut pins, &remotes, heard, (true, "user root"));
        assert_eq!(said.len(), 2, "{said:?}");
        let problem = problem.unwrap();
        assert_eq!((problem.code.as_str(), problem.sentence().contains("web-1")), ("K0962", true));
        assert!(pins.pin("web-2").is_none() && pins.pin("web-3").is_some());
    }
}
