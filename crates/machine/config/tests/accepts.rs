//! What keyroll.toml can say, and what it means.

use std::path::Path;
use std::time::Duration;

use keyroll_config::{
    Check, Config, Deadlines, Decide, EvidenceKind, Instance, IssuerRef, Kubernetes, OnFailure, Part, Place,
    Reference, Source, StoreRef, Vault, VaultLogin, WriteMode,
};
use keyroll_manager::{
    AtRest, CommandLine, Compose, Container, ContainerVerb, Find, LiteLlm, Process, RateApi, Start, Unit,
    Verb, Workload,
};

use crate::refuses::expect;

const FULL: &str = r#"#:schema ./keyroll.schema.json
version = 1
[defaults]
max_parallel = 2
on_failure = "pause"
unit_deadline = "1m"
[search]
roots = ["./data"]
max_memory = "16GiB"
deadline = "2m"
[hosts.vps-a]
connect = "local"
[secrets.acme]
issuer = "file:./acme.toml"
admin = "file:./admin.key"
store = "keyroll"
owner = "ada@example.org"
rotate_every = "90d"
keep_retired = true
unattended = true
phase_deadline = "5m"
[secrets.acme.derived]
url = "http://svc:{value}@127.0.0.1:7001/v1?x={value:raw}"
[secrets.acme.revoke]
require = ["reported"]
old_idle_for = "2s"
soak = "1s"
decide = "standing"
[[secrets.acme.consumers]]
name = "api"
host = "vps-a"
runs = { restart = ["./restart.sh", "{instance}"], instances = ["1", "2"], ports = [7101, 7102], pid_file = "./run/api-{instance}.pid", ready = "http://127.0.0.1:{port}/ready", drain = "3s" }
reads = [ { env_file = "./api.env", variable = "ACME_KEY" }, { env_file = "./api.env", variable = "URL", derived = "url" } ]
fetch = ["./init.sh"]
log = { file = "./api-{instance}.log", success = "logged in", failure = "401|authentication failed" }
check = { exec = ["./probe.sh", "{copy}"] }
[[secrets.acme.consumers.paths]]
name = "fallback"
check = { http = "http://127.0.0.1:{port}/check/fallback" }
[[secrets.acme.consumers]]
name = "reader"
runs = { rereads = true, process = "/usr/bin/thing", arg = "--serve" }
reads = { file = "../key", write = "in_place" }
[[secrets.acme.consumers]]
name = "conf"
runs = { signal = "HUP", pid_file = "/run/conf.pid" }
reads = { file = "./conf", template = "key = {value}" }
[[secrets.acme.consumers]]
name = "nightly"
runs = { at_rest = true }
reads = { file = "./nightly.key" }
check = { exec = ["true"] }
[[secrets.acme.consumers]]
name = "unit"
runs = { unit = "app@1.service" }
reads = { file = "./unit.key" }
[[secrets.acme.consumers]]
name = "web"
runs = { compose = "./shop", service = "web-{instance}", instances = ["a", "b"], ports = [7301, 7302], ready = "http://127.0.0.1:{port}/" }
reads = { file = "./web.key" }
[[secrets.acme.consumers]]
name = "box"
runs = { container = "box_1.x", restart = ["./box.sh"] }
reads = { file = "./box.key" }
[secrets.orders]
issuer = "postgres"
[secrets.orders.postgres]
host = "127.0.0.1"
dbname = "orders"
owner_role = "orders"
slots = ["orders_a", "orders_b"]
[[secrets.orders.consumers]]
name = "api"
runs = { unit = "orders.service" }
reads = [ { env_file = "./o.env", variable = "PGUSER", field = "user" }, { env_file = "./o.env", variable = "PGPASSWORD" } ]
"#;

fn config(text: &str) -> Config {
    Config::parse(text, "/srv/app/keyroll.toml").unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

/// The instance runs exactly this.
#[track_caller]
fn runs(instance: &Instance, expected: &dyn Workload) {
    assert_eq!(format!("{:?}", instance.workload), format!("{expected:?}"));
}

fn line(program: &str, arguments: &[&str]) -> CommandLine {
    let arguments = arguments.iter().map(|&word| word.to_owned());
    CommandLine { folder: Some("/srv/app".into()), ..CommandLine::program(program, arguments) }
}

#[test]
fn the_instances_of_a_template_unit_are_one_consumer_with_the_same_copies() {
    let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"worker\"\n\
                runs = { unit = \"worker@{instance}.service\", instances = [\"1\", \"blue\"] }\n\
                reads = { env_file = \"./worker.env\", variable = \"KEY\" }\n";
    let config = config(text);
    let [worker] = config.secret("acme").unwrap().consumers.as_slice() else { panic!("{config:?}") };
    assert_eq!((worker.name.as_str(), worker.table(), worker.reads.len()), ("worker", "worker", 1));
    let [one, blue] = worker.runs.instances() else { panic!("{:?}", worker.runs) };
    runs(one, &Unit::new("worker@1.service"));
    runs(blue, &Unit::new("worker@blue.service"));
}

#[test]
fn the_guides_with_template_units_are_valid() {
    for guide in [
        include_str!("../../../../docs/guides/pace-a-roll.md"),
        include_str!("../../../../docs/guides/vault-database-roles.md"),
    ] {
        let block = guide.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let version = if block.starts_with("version = 1\n") { "" } else { "version = 1\n" };
        let config = config(&format!("{version}{block}"));
        let several = |consumer: &keyroll_config::Consumer| consumer.runs.instances().len() > 1;
        assert!(config.secrets.values().flat_map(|secret| &secret.consumers).any(several), "{block}");
    }
}

#[test]
fn the_whole_format_is_read() {
    let config = config(FULL);
    assert_eq!(config.defaults.on_failure, OnFailure::Pause);
    assert_eq!(config.search.roots[0].to_str(), Some("/srv/app/data"));
    assert_eq!((config.search.memory_bytes_max, config.search.time_max.as_secs()), (16 << 30, 120));
    let acme = config.secret("acme").unwrap();
    assert_eq!(acme.issuer, IssuerRef::SpecFile("/srv/app/acme.toml".into()));
    assert_eq!(acme.admin, Some(Reference::File("/srv/app/admin.key".into())));
    assert_eq!(acme.store, StoreRef::Keyroll);
    assert_eq!((acme.max_parallel, acme.on_failure), (2, OnFailure::Pause));
    let deadlines = |unit_s, phase_s| Deadlines {
        unit: Duration::from_secs(unit_s),
        phase: Duration::from_secs(phase_s),
    };
    assert_eq!(acme.deadlines, deadlines(60, 300));
    assert_eq!(config.secret("orders").unwrap().deadlines, deadlines(60, 600));
    assert_eq!(Deadlines::default(), deadlines(180, 600));
    assert_eq!((acme.keep_retired, config.secret("orders").unwrap().keep_retired), (true, false));
    assert_eq!(acme.rotate_every, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!((acme.revoke.soak, acme.revoke.decide), (Duration::from_secs(1), Decide::Standing));
    assert!(acme.revoke.require.contains(&EvidenceKind::Reported));
    let names: Vec<&str> = acme.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
    assert_eq!(names, ["api", "reader", "conf", "nightly", "unit", "web", "box"]);
    let parts = acme.derived["url"].parts();
    assert!(matches!(&parts[1], Part::Field { name, raw: false } if name.as_str() == "value"));
    assert!(matches!(&parts[3], Part::Field { raw: true, .. }));
}

#[test]
fn processes_are_read() {
    let config = config(FULL);
    let acme = config.secret("acme").unwrap();
    let api = acme.consumer("api").unwrap();
    assert!(api.is_pull());
    let (instances, second) = (api.runs.instances(), &api.runs.instances()[1]);
    let find = Find::PidFile { path: "/srv/app/run/api-2.pid".into(), exe: None };
    let verb = Verb::Restart(line("/srv/app/restart.sh", &["2"]));
    runs(second, &Process { instances: Vec::new(), find, verb });
    assert_eq!((instances.len(), second.port), (2, Some(7102)));
    let ready = api.runs.ready.as_ref();
    assert_eq!(ready.unwrap().fill("2", Some(7102), None), "http://127.0.0.1:7102/ready");
    assert_eq!(api.runs.drain, Some(Duration::from_secs(3)));
    assert!(matches!(&api.check, Some(Check::Exec(argv)) if argv.uses("copy")));
    assert!(matches!(&api.reads[1].source, Source::Derived(name) if name.as_str() == "url"));
    let reader = acme.consumer("reader").unwrap();
    assert!(matches!(reader.runs.workload().find(), Some(Find::Executable { .. })));
    assert!(!reader.runs.workload().needs_reload() && !reader.runs.workload().is_job());
    assert_eq!(reader.runs.instances()[0].name.as_str(), "main");
    assert_eq!(reader.reads[0].place, Place::File { path: "/srv/key".into() });
    assert_eq!(reader.reads[0].write, WriteMode::InPlace);
    let conf = acme.consumer("conf").unwrap();
    let find = conf.runs.workload().find().unwrap().clone();
    runs(&conf.runs.instances()[0], &Process { instances: Vec::new(), find, verb: Verb::Signal(1) });
    assert!(matches!(&conf.reads[0].source, Source::Template(template) if template.parts().len() == 2));
    runs(&acme.consumer("nightly").unwrap().runs.instances()[0], &AtRest::default());
    runs(&acme.consumer("unit").unwrap().runs.instances()[0], &Unit::new("app@1.service"));
    let web = &acme.consumer("web").unwrap().runs;
    runs(&web.instances()[1], &Compose::new("/srv/app/shop", "web-b"));
    assert_eq!((web.instances().len(), web.instances()[1].port), (2, Some(7302)));
    assert_eq!(web.ready.as_ref().unwrap().fill("b", Some(7302), None), "http://127.0.0.1:7302/");
    let of_box = &acme.consumer("box").unwrap().runs.instances()[0];
    let again = of_box.workload.restart_command().unwrap().clone();
    runs(of_box, &Container::new("box_1.x", ContainerVerb::Recreate(again)));
}

#[test]
fn postgres_has_its_own_fields() {
    let config = config(FULL);
    let orders = config.secret("orders").unwrap();
    let postgres = orders.server.as_ref().unwrap();
    assert_eq!((postgres.port("port"), postgres.slots().unwrap()[1].as_str()), (Some(5432), "orders_b"));
    let secret: Vec<&str> =
        orders.fields.iter().filter(|(_, spec)| spec.secret).map(|(name, _)| name.as_str()).collect();
    assert_eq!(secret, ["password"]);
    let sources: Vec<&Source> = orders.consumers[0].reads.iter().map(|copy| &copy.source).collect();
    assert!(matches!(sources[1], Source::Field(name) if name.as_str() == "password"));
}

#[test]
fn static_roles_go_with_the_logins_and_one_of_those_may_be_the_owner() {
    let with = |slots: &str| {
        let text = FULL.replace(
            "slots = [\"orders_a\", \"orders_b\"]",
            &format!("{slots}\nvault_roles = [\"database/orders-a\", \"team/database/orders-b\"]"),
        );
        config(&text).secrets["orders"].server.clone().unwrap()
    };
    let table = with("slots = [\"orders_a\", \"orders_b\"]");
    let roles = ["database/orders-a", "team/database/orders-b"].map(str::to_owned);
    assert_eq!(table.static_roles(), Some(&roles));
    let table = with("slots = [\"orders\", \"orders_b\"]");
    assert_eq!(table.slots().map(|slots| slots[0].as_str()), table.text("owner_role"));
    // Credentials go to the server alone.
    assert_eq!(table.endpoints(), ["127.0.0.1:5432"]);
    assert_eq!(config(FULL).secrets["orders"].server.as_ref().unwrap().static_roles(), None);
}

#[test]
fn braces_of_the_folder_are_not_placeholders() {
    let text = "version = 1\n[secrets.a]\nissuer = \"x\"\n[[secrets.a.consumers]]\nname = \"c\"\n\
                runs = { restart = [\"./r\"], pid_file = \"./c.pid\" }\nreads = { file = \"./k\" }\n";
    let config = Config::parse(text, "/srv/{instance}/keyroll.toml").unwrap();
    let command = config.secrets["a"].consumers[0].runs.workload().restart_command();
    assert_eq!(command.unwrap().program, "/srv/{instance}/r");
}

#[test]
fn a_file_is_loaded_with_its_folder_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
    std::fs::write(real.join("keyroll.toml"), "version = 1\n[search]\nroots = [\"../x\"]\n").unwrap();
    let config = Config::load(&folder.path().join("link/keyroll.toml")).unwrap();
    assert_eq!(config.search.roots[0], folder.path().canonicalize().unwrap().join("x"));
}

#[test]
fn the_forms_that_the_guide_shows_are_read() {
    let guide = include_str!("../../../../docs/guides/where-a-value-stands.md");
    let tables = guide.lines().map(str::trim).filter_map(|line| {
        let line = line.strip_prefix("reads = ").unwrap_or(line).trim_end_matches(',');
        (line.starts_with("{ ") && line.ends_with(" }")).then_some(line)
    });
    let mut seen = std::collections::BTreeSet::new();
    for table in tables {
        let text = format!(
            "version = 1\n[secrets.a]\nissuer = \"x\"\n[secrets.a.fields]\nvalue = {{ secret = false }}\n\
             user = {{ secret = false }}\npassword = {{ secret = true }}\n[secrets.a.derived]\nurl = \"x{{user}}\"\n\
             auth = \"base64:{{user:raw}}:{{password:raw}}\"\n\
             [[secrets.a.consumers]]\nname = \"c\"\nruns = {{ at_rest = true }}\nreads = {table}\n"
        );
        let config =
            Config::parse(&text, "/srv/keyroll.toml").unwrap_or_else(|error| panic!("{table}: {error}"));
        if let Place::Inside { format, .. } = config.secrets["a"].consumers[0].reads[0].place {
            seen.insert(format);
        }
    }
    assert_eq!(seen.len(), keyroll_copy::Format::NAMED.len(), "the guide shows each format: {seen:?}");
}

#[test]
fn a_log_is_a_file_a_journal_or_a_container_with_a_kind_or_patterns() {
    let config = |log: &str| {
        format!(
            "version = 1\n[secrets.a]\nissuer = \"openrouter\"\n[[secrets.a.consumers]]\nname = \"api\"\n\
             runs = {{ restart = [\"./r.sh\"], pid_file = \"./p-{{instance}}\", instances = [\"1\"] }}\n\
             reads = {{ file = \"./k\" }}\nlog = {log}\n"
        )
    };
    for good in [
        "{ journal = \"api@{instance}.service\", kind = \"postgres\" }",
        "{ docker = \"api-{instance}\", kind = \"redis\", success = \"PONG\" }",
        "{ file = \"./log/{instance}.log\", kind = \"http\" }",
    ] {
        let config = keyroll_config::Config::parse(&config(good), "/srv/keyroll.toml").unwrap();
        let log = config.secrets["a"].consumers[0].log.as_ref().unwrap();
        assert!(log.failure.is_some(), "{good}");
    }
    for wrong in [
        "{ kind = \"http\" }",
        "{ journal = \"a.service\" }",
        "{ journal = \"a.service\", docker = \"a\", kind = \"http\" }",
        "{ journal = \"--all\", kind = \"http\" }",
        "{ docker = \"a b\", kind = \"http\" }",
        "{ journal = \"a.service\", kind = \"smtp\" }",
    ] {
        assert!(keyroll_config::Config::parse(&config(wrong), "/srv/keyroll.toml").is_err(), "{wrong}");
    }
}

#[test]
fn a_pooler_and_its_list_of_logins_are_read() {
    let text = "version = 1\n[secrets.db]\nissuer = \"postgres\"\nadmin = \"file:./a\"\n[secrets.db.postgres]\n\
        host = \"127.0.0.1\"\ndbname = \"d\"\nowner_role = \"o\"\nslots = [\"a\", \"b\"]\n\
        poolers = [{ host = \"127.0.0.1\", admin = \"file:./p\" }]\n[[secrets.db.consumers]]\nname = \"pooler\"\n\
        runs = { signal = \"HUP\", pid_file = \"./pid\" }\nreads = { file = \"./l\", format = \"userlist\" }\n";
    let both = format!("{text}{}", text.split_once("1\n").unwrap().1.replace("secrets.db", "secrets.other"));
    let config = Config::parse(&both, "/srv/keyroll.toml").expect("two logins may stand in one list");
    let secret = &config.secrets["db"];
    let pooler = &secret.server.as_ref().unwrap().poolers()[0];
    assert_eq!((pooler.text("host"), pooler.port("port")), (Some("127.0.0.1"), Some(6432)));
    assert!(pooler.admin_file().is_some_and(|path| path.ends_with("p")));
    let copy = &secret.consumers[0].reads[0];
    assert!(matches!(&copy.place, Place::Userlist { user, .. } if user.as_str() == "user"));
    assert!(matches!(&copy.source, Source::Field(name) if name.as_str() == "password"));
    for more in [", at = \"/x\"", ", template = \"{user}\"", ", part = \"user\""] {
        let wrong = text.replace("format = \"userlist\"", &format!("format = \"userlist\"{more}"));
        assert!(Config::parse(&wrong, "/srv/keyroll.toml").is_err(), "{more}");
    }
}

#[test]
fn a_file_is_made_by_one_command_or_written() {
    let parse = |reads: &str, more: &str| {
        let text = format!(
            "version = 1\n[secrets.a]\nissuer = \"x\"\n[[secrets.a.consumers]]\nname = \"c\"\n\
             runs = {{ at_rest = true }}\nreads = [{reads}]\n{more}"
        );
        Config::parse(&text, "/srv/keyroll.toml")
    };
    let made = "{ file = \"./j\", format = \"json\", at = \"/k\", generated = [\"./make\"] }";
    let config = parse(made, "").expect("a generated copy");
    let words = config.secrets["a"].consumers[0].reads[0].generated.as_ref().unwrap().fill("", None, None);
    assert_eq!(words, ["/srv/make"]);
    let also = |other: &str| format!("{made}, {other}");
    assert!(parse(&also(&made.replace("/k", "/l")), "").is_ok());
    assert!(parse(&also("{ file = \"./j\", format = \"json\", at = \"/l\" }"), "").is_err(), "half of it");
    assert!(
        parse(&also(&made.replace("/k", "/l").replace("./make", "./other")), "").is_err(),
        "two commands"
    );
    assert!(parse(made, "fetch = [\"./get\"]\n").is_err(), "fetched and made");
    assert!(parse(&made.replace(" }", ", write = \"in_place\" }"), "").is_err(), "written and made");
}

#[test]
fn an_agent_is_read_with_what_starts_it_and_its_turns() {
    let text = |runs: &str, check: &str| {
        format!(
            "version = 1\n[secrets.a]\nissuer = \"openai\"\nadmin = \"file:./a\"\n[[secrets.a.consumers]]\nname = \"claw\"\n\
             runs = {{ openclaw = \"./claw\", provider = \"openai\"{runs} }}\nreads = {{ file = \"./k\" }}\ncheck = {check}\n"
        )
    };
    let read = |runs: &str, check: &str| {
        let config = Config::parse(&text(runs, check), "/srv/keyroll.toml").unwrap();
        let consumer = config.secrets["a"].consumers[0].clone();
        assert!(consumer.runs.workload().agent_state().is_some_and(|state| state.ends_with("claw")));
        (format!("{:?}", consumer.runs.workload()), consumer.check.clone().unwrap())
    };
    let (claw, check) = read("", "{ turn = \"openai/gpt-5.4\", agent = \"main\" }");
    assert!(claw.contains("provider: \"openai\"") && claw.contains("start: None"), "{claw}");
    assert!(matches!(check, Check::Turn { agent: Some(agent), after: None, .. } if agent == "main"));
    let (claw, check) = read(
        ", unit = \"claw.service\", user = \"ada\"",
        "{ exec = [\"./p\", \"{copy}\"], turn = \"openai/x\" }",
    );
    let unit = Unit { user: Some("ada".to_owned()), ..Unit::new("claw.service") };
    assert!(claw.contains(&format!("{:?}", Some(Start::Unit(Box::new(unit))))), "{claw}");
    assert!(check.command().is_some_and(|argv| argv.uses("copy")) && matches!(check, Check::Turn { .. }));
    let (claw, _) = read(", restart = [\"./r\"]", "{ turn = \"openai/x\" }");
    assert!(claw.contains("start: Some(Command("), "{claw}");
}

#[test]
fn a_proxy_is_rolled_and_asked_at_an_address_of_this_machine() {
    let text = "version = 1\n[secrets.a]\nissuer = \"openai\"\nadmin = \"file:./a\"\n[[secrets.a.consumers]]\nname = \"proxy\"\n\
                runs = { litellm = \"http://localhost:4000/\" }\nreads = { env_file = \"./.env\", variable = \"KEY\" }\n\
                check = { litellm = \"http://127.0.0.1:4000\", config = \"./config.yaml\", key = \"file:./k\", model = \"l1\" }\n";
    let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
    let consumer = &config.secrets["a"].consumers[0];
    let at = "127.0.0.1:4000".parse().unwrap();
    runs(&consumer.runs.instances()[0], &LiteLlm { address: at, variables: vec!["KEY".to_owned()] });
    let Some(Check::LiteLlm(check)) = &consumer.check else { panic!("{consumer:?}") };
    assert_eq!((check.address, check.model.as_deref()), (at, Some("l1")));
    assert!(check.config.ends_with("config.yaml") && check.key.is_some());
}

#[test]
fn an_error_rate_is_asked_of_prometheus_or_of_signoz() {
    let gate = |more: &str| {
        let text = format!(
            "version = 1\n[secrets.a]\nissuer = \"openrouter\"\n[secrets.a.gate]\nurl = \"http://127.0.0.1:9090\"\n\
             query = 'sum(rate({{\"http.server.errors\"}}[5m]))'\nmax = 0.01\n{more}"
        );
        config(&text).secrets["a"].gate.clone().unwrap()
    };
    let prometheus = gate("");
    assert_eq!((prometheus.api, prometheus.max()), (RateApi::Prometheus, 0.01));
    assert_eq!((prometheus.url.as_str(), &prometheus.bearer), ("http://127.0.0.1:9090", &None));
    assert_eq!(prometheus.query, "sum(rate({\"http.server.errors\"}[5m]))");
    assert_eq!(gate("api = \"prometheus\"\n"), prometheus);
    let signoz = gate("api = \"signoz\"\nbearer = \"file:./signoz.key\"\n");
    assert_eq!(signoz.api, RateApi::SigNoz);
    assert_eq!(signoz.bearer, Some(Reference::File("/srv/app/signoz.key".into())));
}

#[test]
fn a_store_of_aws_is_named_by_name_or_arn_and_key() {
    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/vonage-AbCdEf";
    let read = |reference: &str| {
        let text = format!("version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nstore = \"{reference}\"\n");
        let store = config(&text).secret("acme").unwrap().store.clone();
        assert_eq!(store.to_string(), reference, "it is shown as it is written");
        let StoreRef::Aws { id, key } = store else { panic!("{reference}") };
        (id, key)
    };
    let key = |key: &str| Some(key.to_owned());
    assert_eq!(read("aws-sm:prod/vonage#KEY"), ("prod/vonage".to_owned(), key("KEY")));
    assert_eq!(read("aws-sm:prod/vonage"), ("prod/vonage".to_owned(), None));
    assert_eq!(read(&format!("aws-sm:{ARN}#a#b c")), (ARN.to_owned(), key("a#b c")));
}

#[test]
fn a_store_of_vault_a_file_and_a_program_are_read_and_shown_as_written() {
    let read = |reference: &str| {
        let text = format!("version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nstore = \"{reference}\"\n");
        let store = config(&text).secret("acme").unwrap().store.clone();
        assert_eq!(store.to_string(), reference, "it is shown as it is written");
        store
    };
    let StoreRef::Vault { path, key } = read("vault:team/kv/agents/open#ai#key") else { panic!("no vault") };
    assert_eq!((path.as_str(), key.as_str()), ("team/kv/agents/open#ai", "key"));
    let StoreRef::File { path, at, .. } = read("file:./keys.env#KEY") else { panic!("no file") };
    assert_eq!((path.to_str(), at.as_deref()), (Some("/srv/app/keys.env"), Some("KEY")));
    assert!(read("file:./keys.env#KEY").is_same_place(&read("file:/srv/app/keys.env#KEY")));
    assert!(!read("file:./keys.env#KEY").is_same_place(&read("file:./keys.env#OTHER")));
    let StoreRef::Exec { program, item, .. } = read("exec:./op#op://prod/a#b") else { panic!("no program") };
    assert_eq!((program.to_str(), item.as_str()), (Some("/srv/app/op"), "op://prod/a#b"));
}

#[test]
fn a_store_of_kubernetes_is_a_key_of_a_secret_in_a_cluster() {
    let read = |reference: &str, table: &str| {
        let text =
            format!("version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nstore = \"{reference}\"\n{table}");
        let store = config(&text).secret("acme").unwrap().store.clone();
        assert_eq!(store.to_string(), reference, "it is shown as it is written");
        assert!(!store.holds_pending() && store.file().is_none() && store.late_ms_max() > 0);
        store
    };
    let reference = "k8s:prod-1/agents.llm#OPENAI_API.KEY";
    let plain = read(reference, "");
    let StoreRef::Kubernetes { namespace, name, key, cluster } = &plain else { panic!("no Secret") };
    assert_eq!([namespace, name, key].map(String::as_str), ["prod-1", "agents.llm", "OPENAI_API.KEY"]);
    assert_eq!(*cluster, Kubernetes::default());
    assert!(StoreRef::is_foreign(reference));
    let cluster_of = |table: &str| {
        let store = read(reference, table);
        let StoreRef::Kubernetes { cluster, .. } = store else { panic!("{store}") };
        cluster
    };
    let named = cluster_of(
        "[secrets.acme.kubernetes]\ncontext = \"arn:aws:eks:eu-west-1:1:cluster/prod\"\nkubeconfig = \"./kubeconfig\"\n",
    );
    assert_eq!(named.context.as_deref(), Some("arn:aws:eks:eu-west-1:1:cluster/prod"));
    assert_eq!(named.kubeconfig.as_deref(), Some(Path::new("/srv/app/kubeconfig")));
    let inside = cluster_of("kubernetes = { in_cluster = true }\n");
    assert!(inside.in_cluster && inside.context.is_none());
}

#[test]
fn a_secret_of_the_same_name_in_another_cluster_is_another_store() {
    let two = |other: &str| {
        let of = |name: &str, context: &str| {
            format!(
                "[secrets.{name}]\nissuer = \"openrouter\"\nstore = \"k8s:app/llm#KEY\"\nkubernetes = {{ context = \"{context}\" }}\n"
            )
        };
        Config::parse(&format!("version = 1\n{}{}", of("a", "prod"), of("b", other)), "/srv/app/keyroll.toml")
    };
    assert!(two("staging").is_ok());
    assert!(two("prod").is_err());
}

#[test]
fn vault_has_an_address_and_a_login() {
    let secret = "[secrets.acme]\nissuer = \"openrouter\"\nstore = \"vault:kv/acme#key\"\n";
    let vault = |keys: &str| {
        let text = format!("version = 1\n{keys}\n{secret}");
        config(&text).secret("acme").unwrap().vault.clone()
    };
    assert_eq!(vault(""), Vault::default());
    let all = vault(
        "[vault]\naddress = \"https://vault.example:8200\"\nnamespace = \"team-a\"\nca = \"./ca.pem\"\n\
         approle = { role_id = \"r-1\", secret_id = \"file:./secret-id\" }",
    );
    assert_eq!(
        (all.address.as_deref(), all.namespace.as_deref()),
        (Some("https://vault.example:8200"), Some("team-a"))
    );
    assert_eq!(all.ca, Some("/srv/app/ca.pem".into()));
    let (mount, role_id) = ("approle".to_owned(), "r-1".to_owned());
    let secret_id = "/srv/app/secret-id".into();
    assert_eq!(all.login, Some(VaultLogin::AppRole { mount, role_id, secret_id }));
    assert_eq!(
        vault("[vault]\nagent = \"./a.sock\"").login,
        Some(VaultLogin::Agent("/srv/app/a.sock".into()))
    );
}

#[test]
fn the_host_of_an_issuer_goes_with_a_shipped_spec() {
    let with = |issuer: &str, host: &str| {
        format!(
            "version = 1\n[secrets.one]\nissuer = \"{issuer}\"\nadmin = \"file:./a\"\nissuer_host = \"{host}\"\n"
        )
    };
    let config = Config::parse(&with("gitlab", "git.acme.net:8443"), "keyroll.toml").unwrap();
    assert_eq!(config.secret("one").unwrap().issuer_host.as_deref(), Some("git.acme.net:8443"));
    expect(&with("file:./own.toml", "git.acme.net"), "K0004", 5, "goes with the name of a shipped spec");
    for wrong in
        ["", "https://git.acme.net", "git.acme.net/x", "Git.acme.net", "git.acme.net:0", "git.acme.net:x"]
    {
        expect(&with("gitlab", wrong), "K0004", 5, "host name in lower case");
    }
}

/// Two consumers may write the same text and mean other instances: neither is adopted anew by the other.
#[test]
fn a_consumer_is_found_as_another_one_only_if_all_its_instances_are() {
    let pids = |instances: &str| {
        format!(
            "{{ restart = [\"./r\", \"{{instance}}\"], pid_file = \"./run/{{instance}}.pid\", instances = {instances} }}"
        )
    };
    let unit = |user: &str| format!("{{ unit = \"bot.service\"{user} }}");
    let plain = "{ restart = [\"./other\"], pid_file = \"./run/a.pid\" }".to_owned();
    for (one, other, same) in [
        (pids("[\"a\", \"b\"]"), pids("[\"c\", \"d\"]"), false),
        (pids("[\"a\", \"b\"]"), pids("[\"b\", \"a\"]"), true),
        (pids("[\"a\", \"b\"]"), pids("[\"a\"]"), false),
        (pids("[\"a\"]"), plain, true),
        (unit(""), unit(""), true),
        (unit(""), unit(", user = \"deploy\""), false),
        (unit(", user = \"ada\""), unit(", user = \"deploy\""), false),
        (
            "{ compose = \"./c.yaml\", service = \"a\" }".to_owned(),
            "{ compose = \"./c.yaml\", service = \"b\" }".to_owned(),
            false,
        ),
    ] {
        let consumer = |name: &str, runs: &str| {
            format!(
                "[[secrets.acme.consumers]]\nname = \"{name}\"\nruns = {runs}\n\
                 reads = {{ file = \"./{name}.key\" }}\ncheck = {{ exec = [\"./c\", \"{{copy}}\"] }}\n"
            )
        };
        let text = format!(
            "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n{}{}",
            consumer("one", &one),
            consumer("other", &other)
        );
        let config =
            Config::parse(&text, "/srv/app/keyroll.toml").unwrap_or_else(|error| panic!("{text}: {error}"));
        let all = &config.secrets["acme"].consumers;
        assert_eq!(all[0].finds_as(&all[1]), same, "{one} and {other}");
    }
}
