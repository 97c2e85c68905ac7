//! Every mistake is refused with its code, its position and a next step; the error never repeats the text there.

use keyroll_config::{CONFIG_BYTES_MAX, Config, ConfigError};

/// Something that a person might paste by mistake; it must be in no message.
const VALUE: &str = "sk-live-4f1d0c9b8a7766554433";

fn refused(text: &str) -> ConfigError {
    let error = Config::parse(text, "keyroll.toml").expect_err("must be refused");
    let all = format!("{error} {:?} {error:?}", error.help());
    assert!(!all.contains("4f1d0c9b"), "a value is repeated: {all}");
    error
}

pub(crate) fn with_secret(lines: &str) -> String {
    format!("version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n{lines}")
}

pub(crate) fn with_consumer(lines: &str) -> String {
    with_secret(&format!("[[secrets.acme.consumers]]\nname = \"api\"\n{lines}"))
}

fn with_runs(runs: &str) -> String {
    with_consumer(&format!("runs = {runs}\nreads = {{ file = \"./k\" }}\n"))
}

fn with_reads(reads: &str) -> String {
    with_consumer(&format!("runs = {{ at_rest = true }}\nreads = {reads}\n"))
}

#[track_caller]
pub(crate) fn expect(text: &str, code: &str, line: usize, words: &str) {
    let error = refused(text);
    let all = format!("{error} {}", error.help().unwrap_or_default());
    assert_eq!(error.code().as_str(), code, "{all}");
    assert_eq!(error.position().map(|at| at.line), Some(line), "{all}");
    assert!(all.contains(words), "{words:?} is not in {all:?}");
}

#[test]
fn unknown_keys_have_a_place_and_a_suggestion() {
    let error = refused(&with_consumer("reeds = { file = \"./k\" }\n"));
    assert_eq!(error.code().as_str(), "K0004");
    assert_eq!(error.to_string(), "keyroll.toml:6:1: unknown key `reeds`");
    assert_eq!(error.help(), Some("did you mean `reads`?"));
    expect("version = 1\ndefault = 1\n", "K0004", 2, "did you mean `defaults`?");
    expect(&with_runs("{ restart = [\"./r\"], pidfile = \"./p\" }"), "K0004", 6, "did you mean `pid_file`?");
    expect(&with_reads("[ { file = \"./k\" }, { fil = \"./k\" } ]"), "K0004", 7, "did you mean `file`?");
    expect(&with_secret("[secrets.acme.revoke]\nzebra = 1\n"), "K0004", 5, "the keys here are: ");
    for key in ["require", "old_idle_for", "soak", "decide"] {
        let revoke = format!("`{key}` belongs to the table [secrets.NAME.revoke]");
        expect(&with_secret(&format!("{key} = \"0s\"\n")), "K0004", 4, &revoke);
    }
    expect(&with_secret(&format!("value = \"{VALUE}\"\n")), "K0004", 4, "keyroll secret add");
}

#[test]
fn wrong_forms_are_told_without_their_content() {
    expect(&with_secret(&format!("unattended = \"{VALUE}\"\n")), "K0004", 4, "a boolean");
    expect(&format!("version = \"{VALUE}\"\n"), "K0004", 1, "a whole number of 0 or more must stand here");
    expect(
        &with_secret(&format!("consumers = \"{VALUE}\"\n")),
        "K0004",
        4,
        "`consumers` has the wrong form: a list",
    );
    expect(&with_reads(&format!("\"{VALUE}\"")), "K0004", 7, "a table, an array of tables, or");
    expect(&with_secret(&format!("admin = \"{VALUE}\"\n")), "K0004", 4, "never a value");
    expect(&with_secret(&format!("on_failure = \"{VALUE}\"\n")), "K0004", 4, "`rollback`, `pause`");
    expect(&with_secret("on_failure = \"rolback\"\n"), "K0004", 4, "did you mean `rollback`?");
    expect(&with_secret("max_parallel = 0\n"), "K0004", 4, "1 to 64");
    expect(&with_secret("unit_deadline = \"4999ms\"\n"), "K0004", 4, "5s to 1w");
    expect(&with_secret("phase_deadline = \"8d\"\n"), "K0004", 4, "5s to 1w");
    expect(&with_secret("unit_deadline = \"11m\"\n"), "K0004", 4, "(10m) is shorter than");
    expect(&with_secret("phase_deadline = \"2m\"\n"), "K0004", 4, "(2m) is shorter than");
    expect(&with_secret("max_parallel = -1\n"), "K0004", 4, "a whole number of 0 or more must stand here");
    expect(
        &format!("version = 1\n[secrets.a]\nissuer = \"{VALUE} x\"\n"),
        "K0004",
        3,
        "no issuer of this name",
    );
    expect("version = 1\n[secrets.acme]\nstore = \"keyroll\"\n", "K0004", 2, "`issuer` is missing");
    expect("[defaults]\n", "K0004", 1, "`version` is missing");
}

#[test]
fn text_that_is_not_toml_is_told_apart() {
    expect(&format!("version = 1\nkey = {VALUE}\n"), "K0004", 2, "not TOML");
    expect(&format!("version = 1\nkey = \"{VALUE}\n"), "K0004", 2, "not TOML");
    expect("version = 1\nversion = 1\n", "K0004", 2, "not TOML");
    let deep = format!("version = 1\nx = {}", "[".repeat(100_000));
    assert_eq!(refused(&deep).code(), "K0004");
    assert_eq!(refused("version = 2\n").code(), "K0006");
}

#[test]
fn foreign_stores_and_references_are_refused_by_name() {
    for (reference, what) in [("op://x/y", "1Password"), ("env:X", "environment variables")] {
        expect(&with_secret(&format!("admin = \"{reference}\"\n")), "K0006", 4, what);
        expect(&with_secret(&format!("store = \"{reference}\"\n")), "K0006", 4, what);
    }
    expect(&with_secret("admin = \"aws-sm:x\"\n"), "K0006", 4, "AWS Secrets Manager");
    expect(&with_secret("admin = \"vault:kv/x\"\n"), "K0006", 4, "OpenBao or Vault");
    expect(&with_secret(&format!("store = \"{VALUE}\"\n")), "K0006", 4, "does not know");
}

#[test]
fn a_store_outside_holds_one_value_of_one_secret() {
    let with_store = |store: &str| with_secret(&format!("store = \"aws-sm:{store}\"\n"));
    for (wrong, why) in [
        ("", "1 to 2048 bytes"),
        ("#KEY", "1 to 2048 bytes"),
        ("prod vonage#KEY", "letters, digits"),
        ("prod:vonage#KEY", "letters, digits"),
        ("prod/vonage#", "1 to 512 bytes"),
        ("arn:aws:s3:::bucket#KEY", "not the ARN"),
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:#KEY", "not the ARN"),
    ] {
        expect(&with_store(wrong), "K0004", 4, why);
    }
    expect(&with_store(&format!("{VALUE} x")), "K0004", 4, "letters, digits");
    let two = "[secrets.acme.fields]\nid = { secret = true }\nvalue = { secret = true }\n";
    expect(&(with_store("prod/vonage#KEY") + two), "K0004", 4, "2 secret fields");
    let login = with_store("prod/db#PASSWORD").replace("openrouter", "postgres");
    let table = "[secrets.acme.postgres]\nhost = \"127.0.0.1\"\ndbname = \"d\"\nowner_role = \"o\"\nslots = [\"a\", \"b\"]\n";
    expect(&(login + table), "K0004", 4, "two logins");
    let other = "[secrets.other]\nissuer = \"openrouter\"\nstore = \"aws-sm:prod/vonage#KEY\"\n";
    expect(&(with_store("prod/vonage#KEY") + other), "K0004", 5, "the same `store`");
}

#[test]
fn a_store_of_vault_a_file_and_a_program_are_named_fully() {
    let with_store = |store: &str| with_secret(&format!("store = \"{store}\"\n"));
    for (wrong, why) in [
        ("vault:kv/agents/openai", "names no key"),
        ("vault:kv/agents/openai#", "1 to 512 bytes"),
        ("vault:kv#KEY", "mount and the path in it"),
        ("vault:/kv/openai#KEY", "without a slash at its ends"),
        ("vault:kv/../sys/seal#KEY", "mount and the path in it"),
        ("vault:kv/openai/#KEY", "without a slash at its ends"),
        ("file:", "is empty"),
        ("file:./a#", "1 to 512 bytes"),
        ("file:./a/../b", "`..` after a name"),
        ("exec:op#item", "must be a path"),
    ] {
        expect(&with_store(wrong), "K0004", 4, why);
    }
    let reads = "[[secrets.acme.consumers]]\nname = \"api\"\nruns = { restart = [\"true\"], pid_file = \"./p\" }\n\
                 reads = { env_file = \"./api.env\", variable = \"KEY\" }\n";
    expect(&(with_store("file:./api.env#KEY") + reads), "K0004", 4, "the consumer `api` reads");
    let other = "[secrets.other]\nissuer = \"openrouter\"\nstore = \"file:./keys.env#KEY\"\n";
    expect(&(with_store("file:./keys.env") + other), "K0004", 5, "the same `store`");
}

#[test]
fn a_store_of_kubernetes_is_named_fully() {
    let with_store = |store: &str| with_secret(&format!("store = \"k8s:{store}\"\n"));
    for (wrong, why) in [
        ("app/llm", "names no key"),
        ("llm#KEY", "names no namespace"),
        ("App/llm#KEY", "a namespace has"),
        ("app.x/llm#KEY", "a namespace has"),
        ("-app/llm#KEY", "a namespace has"),
        ("app/#KEY", "the name of a Secret"),
        ("app/llm_1#KEY", "the name of a Secret"),
        ("app/llm.#KEY", "the name of a Secret"),
        ("app/llm/x#KEY", "the name of a Secret"),
        ("app/llm#", "a key of a Secret"),
        ("app/llm#a/b", "a key of a Secret"),
        ("app/llm#..data", "a key of a Secret"),
    ] {
        expect(&with_store(wrong), "K0004", 4, why);
    }
    let table = |keys: &str| with_store("app/llm#KEY") + "[secrets.acme.kubernetes]\n" + keys;
    for (wrong, line, why) in [
        ("context = \"\"\n", 6, "1 to 512 bytes"),
        ("kubeconfig = \"\"\n", 6, "is empty"),
        ("context = \"prod\"\nin_cluster = true\n", 5, "does not go with"),
    ] {
        expect(&table(wrong), "K0004", line, why);
    }
    let elsewhere =
        with_secret("store = \"vault:kv/a#KEY\"\n") + "[secrets.acme.kubernetes]\ncontext = \"prod\"\n";
    expect(&elsewhere, "K0004", 5, "goes with `store = \"k8s:");
}

#[test]
fn vault_is_reached_in_one_way() {
    let with_vault = |keys: &str| format!("version = 1\n[vault]\n{keys}\n");
    for (wrong, line, why) in [
        ("address = \"http://vault.example:8200\"", 3, "must be https://"),
        ("address = \"vault.example\"", 3, "must begin with"),
        ("token = \"hvs.x\"", 3, "never a value"),
        ("token = \"file:./t\"\nagent = \"./a.sock\"", 2, "several of"),
        ("namespace = \"\"", 3, "1 to 512 bytes"),
        ("approle = { role_id = \"r\", secret_id = \"s\" }", 3, "never a value"),
    ] {
        expect(&with_vault(wrong), "K0004", line, why);
    }
}

#[test]
fn names_periods_and_paths_are_narrow() {
    for name in ["\"A\"", "\"a b\"", "\"..\"", "\"é\"", "\"\""] {
        expect(&format!("version = 1\n[secrets.{name}]\nissuer = \"x\"\n"), "K0004", 2, "a-z 0-9");
    }
    expect(&with_consumer("").replace("openrouter", "x"), "K0004", 4, "missing");
    expect(&with_reads("{ file = \"./k\" }").replace("\"api\"", "\"../x\""), "K0004", 5, "a consumer");
    expect(&with_secret("rotate_every = \"90 days\"\n"), "K0004", 4, "30m");
    expect(&with_secret("[secrets.acme.revoke]\nsoak = \"10\"\n"), "K0004", 5, "revoke.soak");
    expect(&with_secret("[secrets.acme.revoke]\nsoak = 300\n"), "K0004", 5, "`soak = \"300s\"`");
    expect("version = 1\n[search]\nmax_memory = 4\n", "K0004", 3, "`max_memory = \"4GiB\"`");
    expect(&with_secret("window = 09:00:00\n"), "K0004", 4, "\"Mon..Fri 09:00-16:00 Europe/Berlin\"");
    for path in ["", "a/../b", "/x/../y", "a\\u0000b", "a\\nb"] {
        expect(&with_reads(&format!("{{ file = \"{path}\" }}")), "K0004", 7, "`file`");
    }
    expect("version = 1\n[search]\nroots = [\"/a/../b\"]\n", "K0004", 3, "`search.roots`");
    let refused = |key: &str, value: &str| {
        let text = format!("version = 1\n[search]\n{key} = \"{value}\"\n");
        expect(&text, "K0004", 3, &format!("`search.{key}`"));
    };
    for size in ["4", "4GB", "1MiB", "2TiB"] {
        refused("max_memory", size);
    }
    for time in ["9s", "1h", "5"] {
        refused("deadline", time);
    }
    let named = |id: &str, label: &str| {
        with_secret(&format!("other_keys = [{{ id = \"{id}\", label = \"{label}\" }}]\n"))
    };
    expect(&named("", "keyroll/01b7/4"), "K0004", 4, "`other_keys.id`");
    for label in ["", "keyroll/", "keyroll/01b7", "keyroll//4", "keyroll/01b7/x", "mine/01b7/4"] {
        expect(&named("k1", label), "K0004", 4, "`other_keys.label`");
    }
}

#[test]
fn the_same_thing_twice_is_refused() {
    let one =
        "[[secrets.acme.consumers]]\nname = \"api\"\nruns = { at_rest = true }\nreads = { file = \"./k\" }\n";
    expect(&with_secret(&format!("{one}{one}")), "K0004", 9, "consumer `api` is named twice");
    expect(&with_reads("[ { file = \"./k\" }, { file = \"././k\" } ]"), "K0004", 7, "named twice");
    let other = "[secrets.zeta]\nissuer = \"x\"\n[[secrets.zeta.consumers]]\nname = \"c\"\n\
                 runs = { at_rest = true }\nreads = { file = \"k\" }\n";
    expect(&with_secret(&format!("{one}{other}")), "K0004", 8, "claim the same place");
    let runs =
        "{ restart = [\"r\", \"{instance}\"], instances = [\"1\", \"1\"], pid_file = \"./{instance}\" }";
    expect(&with_runs(runs), "K0004", 6, "instance `1`");
}

#[test]
fn hosts_must_exist() {
    let at_rest = "runs = { at_rest = true }\nreads = { file = \"./k\" }\n";
    expect(&with_consumer(&format!("host = \"vps-b\"\n{at_rest}")), "K0006", 6, "known: local");
    let near = with_consumer(&format!("host = \"vps-b\"\n{at_rest}[hosts.vps-a]\nconnect = \"local\"\n"));
    expect(&near, "K0006", 6, "did you mean `vps-a`?");
}

#[test]
fn runs_has_exactly_one_form() {
    let cases = [
        ("{ pid_file = \"./p\" }", "exactly one of"),
        ("{ restart = [\"r\"], signal = \"HUP\", pid_file = \"./p\" }", "exactly one of"),
        ("{ restart = [\"r\"] }", "`pid_file`, or by `process`"),
        ("{ restart = [\"r\"], pid_file = \"./p\", process = \"/x\" }", "`pid_file`, or by `process`"),
        ("{ at_rest = true, pid_file = \"./p\" }", "stands alone"),
        ("{ at_rest = false }", "is left out"),
        ("{ unit = \"a.service\", pid_file = \"./p\" }", "systemd knows"),
        ("{ unit = \"a.service\", instances = [\"1\", \"2\"] }", "`{instance}` is missing in `unit`"),
        ("{ unit = \"a@{instance}.service\" }", "no placeholder is allowed here"),
        (
            "{ unit = [\"a@1.service\", \"a@2.service\"] }",
            "`unit = \"worker@{instance}.service\", instances = ",
        ),
        ("{ restart = [\"r\"], instances = [\"1\", \"2\"], pid_file = \"./{instance}\" }", "told apart"),
        (
            "{ restart = [\"r\", \"{instance}\"], instances = [\"1\", \"2\"], pid_file = \"./p\" }",
            "told apart",
        ),
        (
            "{ signal = \"HUP\", instances = [\"1\"], ports = [1, 2], pid_file = \"./p\" }",
            "one port for each",
        ),
    ];
    for (runs, words) in cases {
        expect(&with_runs(runs), "K0004", 6, words);
    }
    let cases = [
        ("{ compose = \"./shop\" }", "needs `service`"),
        ("{ service = \"web\", unit = \"a.service\" }", "goes with `compose`"),
        (
            "{ compose = \"./shop\", service = \"web\", pid_file = \"./p\" }",
            "`instances`, `ready` and `drain` only",
        ),
        ("{ compose = \"./shop\", service = \"web\", instances = [\"a\", \"b\"] }", "services of their own"),
        ("{ compose = \"./shop\", service = \"web\", signal = \"HUP\" }", "exactly one of"),
        ("{ container = \"web\", signal = \"HUP\" }", "`restart` or `rereads`"),
        ("{ container = \"web\", restart = [\"./r\"], rereads = true }", "`restart` or `rereads`"),
        ("{ container = \"web\", instances = [\"a\"] }", "`restart` or `rereads`"),
        ("{ container = \"web\", rereads = false }", "is true or is left out"),
    ];
    for (runs, words) in cases {
        expect(&with_runs(runs), "K0004", 6, words);
    }
    for name in ["", "--all", "-x", "a b", "a;b", "a/b", "$(x)"] {
        expect(&with_runs(&format!("{{ container = \"{name}\" }}")), "K0004", 6, "begins with a letter");
        let runs = format!("{{ compose = \"./shop\", service = \"{name}\" }}");
        expect(&with_runs(&runs), "K0004", 6, "begins with a letter");
    }
    expect(&with_runs("{ restart = [], pid_file = \"./p\" }"), "K0004", 6, "names no program");
    expect(&with_runs("{ signal = \"HUB\", pid_file = \"./p\" }"), "K0004", 6, "did you mean `HUP`?");
    expect(&with_runs("{ unit = \"a\" }"), "K0004", 6, "app.service");
    expect(&with_runs("{ signal = \"HUP\", process = \"thing\" }"), "K0004", 6, "path of an executable");
    let ready =
        |url: &str| with_runs(&format!("{{ signal = \"HUP\", pid_file = \"./p\", ready = \"{url}\" }}"));
    expect(&ready("http://example.org/x"), "K0004", 6, "https://");
    expect(&ready("http://u:p@127.0.0.1/"), "K0004", 6, "without a user");
    expect(&ready("http://127.0.0.1:{port}/"), "K0004", 6, "not known here");
}

#[test]
fn reads_has_one_of_three_forms() {
    let cases = [
        ("{ env_file = \"./e\" }", "needs `variable`"),
        ("{ variable = \"X\" }", "needs `env_file`"),
        ("{ template = \"{value}\" }", "`env_file` or `file`"),
        ("{ env_file = \"./e\", variable = \"X\", file = \"./f\" }", "with `variable` alone"),
        ("{ file = \"./f\", template = \"{value}\", field = \"value\" }", "already names its fields"),
        ("{ file = \"./f\", field = \"value\", derived = \"url\" }", "do not go together"),
    ];
    for (reads, words) in cases {
        expect(&with_reads(reads), "K0004", 7, words);
    }
    expect(&with_reads("[]"), "K0004", 7, "names no copy");
    for (reads, code, words) in [
        ("{ file = \"./f\", format = \"jsn\", at = \"/a\" }", "K0004", "did you mean `json`?"),
        ("{ file = \"./f\", format = \"json\" }", "K0004", "`file` and `at`"),
        ("{ file = \"./f\", at = \"/a\" }", "K0004", "need `format`"),
        ("{ file = \"./f\", part = \"user\" }", "K0004", "need `format`"),
        ("{ file = \"./f\", format = \"json\", at = \"a\" }", "K0004", "begins with /"),
        ("{ file = \"./f\", format = \"netrc\", at = \"\" }", "K0004", "not a place"),
        (
            "{ file = \"./f\", format = \"yaml\", at = \"/a\", part = \"user\" }",
            "K0004",
            "belongs to `pgpass`",
        ),
        ("{ file = \"./f\", format = \"netrc\", at = \"m\", part = \"pass\" }", "K0004", "`password`"),
        ("{ file = \"./f\", format = \"ini\", at = \"/a\", template = \"{value}\" }", "K0004", "alone"),
        ("{ env_file = \"./f\", variable = \"A\", format = \"ini\", at = \"/a\" }", "K0004", "alone"),
    ] {
        expect(&with_reads(reads), code, 7, words);
    }
    expect(&with_reads("{ file = \"./f\", field = \"user\" }"), "K0004", 7, "known: value");
    expect(&with_reads("{ file = \"./f\", derived = \"url\" }"), "K0004", 7, "`derived` names nothing");
    expect(&with_reads("{ file = \"./f\", template = \"x\" }"), "K0004", 7, "no {field}");
    expect(&with_reads("{ file = \"./f\", template = \"{x}\" }"), "K0004", 7, "the fields are: value");
    expect(&with_reads("{ file = \"./f\", template = \"{value\" }"), "K0004", 7, "not closed");
    expect(&with_reads("{ env_file = \"./f\", variable = \"1X\" }"), "K0004", 7, "letters, digits");
    expect(&with_reads("{ file = \"./f\", write = \"inplace\" }"), "K0004", 7, "did you mean `in_place`?");
    let two = with_reads("{ file = \"./f\" }") + "[secrets.acme.fields]\na = { secret = true }\nb = {}\n";
    expect(&two, "K0004", 7, "say which with `field`");
}

#[test]
fn checks_and_logs_must_be_able_to_show_something() {
    let more = |line: &str| with_reads("{ file = \"./k\" }") + line + "\n";
    expect(&more("check = {}"), "K0004", 8, "exactly one of `exec`, `http`, `litellm` and `turn`");
    expect(&more("check = { http = \"http://127.0.0.1/\" }"), "K0004", 8, "nothing runs");
    expect(&more("check = { exec = [\"p\", \"{cpy}\"] }"), "K0004", 8, "known here: {copy}");
    expect(&more("check = { exec = [\"p\", \"--file={copy}\"] }"), "K0004", 8, "stands alone");
    expect(&more("log = { file = \"./l\" }"), "K0004", 8, "without a pattern");
    expect(&more("log = { file = \"./l\", success = \"(\" }"), "K0004", 8, "not a regular expression");
    expect(&more("log = { file = \"./l\", failure = \"x*\" }"), "K0004", 8, "matches every line");
    expect(&more("log = { file = \"./l-{instance}\", failure = \"x\" }"), "K0004", 8, "no placeholder");
}

#[test]
fn keys_that_need_each_other_are_checked() {
    expect(&with_secret("[secrets.acme.revoke]\ndecide = \"standing\"\n"), "K0004", 5, "`unattended = true`");
    expect("version = 1\n[secrets.a]\nissuer = \"postgres\"\n", "K0004", 3, "postgres]` table");
    let table =
        "[secrets.acme.postgres]\nhost = \"h\"\ndbname = \"d\"\nowner_role = \"o\"\nslots = [\"a\", \"a\"]\n";
    expect(&with_secret(table), "K0004", 4, "goes with `issuer");
    expect(&with_secret(table).replace("openrouter", "postgres"), "K0004", 8, "two login roles");
    expect(&with_secret("[secrets.acme.fields]\na = { secret = false }\n"), "K0004", 5, "none of the fields");
    expect(&with_secret("[secrets.acme.derived]\nvalue = \"{value}\"\n"), "K0004", 5, "a field already");
}

#[test]
fn static_roles_of_vault_are_two_and_named_fully() {
    let with = |keys: &str| {
        let table = "[secrets.acme.postgres]\nhost = \"h\"\ndbname = \"d\"\nowner_role = \"o\"\n";
        with_secret(&format!("{table}{keys}")).replace("openrouter", "postgres")
    };
    let roles = |roles: &str| with(&format!("slots = [\"a\", \"b\"]\nvault_roles = {roles}\n"));
    let long = format!("[\"database/a\", \"database/{}\"]", "b".repeat(512));
    for (wrong, why) in [
        ("[\"database/a\"]", "two static roles"),
        ("[\"database/a\", \"database/a\"]", "two static roles"),
        ("[\"database/a\", \"database/b\", \"database/c\"]", "two static roles"),
        ("[\"database/a\", \"b\"]", "MOUNT/NAME"),
        ("[\"database/a\", \"database/\"]", "MOUNT/NAME"),
        ("[\"database/a\", \"/b\"]", "MOUNT/NAME"),
        ("[\"database/a\", \"database//b\"]", "MOUNT/NAME"),
        ("[\"database/a\", \"database/b\\u0007\"]", "MOUNT/NAME"),
        ("[\"database/a\", \"database/b c\"]", "MOUNT/NAME"),
        (&format!("[\"database/a\", \"{VALUE}\"]"), "MOUNT/NAME"),
        (&long, "512 bytes"),
        ("\"database/a\"", "`vault_roles` has the wrong form: a list"),
    ] {
        expect(&roles(wrong), "K0004", 9, why);
    }
    let own = roles("[\"database/a\", \"database/b\"]");
    let other = "[secrets.other]\nissuer = \"postgres\"\nadmin = \"file:./x\"\n[secrets.other.postgres]\nhost = \"h\"\n\
                 dbname = \"d\"\nowner_role = \"o\"\nslots = [\"c\", \"d\"]\nvault_roles = [\"database/c\", \"database/a\"]\n";
    let both = format!("{own}{other}");
    let line = both.lines().position(|line| line == "[secrets.other]").unwrap() + 1;
    expect(&both, "K0004", line, "the same static role");
    let one = with("slots = [\"o\", \"b\"]\n");
    expect(&one, "K0004", 8, "from `owner_role`");
    let both = "slots = [\"b\", \"b\"]\nvault_roles = [\"database/a\", \"database/b\"]\n";
    expect(&with(both), "K0004", 8, "two login roles");
}

#[test]
fn unreadable_files_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Config::load(&folder.path().join("keyroll.toml")).unwrap_err();
    assert_eq!(missing.code(), "K0001");
    assert!(missing.help().is_some_and(|help| help.contains("keyroll init")));
    assert_eq!(Config::load(folder.path()).unwrap_err().code(), "K0001");
    let large = folder.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1]).unwrap();
    assert!(Config::load(&large).unwrap_err().message().contains("larger than"));
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let utf_16 = Config::load(&binary).unwrap_err();
    assert_eq!((utf_16.code().as_str(), utf_16.position()), ("K0001", None));
    assert!(utf_16.message().contains("UTF-16") && utf_16.help() == Some("save it as UTF-8"), "{utf_16}");
    assert_eq!(Config::load(std::path::Path::new("/dev/zero")).unwrap_err().code(), "K0001");
}

/// Each says where, and what to do.
#[test]
fn what_is_no_text_file_says_what_it_is_instead() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("latin.toml"), b"version = 1\n# \xc3\xbcber M\xfcller\n").unwrap();
    let latin = Config::load(&at("latin.toml")).unwrap_err();
    let place = latin.position().map(|at| (at.line, at.column));
    assert_eq!((place, latin.help()), (Some((2, 9)), Some("save it as UTF-8")), "{latin}");
    symlink(at("there.toml"), at("here.toml")).unwrap();
    symlink(at("here.toml"), at("there.toml")).unwrap();
    symlink(at("nowhere.toml"), at("dangling.toml")).unwrap();
    for name in ["here.toml", "dangling.toml"] {
        let error = Config::load(&at(name)).unwrap_err();
        assert!(error.message().contains("a link that leads to no file"), "{error}");
        assert!(error.help().is_some_and(|help| help.starts_with("correct the link")), "{error}");
    }
    let error = Config::load(folder.path()).unwrap_err();
    assert!(error.message().ends_with("it is a folder"), "{error}");
    assert!(error.help().is_some_and(|help| help.ends_with("/keyroll.toml")), "{error}");
}

/// It would be shown as another text.
#[test]
fn an_owner_with_characters_that_are_not_seen_is_refused() {
    let text = with_secret("owner = \"ops\u{202e}moc.elpmaxe\"\n");
    let current = Config::parse_current(&text, "keyroll.toml", std::path::Path::new("/srv")).unwrap_err();
    assert!(current.message().starts_with("`owner` must be at most 256 bytes"), "{current}");
    assert!(Config::parse(&text, "keyroll.toml").is_ok(), "it was accepted before");
}

/// Red where the manager leaves it to the configuration to say of which key it speaks.
#[test]
fn the_name_of_a_unit_is_refused_with_its_key() {
    let error = refused(&with_runs("{ unit = \"../x\" }"));
    assert_eq!(error.message(), "`unit` must be the full name of a service: `app.service`");
    let error = refused(&with_runs("{ timer = \"../x\" }"));
    assert_eq!(error.message(), "`timer` must be the full name of a timer: `app.timer`");
}

#[test]
fn a_wrong_form_and_a_key_that_stands_twice_are_named() {
    let one = |text: &str| refused(text).message().to_owned();
    assert_eq!(one(&with_secret("owner = true\n")), "`owner` has the wrong form: a string must stand here");
    let item = one(&with_secret("consumers = [\"api\"]\n"));
    assert_eq!(item, "an item of `consumers` has the wrong form: a table must stand here");
    let name = one(&format!("version = 1\n[secrets]\n\"{VALUE}\" = 1\n"));
    assert!(name.starts_with("the value has the wrong form: "), "{name}");
    assert_eq!(one(&with_secret("owner = \"a\"\nowner = \"b\"\n")), "not TOML: duplicate key `owner`");
    let port =
        "runs = { restart = [\"./r\"], pid_file = \"./p\", ports = [99999] }\nreads = { file = \"./k\" }\n";
    assert!(one(&with_consumer(port)).ends_with("a whole number from 0 to 65535 must stand here"));
}

#[test]
fn a_wrong_secret_name_has_a_suggestion() {
    let config = Config::parse(&with_secret(""), "keyroll.toml").unwrap();
    assert_eq!(config.secret("acne").unwrap_err(), "did you mean `acme`?");
    assert_eq!(config.secret("other").unwrap_err(), "the secrets are: acme");
}

#[test]
fn an_agent_has_one_way_to_be_started_and_only_it_takes_turns() {
    let claw = |rest: &str| with_runs(&format!("{{ openclaw = \"./claw\"{rest} }}"));
    expect(&claw(""), "K0004", 6, "goes with `provider`");
    expect(&claw(", provider = \"a b\""), "K0004", 6, "must be one name");
    for more in
        ["ready = \"http://127.0.0.1:1/\"", "pid_file = \"./p\"", "user = \"ada\"", "signal = \"HUP\""]
    {
        expect(&claw(&format!(", provider = \"p\", {more}")), "K0004", 6, "its own files say which process");
    }
    let both = ", provider = \"p\", restart = [\"./r\"], unit = \"a.service\"";
    expect(&claw(both), "K0004", 6, "with `restart` or `unit`");
    expect(&with_runs("{ at_rest = true, provider = \"p\" }"), "K0004", 6, "goes with `openclaw`");
    let checked = |check: &str| {
        let lines = format!(
            "runs = {{ openclaw = \"./claw\", provider = \"p\" }}\nreads = {{ file = \"./k\" }}\ncheck = {check}\n"
        );
        with_consumer(&lines)
    };
    expect(&checked("{ turn = \"gpt\" }"), "K0004", 8, "model with its provider");
    expect(&checked("{ turn = \"p/x\\r\\ny: z\" }"), "K0004", 8, "model with its provider");
    expect(&checked("{ turn = \"p/x\", agent = \"a/b\" }"), "K0004", 8, "the id of an agent");
    expect(&checked("{ exec = [\"./p\"], agent = \"a\" }"), "K0004", 8, "goes with `turn`");
    expect(&checked("{ http = \"http://127.0.0.1:1/\", turn = \"p/x\" }"), "K0004", 8, "not with `http`");
    let unit = "runs = { unit = \"a.service\" }\nreads = { file = \"./k\" }\ncheck = { turn = \"p/x\" }\n";
    expect(&with_consumer(unit), "K0004", 6, "goes with `runs.openclaw`");
}

#[test]
fn a_proxy_is_of_this_machine_and_asked_by_its_own_configuration() {
    for runs in [
        "\"http://10.0.0.7:4000\"",
        "\"https://127.0.0.1:4000\"",
        "\"http://127.0.0.1\"",
        "\"http://u:p@127.0.0.1:1\"",
    ] {
        expect(
            &with_runs(&format!("{{ litellm = {runs} }}")),
            "K0004",
            6,
            "numeric loopback address and a port",
        );
    }
    expect(
        &with_runs("{ litellm = \"http://127.0.0.1:1\", pid_file = \"./p\" }"),
        "K0004",
        6,
        "knows its processes",
    );
    expect(
        &with_runs("{ litellm = \"http://127.0.0.1:1\", master = \"./p\" }"),
        "K0004",
        6,
        "exactly one of",
    );
    let checked = |check: &str| {
        with_consumer(&format!(
            "runs = {{ unit = \"a.service\" }}\nreads = {{ file = \"./k\" }}\ncheck = {check}\n"
        ))
    };
    let url = "litellm = \"http://127.0.0.1:4000\"";
    expect(&checked(&format!("{{ {url} }}")), "K0004", 8, "goes with `config`");
    expect(&checked(&format!("{{ {url}, config = \"./c\", exec = [\"./p\"] }}")), "K0004", 8, "one of");
    expect(&checked("{ exec = [\"./p\"], config = \"./c\" }"), "K0004", 8, "go with `litellm`");
    let value = format!("{{ {url}, config = \"./c\", key = \"not-a-reference\" }}");
    expect(&checked(&value), "K0004", 8, "must be a reference");
}

#[test]
fn an_error_rate_is_asked_of_this_machine_by_a_known_api() {
    let gate = |url: &str, query: &str, max: &str, more: &str| {
        with_secret(&format!(
            "[secrets.acme.gate]\nurl = \"{url}\"\nquery = \"{query}\"\nmax = {max}\n{more}"
        ))
    };
    let more = |line: &str| gate("http://127.0.0.1:9090", "errors", "0.5", line);
    assert!(Config::parse(&more(""), "keyroll.toml").is_ok());
    expect(
        &more(&format!("api = \"{VALUE}\"")),
        "K0004",
        8,
        "`gate.api` must be one of `prometheus`, `signoz`",
    );
    expect(&more("api = \"signos\""), "K0004", 8, "did you mean `signoz`?");
    expect(&more("api = \"\""), "K0004", 8, "`prometheus`, `signoz`");
    expect(&more("api = true"), "K0004", 8, "string");
    expect(&more(&format!("bearer = \"{VALUE}\"")), "K0004", 8, "never a value");
    expect(&gate("https://127.0.0.1:9090", "errors", "0.5", ""), "K0004", 5, "over http:// on loopback only");
    expect(&gate("http://10.0.0.7:9090", "errors", "0.5", ""), "K0004", 5, "on loopback");
    expect(&gate("http://127.0.0.1:9090", " ", "0.5", ""), "K0004", 6, "`gate.query`");
    expect(&gate("http://127.0.0.1:9090", "errors", "-0.5", ""), "K0004", 7, "`gate.max`");
    expect(&gate("http://127.0.0.1:9090", "errors", "nan", ""), "K0004", 7, "`gate.max`");
}
