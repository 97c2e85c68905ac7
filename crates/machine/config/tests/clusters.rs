//! Consumers in clusters: what is read, and what is refused.

use keyroll_config::{ClusterConsumer, Config, LOCAL, WorkloadKind, leave_out, slice};

use crate::refuses::{expect, with_consumer, with_secret};

const HOSTS: &str = r#"[hosts.prod]
connect = "kube://eks/agents"
group = "clusters"
[hosts.web-1]
connect = "ssh://web-1"
folder = "/srv/app"
"#;

const RUNS: &str = "runs = { deployment = \"agent\" }\n";
const READS: &str = "reads = { secret = \"anthropic-credentials\", key = \"api-key\" }\n";

/// A consumer `api` in the cluster with these lines, which begin in line 7.
fn text(lines: &str) -> String {
    with_consumer(&format!("host = \"prod\"\n{lines}{HOSTS}"))
}

fn config(text: &str) -> Config {
    Config::parse(text, "/etc/keyroll/keyroll.toml")
        .unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

fn only(text: &str) -> ClusterConsumer {
    let config = config(text);
    let secret = config.secret("acme").unwrap();
    assert!(secret.consumers.is_empty(), "no code of a machine's consumers sees it");
    let [one] = secret.in_clusters.as_slice() else { panic!("{:?}", secret.in_clusters) };
    one.clone()
}

/// The mistake stands in this line, contains these words, and says what to write instead.
#[track_caller]
fn refused(text: &str, line: usize, words: &str, help: &str) {
    expect(text, "K0004", line, words);
    let error = Config::parse(text, "keyroll.toml").unwrap_err();
    assert!(error.help().is_some_and(|given| given.contains(help)), "{help:?} is not in {:?}", error.help());
}

#[test]
fn a_consumer_in_a_cluster_is_kept_apart_from_those_on_machines() {
    let runs = "runs = { statefulset = \"agent.v2\", container = \"app\" }\n";
    let one = only(&text(&format!("{runs}{READS}versioned = true\n")));
    assert_eq!((one.name.as_str(), one.host.as_str()), ("api", "prod"));
    assert_eq!((one.kind, one.workload.as_str()), (WorkloadKind::StatefulSet, "agent.v2"));
    assert_eq!((one.container.as_deref(), one.versioned), (Some("app"), true));
    assert_eq!((one.secret.as_str(), one.key.as_str()), ("anthropic-credentials", "api-key"));
    assert_eq!(one.to_string(), "api (container app of statefulset agent.v2 in prod)");
    for kind in WorkloadKind::ALL {
        let one = only(&text(&format!("runs = {{ {} = \"x\" }}\n{READS}", kind.word())));
        assert_eq!((one.kind, one.container, one.versioned), (kind, None, false));
    }
}

#[test]
fn both_kinds_of_consumers_keep_their_order_and_have_different_names() {
    let table = |name: &str, lines: &str| format!("[[secrets.acme.consumers]]\nname = \"{name}\"\n{lines}");
    let at_rest = |path: &str| format!("runs = {{ at_rest = true }}\nreads = {{ file = \"{path}\" }}\n");
    let there = format!("host = \"prod\"\n{RUNS}{READS}");
    let all = [
        table("here", &at_rest("./a")),
        table("agent", &there),
        table("web", &format!("host = \"web-1\"\n{}", at_rest("./b"))),
        table("job", &there.replace("deployment", "cronjob")),
    ];
    let text = with_secret(&format!("{}{HOSTS}", all.concat()));
    let config = config(&text);
    let secret = config.secret("acme").unwrap();
    let names = |secret: &keyroll_config::Secret| {
        let on: Vec<&str> = secret.consumers.iter().map(|one| one.name.as_str()).collect();
        let clusters: Vec<&str> = secret.in_clusters.iter().map(|one| one.name.as_str()).collect();
        (on.join(" "), clusters.join(" "))
    };
    assert_eq!(names(secret), ("here web".to_owned(), "agent job".to_owned()));
    assert_eq!(names(&secret.on("web-1")), ("web".to_owned(), String::new()));
    assert_eq!(names(&secret.on(LOCAL)), ("here".to_owned(), String::new()));
    assert_eq!(names(&secret.on("prod")), (String::new(), "agent job".to_owned()));
    assert_eq!(secret.ssh_hosts().into_iter().collect::<Vec<_>>(), ["web-1"]);
    assert_eq!(secret.clusters().into_iter().collect::<Vec<_>>(), ["prod"]);
    for (first, second) in [(&at_rest("./a"), &there), (&there, &at_rest("./a")), (&there, &there)] {
        let twice = with_secret(&format!("{}{}{HOSTS}", table("agent", first), table("agent", second)));
        let error = Config::parse(&twice, "keyroll.toml").unwrap_err();
        assert!(error.to_string().contains("`agent` is named twice"), "{error}");
    }
}

#[test]
fn a_host_gets_nothing_of_consumers_in_clusters() {
    let on_web = "[[secrets.acme.consumers]]\nname = \"web\"\nhost = \"web-1\"\nruns = { at_rest = true }\n\
                  reads = { file = \"./b\" }\n";
    let text = text(&format!("{RUNS}{READS}{on_web}"));
    for host in ["web-1", LOCAL] {
        let part = slice(&text, "/etc/keyroll/keyroll.toml", "acme", host).unwrap();
        assert!(!part.contains("kube") && !part.contains("anthropic"), "{part}");
    }
    let left = config(&leave_out(&text, "/etc/keyroll/keyroll.toml", "acme", "web-1").unwrap());
    let secret = left.secret("acme").unwrap();
    assert_eq!((secret.consumers.len(), secret.in_clusters.len()), (0, 1));
}

#[test]
fn a_workload_and_a_key_of_a_secret_are_named_completely() {
    let runs = |table: &str| text(&format!("runs = {table}\n{READS}"));
    let one_of = "needs exactly one of `deployment`, `statefulset`, `daemonset`, `cronjob`, `job`, `pod`";
    refused(&runs("{ container = \"app\" }"), 7, one_of, "runs = { deployment = ");
    refused(&runs("{ deployment = \"a\", job = \"b\" }"), 7, one_of, "runs = { deployment = ");
    for (lines, missing) in [(READS, "runs"), (RUNS, "reads")] {
        let error = Config::parse(&text(lines), "keyroll.toml").unwrap_err();
        assert_eq!(error.message(), format!("the key `{missing}` is missing"));
        assert!(error.help().is_some_and(|help| help.contains("reads = { secret = ")), "{:?}", error.help());
    }
    let long = "a".repeat(254);
    for name in ["", "Agent", "a_b", "-a", "a-", "a..b", "4F1d0c9b", "a/b", &long] {
        expect(&runs(&format!("{{ deployment = \"{name}\" }}")), "K0004", 7, "`deployment` must be a name");
    }
    for name in ["", "App", "a.b", "-a", &"a".repeat(64)] {
        let table = format!("{{ deployment = \"a\", container = \"{name}\" }}");
        expect(&runs(&table), "K0004", 7, "the name of a container");
    }
    let longest = format!("{{ deployment = \"{}\", container = \"{}\" }}", "a".repeat(253), "a".repeat(63));
    assert_eq!(only(&runs(&longest)).workload.len(), 253);
    expect(&runs("{ deploymnt = \"a\" }"), "K0004", 7, "did you mean `deployment`?");

    let reads = |table: &str| text(&format!("{RUNS}reads = {table}\n"));
    let both = "needs `secret` and `key`";
    refused(&reads("{ secret = \"a\" }"), 8, both, "reads = { secret = ");
    refused(&reads("{ key = \"a\" }"), 8, both, "reads = { secret = ");
    let one_key = "names one key of one Secret";
    refused(&reads("[]"), 8, one_key, "reads = { secret = ");
    let two = "[ { secret = \"a\", key = \"b\" }, { secret = \"a\", key = \"c\" } ]";
    refused(&reads(two), 8, one_key, "reads = { secret = ");
    refused(&reads("\"store\""), 8, "names the key of a Secret", "reads = { secret = ");
    expect(&reads("{ secret = \"A\", key = \"a\" }"), "K0004", 8, "`secret` must be a name");
    for key in ["", "a b", "4f1d0c9b/x", ".", "..a", &long] {
        let table = format!("{{ secret = \"a\", key = \"{key}\" }}");
        expect(&reads(&table), "K0004", 8, "`key` must be a key of a Secret");
    }
    for key in ["API_KEY", ".env", "a-1.b", &"k".repeat(253)] {
        assert_eq!(only(&reads(&format!("[ {{ secret = \"a\", key = \"{key}\" }} ]"))).key, key);
    }
}

#[test]
fn what_a_machine_has_is_refused_in_a_cluster() {
    for (lines, line, key) in [
        (format!("runs = {{ unit = \"a.service\" }}\n{READS}"), 7, "unit"),
        (format!("runs = {{ deployment = \"a\", instances = [\"1\"] }}\n{READS}"), 7, "instances"),
        (format!("{RUNS}reads = {{ file = \"./k\" }}\n"), 8, "file"),
        (format!("{RUNS}reads = {{ secret = \"a\", key = \"b\", field = \"value\" }}\n"), 8, "field"),
        (format!("{RUNS}reads = {{ secret = \"a\", key = \"b\", generated = [\"./x\"] }}\n"), 8, "generated"),
        (format!("{RUNS}{READS}fetch = [\"./get\"]\n"), 9, "fetch"),
        (format!("{RUNS}{READS}wave = 1\n"), 9, "wave"),
        (format!("{RUNS}{READS}check = {{ exec = [\"./probe\"] }}\n"), 9, "check"),
        (format!("{RUNS}{READS}log = {{ file = \"./log\", failure = \"401\" }}\n"), 9, "log"),
        ("serves = { uid = \"agent\", exe = \"/opt/a\" }\n".to_owned(), 7, "serves"),
        (
            format!(
                "{RUNS}{READS}[[secrets.acme.consumers.paths]]\nname = \"p\"\ncheck = {{ exec = [\"./p\"] }}\n"
            ),
            10,
            "paths",
        ),
    ] {
        let why = format!("`{key}` is for a consumer on a machine, and `prod` is a cluster");
        refused(&text(&lines), line, &why, "a consumer in a cluster has `runs = { deployment = ");
    }
}

#[test]
fn what_a_cluster_has_is_refused_on_a_machine() {
    let on = |host: &str, lines: &str| with_consumer(&format!("{host}\n{lines}{HOSTS}"));
    let file = "reads = { file = \"./k\" }\n";
    for host in ["", "host = \"local\"", "host = \"web-1\"", "hosts = [\"web-1\"]"] {
        for (lines, line, key) in [
            (format!("{RUNS}{READS}"), 7, "deployment"),
            (format!("runs = {{ at_rest = true, job = \"a\" }}\n{file}"), 7, "job"),
            (format!("runs = {{ at_rest = true }}\n{READS}"), 8, "secret"),
            (
                "runs = { at_rest = true }\nreads = { file = \"./k\", key = \"4f1d0c9b\" }\n".to_owned(),
                8,
                "key",
            ),
            (format!("runs = {{ at_rest = true }}\n{file}versioned = false\n"), 9, "versioned"),
        ] {
            let why = format!("`{key}` is for a consumer in a cluster, and this one is on a machine");
            refused(&on(host, &lines), line, &why, "write the cluster as `host = \"NAME\"`");
        }
    }
}

#[test]
fn a_consumer_is_in_one_cluster_which_host_names() {
    for words in ["\"prod\"", "\"clusters\"", "\"pro*\"", "\"web-1\", \"prod\""] {
        let text = with_consumer(&format!("hosts = [{words}]\n{RUNS}{READS}{HOSTS}"));
        refused(&text, 6, "`hosts` names `prod`, which is a cluster", "write `host = \"prod\"`");
    }
    let both = with_consumer(&format!("hosts = [\"web-1\"]\nhost = \"prod\"\n{RUNS}{READS}{HOSTS}"));
    refused(&both, 6, "do not go together", "leave out `host`");
    let unknown = with_consumer(&format!("host = \"prdo\"\n{RUNS}{READS}{HOSTS}"));
    expect(&unknown, "K0006", 6, "did you mean `prod`?");
}
