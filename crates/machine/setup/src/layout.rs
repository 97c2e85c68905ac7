//! The numbers of a plan: a secret's consumers and files over all of its hosts.

use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::{Consumer, Secret};
use keyroll_port::{Class, Failure, Numbers};
use keyroll_rotation::{self as rotation, ConsumerId, FileId, HostId};

use crate::compose::unit;
use crate::facts::IssuerFacts;
use crate::logins::refuse_unfit_lists;
use crate::numbering::{Numbering, Own, distinct, number};

/// A secret's consumers and files over all of its hosts, by the plan's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Each consumer as the protocol knows it, in the order of the configuration.
    pub consumers: Vec<rotation::Consumer>,
    /// The host of each file. Files have the order in which consumers first name them.
    pub files: Vec<HostId>,
    /// The path of each file on its host.
    pub paths: Vec<PathBuf>,
    /// For each host the plan's numbers of its consumers and files, by the numbers that [`crate::compose()`] gives them there.
    pub numbers: Vec<Numbers>,
}

/// What the numbers of files depend on besides the configuration. It must be what the setups are composed with.
#[derive(Clone, Copy)]
pub struct Placing<'a> {
    /// The folder of keyroll's own records on the machine that keyroll runs on.
    pub state: &'a Path,
    /// The keys of consumers that have one of their own.
    pub own: Option<&'a Own>,
}

/// Gives every consumer and file of a secret its number in a plan, in the order of the configuration. `hosts` are the names of
/// the plan's hosts by number; `local` is the machine that keyroll runs on. `unattributed` are those of which the issuer does
/// not show which process made a call. Nothing is asked of a machine.
///
/// # Errors
/// A consumer is on none of these hosts, or the configuration declares more than a plan has numbers for, or a list of logins
/// that does not fit.
pub fn layout(
    secret: &Secret,
    facts: &IssuerFacts,
    hosts: &[String],
    placing: Placing<'_>,
    unattributed: &[String],
) -> Result<Layout, Failure> {
    refuse_unfit_lists(secret)?;
    let mut numbering = Numbering::new(secret, placing.state, placing.own);
    let mut numbers = vec![Numbers::default(); hosts.len()];
    let mut consumers = Vec::new();
    for consumer in &secret.consumers {
        let host = host_of(secret, consumer, hosts)?;
        let id = ConsumerId(number(consumers.len())?);
        if let Some(on_it) = numbers.get_mut(host.index()) {
            on_it.consumers.push(id);
        }
        let mine = distinct(&numbering.of(host, consumer)?);
        let attributes = facts.attributes && !unattributed.iter().any(|name| name == consumer.machine());
        consumers.push(unit(host, consumer, mine, attributes)?);
    }
    let (mut files, mut paths) = (Vec::new(), Vec::new());
    for file in numbering.into_files() {
        let id = FileId(number(files.len())?);
        if let Some(on_it) = numbers.get_mut(file.host.index()) {
            on_it.files.push(id);
        }
        files.push(file.host);
        paths.push(file.path);
    }
    Ok(Layout { consumers, files, paths, numbers })
}

/// The files of each consumer of one host, each file once, by the numbers that the host knows them by: those of
/// [`Layout::numbers`]. `on_host` = the secret with the consumers on it ([`Secret::on`]). A cluster needs no more than this:
/// nothing is composed for it.
///
/// # Errors
/// The configuration declares more than a plan has numbers for.
pub fn key_files<'s>(
    on_host: &'s Secret,
    state: &Path,
    own: Option<&Own>,
) -> Result<Vec<(Vec<FileId>, &'s Consumer)>, Failure> {
    let mut numbering = Numbering::new(on_host, state, own);
    let mut all = Vec::new();
    for consumer in &on_host.consumers {
        // The files of one host are numbered alike, whichever number the host has.
        all.push((distinct(&numbering.of(HostId(0), consumer)?), consumer));
    }
    Ok(all)
}

/// The number of a consumer's host.
fn host_of(secret: &Secret, consumer: &Consumer, hosts: &[String]) -> Result<HostId, Failure> {
    let Some(at) = hosts.iter().position(|host| host == consumer.machine()) else {
        let attempted = format!("find the host of {} of {}", consumer.name, secret.name);
        return Err(Failure::new(Class::Permanent, Code::PlanStale, attempted)
            .because(format!("{} is not among the hosts of the plan", consumer.machine()))
            .help(format!("make a new plan: keyroll plan {}", secret.name)));
    };
    Ok(HostId(number(at)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keyroll_config::Config;
    use keyroll_rotation::{Delivery, ReloadMode};
    use keyroll_secret::{Fields, FingerprintKey, SecretBytes};

    use super::*;
    use crate::{Composed, Composition, Folders, compose};

    const STATE: &str = "/var/lib/keyroll";

    const HOSTS: &str = "[hosts.here]\nconnect = \"local\"\n\
        [hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv/web\"\ngroup = \"web\"\n\
        [hosts.web-2]\nconnect = \"ssh://web-2\"\nfolder = \"/srv/web\"\ngroup = \"web\"\n\
        [hosts.prod]\nconnect = \"kube://eks/agents\"\n";

    /// A consumer: its name, further lines, and its copies.
    fn consumer(name: &str, lines: &str, reads: &[&str]) -> String {
        let reads: Vec<String> = reads.iter().map(|file| format!("{{ {file} }}")).collect();
        format!(
            "[[secrets.acme.consumers]]\nname = \"{name}\"\n{lines}\nruns = {{ at_rest = true }}\nreads = [ {} ]\n",
            reads.join(", ")
        )
    }

    /// A consumer in the cluster, which takes a key of the Secret `credentials`.
    fn in_cluster(name: &str, key: &str, lines: &str) -> String {
        format!(
            "[[secrets.acme.consumers]]\nname = \"{name}\"\nhost = \"prod\"\nruns = {{ deployment = \"{name}\" }}\n\
             reads = {{ secret = \"credentials\", key = \"{key}\" }}\n{lines}"
        )
    }

    fn served(name: &str) -> String {
        format!(
            "[[secrets.acme.consumers]]\nname = \"{name}\"\nserves = {{ uid = \"agent\", exe = \"/opt/{name}\" }}\n"
        )
    }

    fn secret(consumers: &[String]) -> Secret {
        let text =
            format!("version = 1\n{HOSTS}[secrets.acme]\nissuer = \"openrouter\"\n{}", consumers.concat());
        let config =
            Config::parse(&text, "/etc/keyroll/keyroll.toml").unwrap_or_else(|error| panic!("{error}"));
        config.secret("acme").unwrap().clone()
    }

    fn facts() -> IssuerFacts {
        let endpoints = vec!["api.example.org:443".to_owned()];
        IssuerFacts { attributes: true, alphabet: b"abc".to_vec(), length_max: 64, endpoints }
    }

    fn composed(secret: &Secret, host: HostId, own: Option<&Own>) -> Composed {
        let folders = Folders { config: Path::new("/srv"), state: Path::new(STATE), keys: None };
        let key = Arc::new(FingerprintKey::new(&[7; 32]));
        let issuer = &facts();
        let (planned, search) = (None, None);
        compose(&Composition {
            secret,
            issuer,
            folders,
            host,
            rotation: "",
            search,
            planned,
            own,
            served: Some(&key),
        })
        .unwrap()
    }

    fn laid(secret: &Secret, own: Option<&Own>) -> Layout {
        let hosts = ["local", "web-1", "web-2", "prod"].map(str::to_owned);
        layout(secret, &facts(), &hosts, Placing { state: Path::new(STATE), own }, &[]).unwrap()
    }

    /// Local consumers that share files, are served, have several copies in one file, and keys of their own.
    fn local() -> Vec<String> {
        let env = |variable: &str| format!("env_file = \"./shop.env\", variable = \"{variable}\"");
        vec![
            consumer("api", "host = \"here\"", &[&env("A"), "file = \"./api.key\"", &env("B")]),
            served("agent"),
            consumer("worker", "wave = 2", &["file = \"./worker.key\"", &env("A")]),
            consumer("again", "", &["file = \"./api.key\""]),
            served("bot"),
        ]
    }

    #[test]
    fn on_this_machine_alone_the_numbers_are_those_of_its_setup() {
        let value = |text: &str| Arc::new(Fields::single(SecretBytes::new(text.as_bytes().to_vec())));
        let (one, other) = (value("one"), value("other"));
        let all: Own = [("api", &one), ("worker", &other), ("again", &one)]
            .map(|(name, key)| (name.to_owned(), key.clone()))
            .into();
        let secret = secret(&local());
        for own in [None, Some(&all)] {
            let (laid, composed) = (laid(&secret, own), composed(&secret, HostId(0), own));
            assert_eq!(laid.consumers, composed.consumers);
            assert_eq!(laid.files, composed.files);
            let paths: Vec<PathBuf> = composed.setup.files.iter().map(|file| file.path.clone()).collect();
            assert_eq!(laid.paths, paths);
            let everything = Numbers {
                consumers: (0..5).map(ConsumerId).collect(),
                files: (0..laid.files.len()).map(|id| FileId(u16::try_from(id).unwrap())).collect(),
            };
            let none = Numbers::default;
            assert_eq!(laid.numbers, [everything, none(), none(), none()]);
            let own_files = if own.is_some() { 6 } else { 5 };
            assert_eq!(laid.files.len(), own_files, "a file with two keys has two numbers");
        }
    }

    #[test]
    fn each_host_counts_its_own_consumers_and_files_from_nought() {
        let env = |variable: &str| format!("env_file = \"./shop.env\", variable = \"{variable}\"");
        let mut consumers = local();
        consumers.insert(1, consumer("shop", "hosts = [\"web\", \"local\"]", &[&env("A"), &env("B")]));
        consumers.insert(3, consumer("cron", "host = \"web-2\"", &["file = \"/etc/cron.key\"", &env("A")]));
        for (at, (name, key, lines)) in [
            ("pods", "a", ""),
            ("others", "b", ""),
            ("same", "a", ""),
            ("versions", "a", "versioned = true\n"),
            ("synced", "c", "synced = true\nwave = 2\n"),
        ]
        .into_iter()
        .enumerate()
        {
            consumers.insert(2 * at, in_cluster(name, key, lines));
        }
        let secret = secret(&consumers);
        let laid = laid(&secret, None);
        assert_eq!(laid.consumers.len(), 14);
        for (at, host) in ["local", "web-1", "web-2"].into_iter().enumerate() {
            let id = HostId(u16::try_from(at).unwrap());
            let composed = composed(&secret.on(host), id, None);
            let numbers = &laid.numbers[at];
            assert_eq!(numbers.consumers.len(), composed.consumers.len(), "{host}");
            assert_eq!(numbers.files.len(), composed.setup.files.len(), "{host}");
            for (own, plan) in composed.consumers.iter().zip(&numbers.consumers) {
                let files = own.files.iter().map(|file| numbers.files[file.index()]).collect();
                let expected = rotation::Consumer { files, ..own.clone() };
                assert_eq!(laid.consumers[plan.index()], expected, "{host}");
            }
            for (own, plan) in composed.setup.files.iter().zip(&numbers.files) {
                assert_eq!((laid.files[plan.index()], &laid.paths[plan.index()]), (id, &own.path));
            }
        }
        let numbers = &laid.numbers[3];
        let in_prod = secret.on("prod");
        let cluster = key_files(&in_prod, Path::new(STATE), None).unwrap();
        let own: Vec<Vec<u16>> =
            cluster.iter().map(|(files, _)| files.iter().map(|file| file.0).collect()).collect();
        assert_eq!(
            own,
            [[0], [1], [0], [2], [3]],
            "a key of a Secret is a file; one with versions is another"
        );
        assert_eq!((numbers.consumers.len(), numbers.files.len()), (5, 4));
        for ((files, consumer), plan) in cluster.iter().zip(&numbers.consumers) {
            let laid_out = &laid.consumers[plan.index()];
            let files: Vec<FileId> = files.iter().map(|file| numbers.files[file.index()]).collect();
            assert_eq!((laid_out.host, &laid_out.files), (HostId(3), &files), "{}", consumer.name);
            assert_eq!(laid.paths[files[0].index()], consumer.reads[0].place.path(), "{}", consumer.name);
            assert!(!laid_out.attributable, "{}", consumer.name);
            let is_synced = consumer.name.as_str() == "synced";
            let delivery = if is_synced { Delivery::Fetch } else { Delivery::Push };
            assert_eq!(
                (laid_out.delivery, laid_out.uptake),
                (delivery, ReloadMode::Verb),
                "{}",
                consumer.name
            );
        }
        let shop_env = |path: &&PathBuf| path.ends_with("shop.env");
        assert_eq!(laid.paths.iter().filter(shop_env).count(), 3, "the same path on three hosts");
    }

    #[test]
    fn calls_of_one_host_are_not_attributed_and_those_of_the_others_are() {
        let text = consumer("shop", "hosts = [\"web\", \"local\"]", &["file = \"./k\""])
            .replace("at_rest = true", "rereads = true, process = \"/opt/shop\"");
        let secret = secret(&[text]);
        let hosts = ["local", "web-1", "web-2"].map(str::to_owned);
        let attributable = |unattributed: &[String]| -> Vec<(HostId, bool)> {
            let placing = Placing { state: Path::new(STATE), own: None };
            let laid = layout(&secret, &facts(), &hosts, placing, unattributed).unwrap();
            let mut all: Vec<_> = laid.consumers.iter().map(|it| (it.host, it.attributable)).collect();
            all.sort();
            all
        };
        let of = |all: [bool; 3]| [0, 1, 2].map(HostId).into_iter().zip(all).collect::<Vec<_>>();
        assert_eq!(attributable(&[]), of([true; 3]));
        assert_eq!(attributable(&["web-2".to_owned()]), of([true, true, false]));
        // A name that is in another one.
        assert_eq!(attributable(&["web".to_owned()]), of([true; 3]));
    }

    #[test]
    fn a_consumer_on_a_host_that_the_plan_does_not_have_is_refused() {
        let secret = secret(&[consumer("shop", "hosts = [\"web\"]", &["file = \"./k\""])]);
        let hosts = ["local", "web-1"].map(str::to_owned);
        let placing = Placing { state: Path::new(STATE), own: None };
        let failure = layout(&secret, &facts(), &hosts, placing, &[]).unwrap_err();
        assert_eq!((failure.code, failure.class), (Code::PlanStale, Class::Permanent));
        assert_eq!(failure.to_string(), "could not find the host of shop@web-2 of acme");
        assert!(failure.help.is_some_and(|help| help.contains("keyroll plan acme")));
    }

    /// Each host alone would see nothing wrong.
    #[test]
    fn a_list_of_logins_is_moved_before_consumers_on_other_hosts() {
        let list =
            consumer("pool", "host = \"web-1\"", &["file = \"/etc/userlist.txt\", format = \"userlist\""]);
        let api = consumer("api", "host = \"web-2\"", &["file = \"./k\""]);
        let laid = |consumers: [&str; 2]| {
            let text = format!(
                "version = 1\n{HOSTS}[secrets.acme]\nissuer = \"postgres\"\n[secrets.acme.postgres]\nhost = \"db\"\n\
                 dbname = \"orders\"\nowner_role = \"orders\"\nslots = [\"orders_a\", \"orders_b\"]\n\
                 [[secrets.acme.postgres.poolers]]\nhost = \"127.0.0.1\"\nadmin = \"file:./pgbouncer.key\"\n{}",
                consumers.concat()
            );
            let config = Config::parse(&text, "keyroll.toml").unwrap_or_else(|error| panic!("{error}"));
            let hosts = ["local", "web-1", "web-2"].map(str::to_owned);
            let placing = Placing { state: Path::new(STATE), own: None };
            layout(&config.secrets["acme"], &facts(), &hosts, placing, &[])
        };
        assert!(laid([&list, &api]).is_ok());
        assert_eq!(laid([&api, &list]).unwrap_err().code, Code::PoolerUnusable);
    }
}
