//! The part of a configuration that one host gets.

use std::path::Path;

use keyroll_config::{Config, LOCAL, slice};

const FILE: &str = "/etc/keyroll/keyroll.toml";

/// Two secrets, with everything that a file may have.
const FULL: &str = r#"# only for operators
version = 1
[defaults]
max_parallel = 4
unit_deadline = "1m"
[schedule]
warn_before = "3d"
[search]
roots = ["./data", "/var/spool"]
max_memory = "16GiB"
[vault]
address = "https://vault.internal.example:8200"
token = "file:./vault.token"
[server]
listen = "127.0.0.1:9090"
[server.emergency]
admin_token = "file:./admin-token"
[hosts.here]
connect = "local"
[hosts.web-1]
connect = "ssh://deploy@web-1"
sudo = true
folder = "/srv/app"
group = "web"
[hosts.web-2]
connect = "ssh://deploy@web-2"
folder = "/srv/other"
group = "web"
[hosts.worker-1]
connect = "ssh://worker-1"
folder = "/opt/worker"
[secrets.acme]
issuer = "file:./acme.toml" # ours
admin = "file:./admin.key"
owner = "ada@example.org"
rotate_every = "90d"
unattended = true
other_keys = [{ id = "9f31", label = "keyroll/01J8/4" }]
phase_deadline = "5m"
[secrets.acme.derived]
url = "http://svc:{value}@127.0.0.1:7001/v1?x={value:raw}"
[secrets.acme.revoke]
require = ["reported"]
decide = "standing"
[secrets.acme.roll]
canary = "host"
[[secrets.acme.consumers]]
name = "api"
hosts = ["web", "worker-*", "here"]
wave = 1
runs = { restart = ["./restart.sh", "{instance}"], instances = ["1", "2"], ports = [7101, 7102], pid_file = "./run/api-{instance}.pid", ready = "http://127.0.0.1:{port}/ready", drain = "3s" }
reads = [ { env_file = "./api.env", variable = "ACME_KEY" }, { env_file = "./api.env", variable = "URL", derived = "url" } ]
log = { file = "./api-{instance}.log", success = "logged in", failure = "401|refused" }
check = { exec = ["./probe.sh", "{copy}"] }
[[secrets.acme.consumers.paths]]
name = "fallback"
check = { http = "http://127.0.0.1:{port}/check/fallback" }
[[secrets.acme.consumers]]
name = "agent"
serves = { uid = "agent", exe = "/usr/bin/agent" }
[[secrets.acme.consumers]]
name = "nightly"
host = "web-2"
runs = { at_rest = true }
reads = { file = "../nightly.key", template = "\"key\" = '{value}'\n" }
fetch = ["get-key", "", "a b"]
wave = 2
[[secrets.acme.consumers]]
name = "late"
hosts = ["web-2"]
wave = 1
runs = { unit = "late.service" }
reads = { file = "/etc/late.json", format = "json", at = "/a/b" }
[secrets.zeta]
issuer = "openrouter"
[[secrets.zeta.consumers]]
name = "zeta-consumer"
host = "web-1"
runs = { at_rest = true }
reads = { file = "./zeta.key" }
"#;

/// The same forms as inline tables.
const INLINE: &str = r#"version = 1
hosts = { web-1 = { connect = "ssh://web-1", folder = "/srv/app" }, "web.2" = { connect = "ssh://w2", folder = "/srv" } }
[secrets]
acme = { issuer = "openrouter", consumers = [ { name = "api", hosts = ["web*"], runs = { at_rest = true }, reads = { file = "./k" } }, { name = "one", host = "web.2", runs = { at_rest = true }, reads = [ { file = "./one" } ] }, { name = "mine", runs = { at_rest = true }, reads = { file = "./m" } } ] }
"#;

/// A server with a table of its own, a list of logins, and a program that reads the store.
const SERVERS: &str = r#"version = 1
vault = { address = "https://vault.example:8200" }
[hosts.db-1]
connect = "ssh://db-1"
folder = "/srv/db"
[hosts.app-1]
connect = "ssh://app-1"
folder = "/srv/app"
[secrets.orders]
issuer = "postgres"
admin = "file:./pg.key"
[secrets.orders.postgres]
host = "db-1"
dbname = "orders"
owner_role = "orders"
slots = ["orders_a", "orders_b"]
[[secrets.orders.postgres.poolers]]
host = "127.0.0.1"
admin = "file:./pgbouncer.key"
[[secrets.orders.consumers]]
name = "pool"
host = "db-1"
runs = { unit = "pgbouncer.service" }
reads = { file = "/etc/pgbouncer/userlist.txt", format = "userlist" }
[[secrets.orders.consumers]]
name = "app"
host = "app-1"
runs = { unit = "app.service" }
reads = [ { env_file = "./o.env", variable = "PGUSER", field = "user" }, { env_file = "./o.env", variable = "PGPASSWORD" } ]
[secrets.llm]
issuer = "openrouter"
store = "vault:kv/llm#key"
gate = { url = "http://127.0.0.1:9090", query = "rate(errors[5m])", max = 0.015 }
[[secrets.llm.consumers]]
name = "copy"
host = "db-1"
runs = { at_rest = true }
reads = { file = "./llm.key" }
[[secrets.llm.consumers]]
name = "program"
host = "app-1"
runs = { unit = "llm.service" }
reads = "store"
"#;

fn config(text: &str) -> Config {
    Config::parse(text, FILE).unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

fn sliced(text: &str, secret: &str, host: &str) -> String {
    slice(text, FILE, secret, host).unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

#[test]
fn a_slice_gives_the_consumers_that_the_whole_file_has_on_the_host() {
    for text in [FULL, INLINE, SERVERS] {
        let whole = config(text);
        let hosts = whole.hosts.keys().map(|name| name.as_str()).chain([LOCAL]);
        for (host, secret) in hosts.flat_map(|host| whole.secrets.values().map(move |secret| (host, secret)))
        {
            let part = sliced(text, secret.name.as_str(), host);
            let folder = whole.hosts.get(host).and_then(|host| host.folder.as_ref()).unwrap_or(&whole.folder);
            let read =
                Config::parse_in_folder(&part, folder).unwrap_or_else(|error| panic!("{error}\n{part}"));
            let here = format!("{} on {host}:\n{part}", secret.name);
            assert_eq!(read.folder, *folder, "{here}");
            assert_eq!(read.secrets.len(), 1, "{here}");
            let own = &read.secrets[secret.name.as_str()];
            assert_eq!(own.consumers, secret.on(host).consumers, "{here}");
            assert_eq!((&own.fields, &own.derived), (&secret.fields, &secret.derived), "{here}");
            assert_eq!((own.deadlines, &own.gate), (secret.deadlines, &secret.gate), "{here}");
            // A slice of a slice is the same.
            assert_eq!(sliced(&part, secret.name.as_str(), host), part, "{here}");
        }
    }
}

#[test]
fn a_host_gets_nothing_of_other_hosts_and_secrets_and_nothing_that_it_has_no_use_for() {
    let part = sliced(FULL, "acme", "web-1");
    for other in [
        "web-2",
        "worker",
        "here",
        "zeta",
        "server",
        "9090",
        "vault",
        "schedule",
        "admin",
        "ada@",
        "other_keys",
        "9f31",
        "rotate_every",
        "revoke",
        "roll",
        "unattended",
        "agent",
        "nightly",
        "late",
        "#",
    ] {
        assert!(!part.contains(other), "{other:?} is in\n{part}");
    }
    for own in ["folder = \"/srv/app\"", "hosts = [\"web-1\"]", "wave = 1", "16GiB", "{value:raw}"] {
        assert!(part.contains(own), "{own:?} is not in\n{part}");
    }
    let read = Config::parse_in_folder(&part, Path::new("/srv/app")).unwrap();
    assert_eq!(read.search.roots, [Path::new("/srv/app/data"), Path::new("/var/spool")]);
    assert_eq!(read.hosts.len(), 1);
}

#[test]
fn the_store_is_part_of_a_slice_only_where_a_program_reads_it_itself() {
    let copy = sliced(SERVERS, "llm", "db-1");
    assert!(!copy.contains("vault") && !copy.contains("store"), "{copy}");
    let program = sliced(SERVERS, "llm", "app-1");
    assert!(program.contains("vault:kv/llm#key") && program.contains("vault.example:8200"), "{program}");
    let cluster = "k8s:app/llm#key\"\nkubernetes = { context = \"prod\" } #";
    let text = SERVERS.replace("vault:kv/llm#key", cluster);
    let (copy, program) = (sliced(&text, "llm", "db-1"), sliced(&text, "llm", "app-1"));
    assert!(!copy.contains("k8s:") && !copy.contains("prod"), "{copy}");
    assert!(program.contains("k8s:app/llm#key") && program.contains("prod"), "{program}");
    // A file here would be another file there, and would be left out of the search.
    let text = SERVERS.replace("vault:kv/llm#key", "file:./llm.key");
    let read = Config::parse_in_folder(&sliced(&text, "llm", "db-1"), Path::new("/srv/db")).unwrap();
    assert_eq!(read.secrets["llm"].store.file(), None);
}

#[test]
fn a_slice_of_a_host_without_consumers_has_none() {
    let part = sliced(FULL, "zeta", "worker-1");
    let read = Config::parse_in_folder(&part, Path::new("/opt/worker")).unwrap();
    assert!(read.secrets["zeta"].consumers.is_empty());
}

#[test]
fn a_secret_or_host_that_is_not_there_cannot_be_sliced() {
    let refused = |text: &str, secret: &str, host: &str| slice(text, FILE, secret, host).unwrap_err();
    let secret = refused(FULL, "acne", "web-1");
    assert_eq!((secret.code().as_str(), secret.message()), ("K0014", "there is no secret `acne`"));
    assert_eq!(secret.help(), Some("did you mean `acme`?"));
    let host = refused(FULL, "acme", "web");
    assert_eq!((host.code().as_str(), host.message()), ("K0014", "there is no host `web`"));
    let broken = FULL.replace("folder = \"/opt/worker\"\n", "");
    assert!(refused(&broken, "acme", "web-1").message().contains("without `folder`"));
}
