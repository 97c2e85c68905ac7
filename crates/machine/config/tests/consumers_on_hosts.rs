//! Consumers on other machines: what `host` and `hosts` mean, and what is refused.

use std::collections::BTreeSet;
use std::path::Path;

use keyroll_config::{Check, Config, Consumer, Host, LOCAL, Secret, hosts_meant, slice};

use crate::refuses::{expect, with_consumer, with_secret};

const FLEET: &str = r#"[hosts.here]
connect = "local"
group = "all"
[hosts.web-2]
connect = "ssh://web-2"
folder = "/srv/app"
group = "web"
[hosts.web-1]
connect = "ssh://web-1"
folder = "/srv/app"
group = "web"
[hosts.worker-a]
connect = "ssh://worker-a"
folder = "/opt/{worker}"
group = "all"
[hosts.bare]
connect = "ssh://bare"
[hosts."a.b"]
connect = "ssh://a.b"
"#;

const AT_REST: &str = "runs = { at_rest = true }\nreads = { file = \"./k\" }\n";

/// A consumer `api` with these lines, of the secret `acme`, and the hosts. The lines begin in line 6.
fn text(lines: &str) -> String {
    with_consumer(&format!("{lines}\n{AT_REST}{FLEET}"))
}

fn config(text: &str) -> Config {
    Config::parse(text, "/etc/keyroll/keyroll.toml")
        .unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

fn secret(text: &str) -> Secret {
    config(text).secret("acme").unwrap().clone()
}

/// Each consumer: its name, its host, whether that is this machine, and the folder of its copy.
fn of(text: &str) -> Vec<String> {
    let shown = |consumer: &Consumer| {
        let here = if consumer.is_here { "here" } else { "there" };
        let folder = consumer.reads[0].place.path().parent().unwrap().display();
        format!("{} {} {here} {folder}", consumer.name, consumer.host)
    };
    secret(text).consumers.iter().map(shown).collect()
}

/// The mistake stands in line 6, contains these words, and says what to write instead.
#[track_caller]
fn refused(lines: &str, code: &str, words: &str, help: &str) {
    expect(&text(lines), code, 6, words);
    let error = Config::parse(&text(lines), "keyroll.toml").unwrap_err();
    assert!(error.help().is_some_and(|given| given.contains(help)), "{help:?} is not in {:?}", error.help());
}

#[test]
fn a_consumer_on_one_host_keeps_its_name_and_has_the_folder_of_the_host() {
    assert_eq!(of(&text("")), ["api local here /etc/keyroll"]);
    assert_eq!(of(&text("host = \"local\"")), ["api local here /etc/keyroll"]);
    assert_eq!(of(&text("host = \"here\"")), ["api here here /etc/keyroll"]);
    assert_eq!(of(&text("host = \"web-1\"")), ["api web-1 there /srv/app"]);
    let secret = secret(&text("host = \"web-1\""));
    let consumer = secret.consumer("api").unwrap();
    assert_eq!((consumer.machine(), consumer.is_on("web-1"), consumer.is_on(LOCAL)), ("web-1", true, false));
}

#[test]
fn a_consumer_on_several_hosts_is_one_on_each_in_the_order_of_the_words() {
    assert_eq!(
        of(&text("hosts = [\"web\", \"local\"]")),
        [
            "api@web-1 web-1 there /srv/app",
            "api@web-2 web-2 there /srv/app",
            "api@local local here /etc/keyroll"
        ]
    );
    assert_eq!(
        of(&text("hosts = [\"w*-?\"]")),
        [
            "api@web-1 web-1 there /srv/app",
            "api@web-2 web-2 there /srv/app",
            "api@worker-a worker-a there /opt/{worker}"
        ]
    );
    let each_once = of(&text("hosts = [\"web-2\", \"web\", \"web-*\"]"));
    assert_eq!(each_once, ["api@web-2 web-2 there /srv/app", "api@web-1 web-1 there /srv/app"]);
    // A group may have the machine that keyroll runs on, too.
    let group = of(&text("hosts = [\"all\"]"));
    assert_eq!(group, ["api@here here here /etc/keyroll", "api@worker-a worker-a there /opt/{worker}"]);
}

#[test]
fn every_path_of_a_consumer_is_relative_to_the_folder_of_its_host() {
    let lines = r#"host = "worker-a"
runs = { restart = ["./restart.sh", "{instance}"], instances = ["1", "2"], pid_file = "./run/{instance}.pid" }
reads = [ { env_file = "./api.env", variable = "KEY" }, { file = "made", generated = ["./render.sh"] } ]
log = { file = "./api-{instance}.log", failure = "401" }
check = { exec = ["./probe.sh", "{copy}"] }
"#;
    let secret = secret(&with_consumer(&format!("{lines}{FLEET}")));
    let consumer = &secret.consumers[0];
    let paths: Vec<&Path> = consumer.reads.iter().map(|copy| copy.place.path()).collect();
    assert_eq!(paths, [Path::new("/opt/{worker}/api.env"), Path::new("/opt/{worker}/made")]);
    let generated = consumer.reads[1].generated.as_ref().unwrap();
    assert_eq!(generated.fill("main", None, None), ["/opt/{worker}/render.sh"]);
    let Some(Check::Exec(check)) = &consumer.check else { panic!("{:?}", consumer.check) };
    assert_eq!(check.fill("1", None, Some(Path::new("/c"))), ["/opt/{worker}/probe.sh", "/c"]);
    let log = format!("{:?}", consumer.log.as_ref().unwrap().source);
    assert!(log.contains("/opt/{{worker}}/api-{instance}.log"), "{log}");
    let workload = format!("{:?}", consumer.runs.instances()[1].workload);
    for path in ["/opt/{worker}/restart.sh", "/opt/{worker}/run/2.pid", "Some(\"/opt/{worker}\")"] {
        assert!(workload.contains(path), "{path} is not in {workload}");
    }
    assert!(!workload.contains("/etc/keyroll"), "{workload}");
}

#[test]
fn words_that_name_no_host_are_refused_with_what_to_write() {
    refused("host = \"web-3\"", "K0006", "not defined", "did you mean `web-");
    refused("host = \"zzzzzzzz\"", "K0006", "not defined", "known: a.b, bare, here, web-1");
    refused("host = \"web\"", "K0006", "not defined", "write `hosts = [\"web\"]`");
    refused("host = \"web-*\"", "K0006", "not defined", "write `hosts = [");
    refused("hosts = []", "K0004", "names no machine", "hosts = [\"web-1\"");
    refused("hosts = [\"web\", \"wrker-a\"]", "K0006", "no host and no group", "did you mean `worker-a`?");
    refused("hosts = [\"webb\"]", "K0006", "no host and no group", "did you mean `web`?");
    refused("hosts = [\"zzzzzz-*\"]", "K0006", "fits the name of no host", "known: ");
    refused("hosts = [\"loc*\"]", "K0006", "fits the name of no host", "\"local\"");
    refused("hosts = [\"he*\"]", "K0006", "fits `here`", "add \"here\"");
    refused("hosts = [\"*\"]", "K0006", "the machine that keyroll runs on", "by ssh only");
    refused("hosts = [\"here\", \"local\"]", "K0004", "twice: `here` and `local`", "keep one");
    refused("hosts = [\"web-2\"]\nhost = \"web-1\"", "K0004", "do not go together", "leave out `host`");
}

#[test]
fn a_mistake_in_hosts_has_the_place_of_its_word() {
    let error = Config::parse(&text("hosts = [\"web\", \"nope-1\"]"), "keyroll.toml").unwrap_err();
    assert_eq!(error.position().map(|at| (at.line, at.column)), Some((6, 17)));
}

#[test]
fn a_host_of_consumers_has_a_folder() {
    refused(
        "host = \"bare\"",
        "K0004",
        "`bare`, a host by ssh without `folder`",
        "write `folder = \"/srv/app\"` under [hosts.bare]",
    );
    refused("hosts = [\"web\", \"bare\"]", "K0004", "`bare`", "under [hosts.bare]");
    refused("host = \"a.b\"", "K0004", "`a.b`", "under [hosts.\"a.b\"]");
}

#[test]
fn a_consumer_that_asks_the_socket_is_on_the_machine_of_the_socket() {
    let serves = |lines: &str| {
        with_consumer(&format!("serves = {{ uid = \"agent\", exe = \"/opt/a\" }}\n{lines}\n{FLEET}"))
    };
    for lines in ["host = \"web-1\"", "hosts = [\"local\", \"web-1\"]"] {
        expect(&serves(lines), "K0004", 6, "`serves` does not go with a host by ssh");
        let error = Config::parse(&serves(lines), "keyroll.toml").unwrap_err();
        assert!(error.help().is_some_and(|help| help.contains("`runs` and `reads`")));
    }
    let secret = secret(&serves("hosts = [\"local\"]"));
    assert!(secret.consumers[0].serves.is_some() && secret.consumers[0].name.as_str() == "api@local");
}

#[test]
fn names_are_unique_after_the_hosts_are_added() {
    let two = |first: &str, second: &str| {
        let of = |lines: &str| format!("[[secrets.acme.consumers]]\nname = \"api\"\n{lines}\n{AT_REST}");
        with_secret(&format!("{}{}{FLEET}", of(first), of(second)))
    };
    expect(&two("hosts = [\"web\"]", "hosts = [\"web-2\"]"), "K0004", 10, "`api@web-2` is named twice");
    expect(&two("host = \"web-1\"", "host = \"web-2\""), "K0004", 10, "`api` is named twice");
    let apart = two("hosts = [\"web-1\"]\nwave = 1", "hosts = [\"web-2\"]");
    assert_eq!(of(&apart).len(), 2);
    let written = with_secret(&format!("[[secrets.acme.consumers]]\nname = \"api@web-1\"\n{AT_REST}"));
    expect(&written, "K0004", 5, "the name of a consumer");
    // With its host, a name may be longer than one alone.
    let long = text("hosts = [\"web-1\"]").replace("\"api\"", &format!("\"{}\"", "a".repeat(64)));
    assert_eq!(secret(&long).consumers[0].name.as_str().len(), 64 + 1 + 5);
}

#[test]
fn a_secret_has_at_most_a_thousand_consumers_on_all_hosts_together() {
    let fleet = |hosts: usize| {
        let host = |at: usize| format!("[hosts.n-{at}]\nconnect = \"ssh://n-{at}\"\nfolder = \"/srv\"\n");
        with_consumer(&format!("hosts = [\"n-*\"]\n{AT_REST}{}", (0..hosts).map(host).collect::<String>()))
    };
    assert_eq!(secret(&fleet(1_000)).consumers.len(), 1_000);
    expect(&fleet(1_001), "K0004", 5, "at most 1000 consumers");
}

#[test]
fn the_same_path_on_two_machines_is_two_places() {
    let two = |first: &str, second: &str| {
        let of = |secret: &str, host: &str| {
            format!(
                "[secrets.{secret}]\nissuer = \"openrouter\"\n[[secrets.{secret}.consumers]]\nname = \"c\"\n{host}\n\
                 runs = {{ at_rest = true }}\nreads = {{ file = \"/srv/k\" }}\n"
            )
        };
        format!("version = 1\n{}{}{FLEET}", of("one", first), of("two", second))
    };
    config(&two("host = \"web-1\"", "host = \"web-2\""));
    config(&two("host = \"web-1\"", ""));
    let same = "claim the same place: /srv/k";
    expect(&two("host = \"web-1\"", "hosts = [\"web\"]"), "K0004", 9, &format!("{same} on `web-1`"));
    expect(&two("host = \"here\"", "host = \"local\""), "K0004", 9, same);
    expect(&two("", ""), "K0004", 9, same);
}

#[test]
fn a_store_that_is_a_file_is_on_the_machine_that_keyroll_runs_on() {
    let of = |host: &str| {
        with_secret(&format!(
            "store = \"file:/srv/k\"\n[[secrets.acme.consumers]]\nname = \"c\"\n{host}\n\
             runs = {{ at_rest = true }}\nreads = {{ file = \"/srv/k\" }}\n{FLEET}"
        ))
    };
    expect(&of(""), "K0004", 4, "is a file that the consumer `c` reads");
    let there = secret(&of("host = \"web-1\""));
    assert_eq!(
        there.files().collect::<Vec<_>>(),
        [Path::new("/srv/k")],
        "the store, and no copy of this machine"
    );
    assert_eq!(secret(&text("host = \"web-1\"")).files().count(), 0);
    assert_eq!(secret(&text("hosts = [\"web-1\", \"here\"]")).files().count(), 1);
}

#[test]
fn a_wave_is_that_of_the_consumer_on_every_host() {
    let pushed = "[[secrets.acme.consumers]]\nname = \"api\"\nhosts = [\"web\"]\nwave = 2\n";
    let pulls = "[[secrets.acme.consumers]]\nname = \"pull\"\nhosts = [\"worker-*\", \"web-1\"]\nwave = 1\n\
                 runs = { at_rest = true }\nreads = { file = \"./p\" }\nfetch = [\"./get\"]\n";
    let text = with_secret(&format!("{pushed}{AT_REST}{pulls}{FLEET}"));
    expect(&text, "K0004", 13, "`pull@worker-a` takes the value from the store and is in wave 1");
    let secret = secret(&text.replace("wave = 1", "wave = 2"));
    let waves: Vec<u8> = secret.consumers.iter().map(|consumer| consumer.wave).collect();
    assert_eq!(waves, [2, 2, 2, 2]);
}

#[test]
fn a_secret_on_one_host_has_only_the_consumers_there() {
    let config = config(&text("hosts = [\"web-2\", \"here\", \"web-1\"]"));
    let secret = config.secret("acme").unwrap();
    let names = |host: &str| {
        let on = secret.on(host);
        assert_eq!((&on.name, &on.issuer, &on.fields), (&secret.name, &secret.issuer, &secret.fields));
        on.consumers.iter().map(|consumer| consumer.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("web-1"), ["api@web-1"]);
    assert_eq!(names("here"), ["api@here"]);
    assert_eq!(names(LOCAL), ["api@here"], "whatever the file calls this machine");
    assert!(names("worker-a").is_empty() && names("nowhere").is_empty());
    let by_ssh: Vec<String> = secret.ssh_hosts().into_iter().map(str::to_owned).collect();
    assert_eq!(by_ssh, ["web-1", "web-2"]);
}

#[test]
fn a_word_names_a_host_before_a_group_before_a_pattern() {
    let config = config(&format!("version = 1\n{FLEET}"));
    let every: Vec<&Host> = config.hosts.values().collect();
    let names = |word: &str| {
        let meant = hosts_meant(word, &every);
        meant.iter().map(|host| host.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("web-1"), "web-1");
    assert_eq!(names("web"), "web-1 web-2");
    assert_eq!(names("*e*"), "bare here web-1 web-2 worker-a");
    assert_eq!(names("?.b"), "a.b");
    assert_eq!(names("we"), "");
}

/// A secret with a consumer on this host, and one line more.
fn with_searched(line: &str, host: &str) -> String {
    format!(
        "version = 1\n{FLEET}[secrets.acme]\nissuer = \"openrouter\"\n{line}[[secrets.acme.consumers]]\nname = \"api\"\n\
         host = \"{host}\"\n{AT_REST}"
    )
}

#[test]
fn hosts_without_a_consumer_are_searched_if_one_is_on_a_host_by_ssh_or_as_the_secret_says() {
    let names = |all: BTreeSet<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let of = |line: &str, host: &str| {
        let config = config(&with_searched(line, host));
        let secret = config.secret("acme").unwrap();
        (names(config.searched_hosts(secret)), names(config.unsearched_hosts(secret)))
    };
    let (searched, not) = of("", "web-1");
    assert_eq!(
        (searched.as_slice(), not.len()),
        (["a.b", "bare", "web-2", "worker-a"].map(str::to_owned).as_slice(), 0)
    );
    let (searched, not) = of("", "here");
    assert_eq!((searched.len(), not.len()), (0, 5), "a rotation on this machine alone");
    let (searched, not) = of("searched_hosts = [\"web\", \"b*\"]\n", "web-1");
    assert_eq!(
        (searched, not),
        (vec!["bare".to_owned(), "web-2".to_owned()], vec!["a.b".to_owned(), "worker-a".to_owned()])
    );
    // The machine that keyroll runs on is searched anyway.
    assert_eq!(of("searched_hosts = [\"all\"]\n", "web-1").0, ["worker-a"]);
    assert_eq!(of("searched_hosts = [\"web-2\"]\n", "here").0, ["web-2"]);
    assert_eq!(of("searched_hosts = []\n", "web-1").1.len(), 4);
    let error =
        Config::parse(&with_searched("searched_hosts = [\"wep\"]\n", "web-1"), "keyroll.toml").unwrap_err();
    assert!(error.to_string().contains("`searched_hosts`"), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("web")), "{:?}", error.help());
}

#[test]
fn a_cluster_is_no_host_that_a_rotation_searches() {
    let clusters = "[hosts.prod]\nconnect = \"kube://eks/agents\"\ngroup = \"clusters\"\n";
    let with = |line: &str| format!("{}{clusters}", with_searched(line, "web-1"));
    let config = config(&with(""));
    let secret = config.secret("acme").unwrap();
    for all in [config.searched_hosts(secret), config.bystanders(secret), config.unsearched_hosts(secret)] {
        assert!(!all.contains("prod"), "{all:?}");
    }
    assert!(config.searched_hosts(secret).contains("web-2"));
    for word in ["prod", "clusters", "pro*"] {
        let text = with(&format!("searched_hosts = [\"web\", \"{word}\"]\n"));
        let error = Config::parse(&text, "keyroll.toml").unwrap_err();
        assert!(error.to_string().contains("`searched_hosts` names `prod`, which is a cluster"), "{error}");
        assert!(
            error.help().is_some_and(|help| help.contains("keyroll scan --host prod")),
            "{:?}",
            error.help()
        );
    }
    assert!(
        slice(&with(""), "/etc/keyroll/keyroll.toml", "acme", "web-2")
            .is_ok_and(|text| !text.contains("kube"))
    );
    let refused = slice(&with(""), "/etc/keyroll/keyroll.toml", "acme", "prod").unwrap_err();
    assert!(refused.to_string().contains("is a cluster"), "{refused}");
}

#[test]
fn a_host_without_a_consumer_gets_a_slice_without_consumers_and_without_the_list_of_searched_hosts() {
    let text = with_searched("searched_hosts = [\"bare\"]\n", "web-1");
    let sliced = slice(&text, "/etc/keyroll/keyroll.toml", "acme", "bare").unwrap();
    assert!(!sliced.contains("searched_hosts") && !sliced.contains("web-1"), "{sliced}");
    assert!(config(&sliced).secret("acme").unwrap().consumers.is_empty());
}
