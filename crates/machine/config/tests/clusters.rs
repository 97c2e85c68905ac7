//! Consumers in clusters: what is read, and what is refused.

use keyroll_config::{
    Check, Config, Consumer, InCluster, LOCAL, Place, Source, WorkloadKind, leave_out, slice,
};

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

fn consumer(text: &str) -> Consumer {
    let config = config(text);
    let [one] = config.secret("acme").unwrap().consumers.as_slice() else { panic!("not one") };
    one.clone()
}

fn only(text: &str) -> InCluster {
    consumer(text).in_cluster.unwrap()
}

/// The mistake stands in this line, contains these words, and says what to write instead.
#[track_caller]
fn refused(text: &str, line: usize, words: &str, help: &str) {
    expect(text, "K0004", line, words);
    let error = Config::parse(text, "keyroll.toml").unwrap_err();
    assert!(error.help().is_some_and(|given| given.contains(help)), "{help:?} is not in {:?}", error.help());
}

#[test]
fn the_pods_of_a_workload_are_a_consumer() {
    let runs = "runs = { statefulset = \"agent.v2\", container = \"app\" }\n";
    let api = consumer(&text(&format!("{runs}{READS}versioned = true\n")));
    assert_eq!((api.name.as_str(), api.host.as_str(), api.machine()), ("api", "prod", "prod"));
    assert!(!api.is_here && !api.is_by_ssh() && !api.is_pull());
    let one = api.in_cluster.clone().unwrap();
    assert_eq!((one.kind, one.workload.as_str()), (WorkloadKind::StatefulSet, "agent.v2"));
    assert_eq!((one.container.as_deref(), one.versioned, one.synced), (Some("app"), true, false));
    assert_eq!((one.secret.as_str(), one.key.as_str()), ("anthropic-credentials", "api-key"));
    assert_eq!(one.to_string(), "container app of statefulset agent.v2");
    assert_eq!(one.object(), "statefulset/agent.v2");
    let [copy] = api.reads.as_slice() else { panic!("{:?}", api.reads) };
    let path = "statefulset/agent.v2/secret/anthropic-credentials/api-key";
    assert!(matches!(&copy.place, Place::Key { path: at, .. } if at.to_str() == Some(path)), "{copy:?}");
    assert_eq!(copy.place.to_string(), "secret/anthropic-credentials api-key");
    assert!(matches!(&copy.source, Source::Field(name) if name.as_str() == "value"), "{copy:?}");
    assert_eq!(api.runs.instances().len(), 1);
    for kind in WorkloadKind::ALL {
        let rereads = if kind == WorkloadKind::Pod { ", rereads = true" } else { "" };
        let api = consumer(&text(&format!("runs = {{ {} = \"x\"{rereads} }}\n{READS}", kind.word())));
        let is_job = matches!(kind, WorkloadKind::CronJob | WorkloadKind::Job);
        let workload = api.runs.workload();
        assert_eq!(workload.is_job(), is_job, "{kind:?}");
        assert_eq!(workload.needs_reload(), !is_job && kind != WorkloadKind::Pod, "{kind:?}");
        let path = api.reads[0].place.path().to_str();
        assert_eq!(path, Some("secret/anthropic-credentials/api-key"), "{kind:?}");
        let one = api.in_cluster.unwrap();
        assert_eq!((one.kind, one.container, one.versioned), (kind, None, false));
    }
}

#[test]
fn a_deadline_in_which_no_pod_can_show_its_value_is_refused() {
    let with = |unit: &str, lines: &str| {
        let deadline = format!("issuer = \"openrouter\"\nunit_deadline = \"{unit}\"\n");
        text(lines).replace("issuer = \"openrouter\"\n", &deadline)
    };
    let rolled = format!("{RUNS}{READS}");
    let read_again = format!("runs = {{ deployment = \"agent\", rereads = true }}\n{READS}");
    let trusted = format!("{read_again}trusts = \"rereads\"\n");
    refused(
        &with("59s", &rolled),
        4,
        "(59s) is too short for `api` in `prod`: a roll-out begins 30 s",
        "\"1m\"",
    );
    refused(&with("149s", &trusted), 4, "a node has two minutes to refresh the file", "\"150s\"");
    for (unit, lines) in [
        ("60s", rolled.clone()),
        ("150s", trusted),
        ("5s", read_again),
        ("5s", format!("{rolled}versioned = true\n")),
        ("5s", rolled.replace("deployment", "cronjob")),
    ] {
        config(&with(unit, &lines));
    }
    let of_all =
        text(&rolled).replace("[secrets.acme]", "[defaults]\nunit_deadline = \"30s\"\n[secrets.acme]");
    let error = Config::parse(&of_all, "keyroll.toml").unwrap_err();
    assert!(error.help().is_some_and(|help| help.ends_with("or more for this secret")), "{:?}", error.help());
}

#[test]
fn what_a_consumer_on_a_machine_has_too_is_read_in_a_cluster() {
    let lines = "runs = { deployment = \"agent\", rereads = true }\n\
         reads = { secret = \"a\", key = \"b\", derived = \"url\" }\nsynced = true\nwave = 3\n\
         check = { exec = [\"./probe\", \"{{x}}\"] }\n[[secrets.acme.consumers.paths]]\nname = \"fallback\"\n\
         check = { exec = [\"probe\"] }\n[secrets.acme.derived]\nurl = \"https://x:{value}@y\"\n";
    let api = consumer(&text(lines));
    assert_eq!((api.wave, api.is_pull()), (3, true));
    assert!(api.in_cluster.as_ref().is_some_and(|pods| pods.synced && pods.rereads));
    assert!(!api.runs.workload().needs_reload());
    assert!(matches!(&api.reads[0].source, Source::Derived(name) if name.as_str() == "url"));
    // The program is one of the container, so no folder of this machine stands before it.
    let Some(Check::Exec(argv)) = &api.check else { panic!("{:?}", api.check) };
    assert_eq!(argv.fill("main", None, None), ["./probe", "{x}"]);
    assert_eq!(api.paths.len(), 1);
    let two = "reads = { secret = \"a\", key = \"b\" }\n[secrets.acme.fields]\nuser = {}\npassword = {}\n";
    expect(&text(&format!("{RUNS}{two}")), "K0004", 8, "say which with `field`");
}

#[test]
fn keys_that_do_not_go_together_in_a_cluster_are_refused() {
    let runs = |table: &str| format!("runs = {{ {table} }}\n{READS}");
    let rereads = "deployment = \"a\", rereads = true";
    let long = |len: usize| {
        let reads = format!("reads = {{ secret = \"{}\", key = \"b\" }}", "a".repeat(len));
        format!("runs = {{ deployment = \"a\" }}\n{reads}\nversioned = true\n")
    };
    for (lines, line, why, help) in [
        (runs("pod = \"a\""), 7, "a pod that nothing replaces", "write `rereads = true` beside `pod`"),
        (runs("cronjob = \"a\", rereads = true"), 7, "`rereads` does not go with", "leave out `rereads`"),
        (runs("job = \"a\", rereads = true"), 7, "`rereads` does not go with", "leave out `rereads`"),
        (runs("deployment = \"a\", rereads = false"), 7, "true or is left out", "runs = { deployment"),
        (format!("{}versioned = true\n", runs(rereads)), 7, "does not go with `versioned`", "one of both"),
        (
            format!("{}versioned = true\nsynced = true\n", runs("deployment = \"a\"")),
            9,
            "`synced` does not go with `versioned`",
            "one of both",
        ),
        (
            format!("{}versioned = true\n", runs("job = \"a\"")),
            9,
            "does not go with `job`",
            "leave out `versioned`",
        ),
        (long(64), 9, "does not go with a Secret of such a long name", "a Secret of a shorter name"),
    ] {
        refused(&text(&lines), line, why, help);
    }
    assert!(only(&text(&long(63))).versioned);
    assert!(only(&text(&format!("{}versioned = true\n", runs("cronjob = \"a\"")))).versioned);
}

#[test]
fn a_canary_is_one_pod_of_what_can_keep_the_others() {
    for kind in ["deployment", "statefulset"] {
        let lines = format!("runs = {{ {kind} = \"a\", canary = true }}\n{READS}");
        let api = consumer(&text(&lines));
        assert!(api.in_cluster.as_ref().is_some_and(|pods| pods.canary));
        let names: Vec<&str> = api.runs.instances().iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["canary", "main"], "{kind}");
    }
    assert_eq!(consumer(&text(&format!("{RUNS}{READS}"))).runs.instances().len(), 1);
    let runs = |table: &str| format!("runs = {{ {table} }}\n{READS}");
    for (lines, why, help) in [
        (runs("daemonset = \"a\", canary = true"), "does not go with `daemonset`", "leave out `canary`"),
        (runs("cronjob = \"a\", canary = true"), "does not go with `cronjob`", "leave out `canary`"),
        (runs("deployment = \"a\", canary = false"), "true or is left out", "runs = { deployment"),
        (
            runs("deployment = \"a\", canary = true, rereads = true"),
            "does not go with `rereads`",
            "keep one of both",
        ),
        (
            format!("{}versioned = true\n", runs("deployment = \"a\", canary = true")),
            "does not go with `versioned`",
            "keep one of both",
        ),
    ] {
        refused(&text(&lines), 7, why, help);
    }
}

#[test]
fn a_check_in_a_cluster_is_a_command_without_a_copy() {
    for (check, key) in [
        ("http = \"http://127.0.0.1:1/\"", "http"),
        ("litellm = \"http://127.0.0.1:1\"", "litellm"),
        ("turn = \"a/b\", exec = [\"probe\"]", "turn"),
        ("exec = [\"probe\"], agent = \"a\"", "agent"),
    ] {
        let why = format!("`check.{key}` is for a consumer on a machine");
        let lines = format!("{RUNS}{READS}check = {{ {check} }}\n");
        refused(&text(&lines), 9, &why, "keyroll runs it in a pod of its own");
    }
    refused(&text(&format!("{RUNS}{READS}check = {{}}\n")), 9, "`check` needs `exec`", "check = { exec");
    for (word, why) in [("{copy}", "has no meaning in a cluster"), ("{port}", "not known here")] {
        let lines = format!("{RUNS}{READS}check = {{ exec = [\"probe\", \"{word}\"] }}\n");
        let error = Config::parse(&text(&lines), "keyroll.toml").unwrap_err();
        assert!(error.message().contains(why) && error.help().is_some(), "{error}");
    }
}

/// Two consumers in the cluster with these lines each.
fn two(first: &str, second: &str) -> String {
    let table = |name: &str, lines: &str| {
        format!("[[secrets.acme.consumers]]\nname = \"{name}\"\nhost = \"prod\"\n{lines}")
    };
    with_secret(&format!("{}{}{HOSTS}", table("one", first), table("other", second)))
}

#[test]
fn consumers_of_one_key_agree_on_who_writes_it() {
    let there = format!("{RUNS}{READS}");
    let synced = format!("{there}synced = true\n");
    for (first, second, with) in [(&there, &synced, "other"), (&synced, &there, "one")] {
        let error = Config::parse(&two(first, second), "keyroll.toml").unwrap_err();
        assert!(error.message().ends_with(&format!("only `{with}` has `synced`")), "{error}");
    }
    assert_eq!(config(&two(&synced, &synced)).secret("acme").unwrap().consumers.len(), 2);
    let of_other_key = synced.replace("api-key", "other");
    let early =
        Config::parse(&two(&of_other_key, &format!("{there}wave = 1\n")), "keyroll.toml").unwrap_err();
    assert!(early.message().contains("takes the value from the store and is in wave 0"), "{early}");
}

#[test]
fn a_key_of_a_secret_belongs_to_one_secret_of_keyroll() {
    let of = |lines: &str| text(&format!("{RUNS}{lines}"));
    let other = |host: &str, lines: &str| {
        format!(
            "{}[hosts.prod-us]\nconnect = \"kube://us/agents\"\n[secrets.zeta]\nissuer = \"openrouter\"\n\
             [[secrets.zeta.consumers]]\nname = \"worker\"\nhost = \"{host}\"\n\
             runs = {{ deployment = \"worker\" }}\n{lines}",
            of(READS)
        )
    };
    for lines in [READS.to_owned(), format!("{READS}versioned = true\n")] {
        let error = Config::parse(&other("prod", &lines), "keyroll.toml").unwrap_err();
        let why = "claim the same place: secret/anthropic-credentials api-key on `prod`";
        assert!(error.message().contains(why), "{error}");
        assert_eq!(config(&other("prod-us", &lines)).secrets.len(), 2);
    }
    let another = "reads = { secret = \"anthropic-credentials\", key = \"other\" }\n";
    assert_eq!(config(&other("prod", another)).secrets.len(), 2);
}

#[test]
fn a_store_in_the_cluster_is_not_what_a_consumer_reads() {
    let of = |store: &str| {
        let text = text(&format!("{RUNS}{READS}"));
        text.replacen("[[secrets.acme.consumers]]", &format!("{store}\n[[secrets.acme.consumers]]"), 1)
    };
    let same = "store = \"k8s:agents/anthropic-credentials#api-key\"";
    let error = Config::parse(&of(same), "keyroll.toml").unwrap_err();
    assert_eq!(error.message(), "`store` is a key of a Secret that the consumer `api` reads");
    assert!(error.help().is_some_and(|help| help.contains("leave out `store`")), "{error}");
    for other in [
        same.replace("agents/", "shop/"),
        same.replace("#api-key", "#other"),
        format!("{same}\nkubernetes = {{ context = \"dev\" }}"),
        format!("{same}\nkubernetes = {{ in_cluster = true }}"),
    ] {
        config(&of(&other));
    }
}

#[test]
fn consumers_on_machines_and_in_clusters_keep_their_order_and_have_different_names() {
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
        let all: Vec<&str> = secret.consumers.iter().map(|one| one.name.as_str()).collect();
        let clusters: Vec<&str> = secret.in_clusters().map(|(one, _)| one.name.as_str()).collect();
        (all.join(" "), clusters.join(" "))
    };
    assert_eq!(names(secret), ("here agent web job".to_owned(), "agent job".to_owned()));
    assert_eq!(names(&secret.on("web-1")), ("web".to_owned(), String::new()));
    assert_eq!(names(&secret.on(LOCAL)), ("here".to_owned(), String::new()));
    assert_eq!(names(&secret.here()), ("here".to_owned(), String::new()));
    assert_eq!(names(&secret.on("prod")), ("agent job".to_owned(), "agent job".to_owned()));
    assert_eq!(secret.files().collect::<Vec<_>>(), [std::path::Path::new("/etc/keyroll/a")]);
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
    assert_eq!((secret.consumers.len(), secret.in_clusters().count()), (1, 1));
    let left = config(&leave_out(&text, "/etc/keyroll/keyroll.toml", "acme", "prod").unwrap());
    assert_eq!(left.secret("acme").unwrap().in_clusters().count(), 0);
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
        (format!("{RUNS}reads = {{ secret = \"a\", key = \"b\", generated = [\"./x\"] }}\n"), 8, "generated"),
        (format!("{RUNS}{READS}fetch = [\"./get\"]\n"), 9, "fetch"),
        (format!("{RUNS}{READS}log = {{ file = \"./log\", failure = \"401\" }}\n"), 9, "log"),
        ("serves = { uid = \"agent\", exe = \"/opt/a\" }\n".to_owned(), 7, "serves"),
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
            (format!("runs = {{ at_rest = true, canary = true }}\n{file}"), 7, "canary"),
            (format!("runs = {{ at_rest = true }}\n{READS}"), 8, "secret"),
            (
                "runs = { at_rest = true }\nreads = { file = \"./k\", key = \"4f1d0c9b\" }\n".to_owned(),
                8,
                "key",
            ),
            (format!("runs = {{ at_rest = true }}\n{file}versioned = false\n"), 9, "versioned"),
            (format!("runs = {{ at_rest = true }}\n{file}synced = true\n"), 9, "synced"),
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
