//! One reading reports every mistake of a file, in its order, and repeats no value.

use keyroll_config::{Config, ConfigError};

/// Something that a person might paste by mistake; it must be in no message.
const VALUE: &str = "sk-live-4f1d0c9b8a7766554433";

fn refused(text: &str) -> ConfigError {
    let error = Config::parse(text, "keyroll.toml").expect_err("must be refused");
    let all = format!("{error} {:?} {error:?}", error.help());
    assert!(!all.contains("4f1d0c9b"), "a value is repeated: {all}");
    error
}

/// Each mistake with its line, as `LINE MESSAGE`, and its help.
fn mistakes(text: &str) -> Vec<(String, String)> {
    listed(&refused(text))
}

fn listed(first: &ConfigError) -> Vec<(String, String)> {
    let one = |error: &ConfigError| {
        let line = error.position().map_or(0, |at| at.line);
        (format!("{line} {}", error.message()), error.help().unwrap_or_default().to_owned())
    };
    [one(first)].into_iter().chain(first.further().iter().map(one)).collect()
}

/// The mistakes are exactly these, in this order: how each begins, and a part of its help.
#[track_caller]
fn expect_all(text: &str, wanted: &[(&str, &str)]) {
    fits(&mistakes(text), wanted);
}

#[track_caller]
fn fits(found: &[(String, String)], wanted: &[(&str, &str)]) {
    let fits = found.len() == wanted.len()
        && found
            .iter()
            .zip(wanted)
            .all(|(found, wanted)| found.0.starts_with(wanted.0) && found.1.contains(wanted.1));
    assert!(fits, "{found:#?}\nis not\n{wanted:#?}");
}

#[test]
fn mistakes_of_form_and_of_meaning_come_at_once_in_the_order_of_the_file() {
    let text = format!(
        r#"version = 1
[defaults]
max_parallel = 0
on_failure = "rolback"
[secrets.acme]
issuer = "openrouter"
admin = "{VALUE}"
[secrets.acme.revoke]
soak = 300
decide = "{VALUE}"
[[secrets.acme.consumers]]
name = "api"
runs = {{ unit_name = "api.service" }}
reads = {{ env_file = "./api.env", var = "KEY" }}
check = {{ exec = "./check.sh" }}
[[secrets.acme.consumers]]
name = "web"
host = "web-1"
runs = {{ restart = ["./r"], signal = "HUP", pid_file = "./p" }}
reads = [{{ file = "a/../b" }}, {{ file = "./k", env = "KEY" }}]
log = {{ file = "./l" }}
"#
    );
    expect_all(
        &text,
        &[
            ("3 `max_parallel` must be 1 to 64", ""),
            ("4 `on_failure` must be one of `rollback`, `pause`", "did you mean `rollback`?"),
            ("7 `admin` must be a reference, never a value", "file:./name"),
            ("9 `soak` has the wrong form: a string must stand here", "`soak = \"300s\"`"),
            ("10 `revoke.decide` must be one of `ask`, `standing`", ""),
            ("13 unknown key `unit_name`", "did you mean `unit`?"),
            ("14 unknown key `var`", "did you mean `variable`?"),
            ("15 `exec` has the wrong form: a list must stand here", "words of the command"),
            ("18 `host` names a host that is not defined", "known: local"),
            ("19 `runs` needs exactly one of", "the forms are"),
            ("20 unknown key `env`", "did you mean `env_file` or `variable`?"),
            ("21 `log` needs `kind`, `success` or `failure`", ""),
        ],
    );
}

/// A text that was accepted before may name an issuer of another keyroll: its rotation must be able to end.
#[test]
fn an_issuer_that_keyroll_does_not_have_is_one_of_the_mistakes_of_a_file() {
    let text = "version = 1\n[secrets.zeta]\nowner = 7\nissuer = \"postgress\"\n\
        [secrets.zeta.postgres]\nhost = \"db\"\ndbname = \"d\"\nowner_role = \"o\"\nslots = [\"a\", \"b\"]\n\
        [secrets.acme]\nissuer = \"openai\"\nstoer = \"keyroll\"\n\
        [secrets.beta]\nissuer = { kind = \"opnrouter\" }\n[secrets.gamma]\nissuer = \"of-our-own\"\n\
        [secrets.delta]\nissuer = \"mariadb \"\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyroll.toml");
    std::fs::write(&file, text).unwrap();
    let found = listed(&Config::load(&file).unwrap_err());
    fits(
        &found,
        &[
            ("3 `owner` has the wrong form: a string", "`owner = \"7\"`"),
            ("4 `issuer`: keyroll has no issuer of this name", "did you mean `postgres`?"),
            ("11 `issuer`: keyroll has no issuer of this name", "did you mean `openai-service-account`?"),
            ("12 unknown key `stoer`", "did you mean `store`?"),
            ("14 `issuer` has the wrong form: a string", "`issuer = \"openrouter\"`"),
            ("16 `issuer`: keyroll has no issuer of this name", "keyroll issuers list"),
            ("18 `issuer`: keyroll has no issuer of this name", "did you mean `mariadb`?"),
        ],
    );
    let former = "version = 1\n[secrets.zeta]\nissuer = \"of-before\"\n";
    assert!(Config::parse(former, "keyroll.toml").is_ok());
    assert!(Config::parse_current(former, "keyroll.toml", folder.path()).is_err());
}

/// `secrets.NAME.issuer` of the examples in the guides.
#[test]
fn a_guide_names_no_issuer_that_keyroll_does_not_have() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/guides");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "md") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some(name) = line
                .strip_prefix("issuer")
                .and_then(|rest| rest.trim_start().strip_prefix('=')?.split('"').nth(1))
            else {
                continue;
            };
            let text = format!("version = 1\n[secrets.a]\nissuer = \"{name}\"\n");
            let all = match Config::parse_current(&text, "keyroll.toml", folder.as_ref()) {
                Ok(_) => String::new(),
                Err(error) => format!("{:?}", listed(&error)),
            };
            assert!(!all.contains("no issuer of this name"), "{}: {line}: {all}", path.display());
            count += 1;
        }
    }
    assert!(count > 10, "{count} issuers were found in the guides");
}

#[test]
fn what_follows_from_a_mistake_is_not_told_as_another_one() {
    // The key is meant, and not missing; and its secret has no fields that others could lack.
    expect_all(
        "version = 1\n[secrets.acme]\nisuer = \"postgres\"\n",
        &[("3 unknown key `isuer`", "`issuer`")],
    );
    // The host is there, although it has a mistake; so is the secret that the alias names.
    let text = "version = 1\n[hosts.web-1]\nconnect = \"ssh://web 1\"\n[server]\nlisten = \"127.0.0.1:9090\"\n\
        [server.emergency]\nadmin_token = \"file:./t\"\naliases = { KEY = \"acme\" }\n[secrets.acme]\nissuer = \"openrouter\"\n\
        searched_hosts = [\"web-1\"]\n[[secrets.acme.consumers]]\nname = \"api\"\nhosts = [\"web-1\"]\nruns = { at_rest = true }\n\
        reads = { file = \"./k\" }\n";
    expect_all(text, &[("3 `connect`: ", "ssh://HOST")]);
    // Placeholders of instances, and evidence of deadlines, need what has the mistake.
    let text = "version = 1\n[defaults]\nphase_deadline = 5\nunit_deadline = \"20m\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
        [[secrets.acme.consumers]]\nname = \"api\"\n\
        runs = { signal = \"HUP\", pid_file = \"./{instance}\", instances = \"a\" }\nreads = { file = \"./k\" }\n\
        log = { file = \"./{instance}.log\", failure = \"401\" }\ncheck = { http = \"http://127.0.0.1:{port}/\" }\n";
    expect_all(
        text,
        &[
            ("3 `phase_deadline` has the wrong form: a string must stand here", "`phase_deadline = \"5s\"`"),
            ("9 `instances` has the wrong form: a list must stand here", "`instances = [\"…\"]`"),
        ],
    );
    // A table is not named by a type of this program, and too long is a length of time.
    let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nrevoke = 3\n\
        [secrets.beta]\nissuer = \"openrouter\"\nrevoke = { soak = \"4000d\" }\n";
    expect_all(
        text,
        &[
            ("4 `revoke` has the wrong form: a table must stand here", "[secrets.NAME.revoke]"),
            ("7 `revoke.soak` must be at most 3660d", ""),
        ],
    );
    // Keys of another version are no mistakes of this one.
    expect_all(
        "version = 2\nsecret = 1\n[defaults]\nmax_parallel = 0\n",
        &[("1 this version of keyroll", "")],
    );
}

#[test]
fn keys_that_are_missing_come_with_the_mistakes_beside_them() {
    expect_all(
        "# ours\n[secrets.acme]\nowner = 7\n[[secrets.acme.consumers]]\nruns = { at_rest = true }\nreads = { file = \"\" }\n",
        &[
            ("1 the key `version` is missing", "version = 1"),
            ("2 the key `issuer` is missing", "keyroll issuers list"),
            ("3 `owner` has the wrong form: a string", "`owner = \"7\"`"),
            ("4 the key `name` is missing", "name = "),
        ],
    );
    let table = "version = 1\n[secrets.acme]\nissuer = \"postgres\"\n[secrets.acme.postgres]\ndatabase = \"d\"\nport = \"x\"\n";
    expect_all(
        table,
        &[
            (
                "4 the key `host` is missing",
                "[secrets.NAME.postgres] needs `host`, `dbname`, `owner_role` and two `slots`",
            ),
            ("4 the key `owner_role` is missing", "needs `host`"),
            ("4 the key `slots` is missing", "needs `host`"),
            ("5 unknown key `database`", "did you mean `dbname`?"),
            ("6 `port` has the wrong form: a whole number from 0 to 65535", ""),
        ],
    );
}

#[test]
fn a_long_list_is_cut_off_and_counted() {
    let secrets = |count: usize| {
        let all: String = (0..count).map(|at| format!("[secrets.a{at}]\nissuer = \"a b\"\n")).collect();
        refused(&format!("version = 1\n{all}"))
    };
    let short = secrets(20);
    assert_eq!((short.further().len(), short.left_off()), (19, 0));
    let long = secrets(23);
    assert_eq!((long.further().len(), long.left_off()), (19, 3));
    let lines = long.further().iter().map(|one| one.position().unwrap().line);
    assert!(lines.is_sorted() && long.position().unwrap().line == 3);
    let one = secrets(1);
    assert_eq!((one.further(), one.left_off()), (&[][..], 0));
}

#[test]
fn no_mistake_of_a_list_repeats_a_value() {
    let text = format!(
        "version = 1\n\"{VALUE}\" = 1\n[secrets.acme]\nissuer = \"openrouter\"\nadmin = \"{VALUE}\"\nstore = \"{VALUE}\"\n\
         on_failure = \"{VALUE}\"\nrotate_every = \"{VALUE}\"\nunattended = \"{VALUE}\"\nwindow = \"{VALUE}\"\n\
         [secrets.acme.revoke]\nrequire = [\"{VALUE}\"]\nsoak = 4815162342\n[[secrets.acme.consumers]]\nname = \"api\"\n\
         runs = {{ signal = \"{VALUE}\", pid_file = \"./p\" }}\nreads = \"{VALUE}\"\ncheck = {{ http = \"{VALUE}\" }}\n"
    );
    let found = mistakes(&text);
    assert!(found.len() >= 10, "{found:#?}");
    assert!(
        found.iter().all(|(message, help)| !format!("{message}{help}").contains("4815162342")),
        "{found:#?}"
    );
}

#[test]
fn every_line_that_is_not_toml_is_named() {
    let found = mistakes("version = 1\nname = one two\n[secrets.acme]\nissuer = open router\n");
    let lines: Vec<&str> = found.iter().filter_map(|(message, _)| message.split(' ').next()).collect();
    assert_eq!(lines.first().copied(), Some("2"), "{found:?}");
    assert!(lines.contains(&"4"), "{found:?}");
    assert!(found.iter().all(|(message, _)| message.contains("not TOML")), "{found:?}");
}

#[test]
fn a_mistake_on_several_machines_is_told_once() {
    let text = "version = 1\n[hosts.a]\nconnect = \"ssh://a\"\nfolder = \"/srv/a\"\n[hosts.b]\nconnect = \"ssh://b\"\n\
        folder = \"/srv/b\"\n[secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"api\"\n\
        hosts = [\"a\", \"b\"]\nruns = { at_rest = true }\nreads = [{ file = \"./k\" }, { file = \"k\" }]\nlog = { file = \"./l\" }\n";
    expect_all(
        text,
        &[("14 the copy /srv/a/k is named twice", ""), ("15 `log` needs `kind`, `success` or `failure`", "")],
    );
}

/// Also one with the marks of the parser's own messages in it.
#[test]
fn an_unknown_key_that_may_be_a_value_is_not_repeated() {
    for key in [
        VALUE,
        "hunter2-4f1d0c9b",
        "postgres://u:4f1d0c9b@db/x",
        "p4ss w0rd! 4f1d0c9b 4f1d0c9b",
        "x`a`4f1d0c9b`b",
        "x`, expected `4f1d0c9b` `y",
    ] {
        for table in ["", "[secrets.acme]\nissuer = \"openrouter\"\n", "[defaults]\n"] {
            let found = mistakes(&format!("version = 1\n{table}\"{key}\" = 1\n"));
            let [(message, _)] = found.as_slice() else { panic!("{key}: {found:#?}") };
            assert!(message.ends_with(" unknown key"), "{key}: {message}");
        }
    }
}

/// What reads it would need as much of the stack as it is deep.
#[test]
fn what_is_deeper_than_the_format_is_not_read() {
    for deep in [
        format!("{}1{}", "[".repeat(40), "]".repeat(40)),
        format!("{}1{}", "{ a = ".repeat(40), " }".repeat(40)),
        format!("{{ {} = 1 }}", ["a"; 40].join(".")),
    ] {
        let table =
            format!("[secrets.acme]\nissuer = \"postgres\"\n[secrets.acme.postgres]\nhost = {deep}\n");
        for text in [format!("version = 1\n{table}"), format!("version = 1\nother = {deep}\n")] {
            expect_all(&text, &[("0 tables or lists are deeper", "")]);
        }
    }
}
