//! `reads = "store"`: the program reads the secret's store itself, and has no copy.

use keyroll_config::{Check, Config, NewApply, replace_consumer, with_copy};

use crate::edits::adopted;
use crate::refuses::{expect, with_consumer, with_secret};

const GUIDE: &str = include_str!("../../../../docs/guides/programs-that-read-the-store.md");
const STORE: &str = "store = \"vault:kv/agents/acme#key\"\n";
const UNIT: &str = "runs = { unit = \"app.service\" }\n";
const READS: &str = "reads = \"store\"\n";

fn config(text: &str) -> Config {
    Config::parse(text, "/srv/app/keyroll.toml").unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

/// A consumer with these lines, of a secret with a store at Vault. Its `runs` stands in line 7.
fn follower(lines: &str) -> String {
    with_secret(&format!("{STORE}[[secrets.acme.consumers]]\nname = \"api\"\n{lines}"))
}

/// The mistake stands in this line, contains these words, and says what to write instead.
#[track_caller]
fn refused(text: &str, line: usize, words: &str) {
    expect(text, "K0004", line, words);
    let error = Config::parse(text, "keyroll.toml").unwrap_err();
    assert!(error.help().is_some_and(|help| !help.is_empty()), "{error} has no help");
}

#[test]
fn a_program_that_reads_the_store_has_no_copy_and_follows_it() {
    for store in ["vault:kv/agents/acme#key", "aws-sm:prod/acme#KEY", "file:./acme.key", "exec:./store#acme"]
    {
        let config = config(&follower(&format!("{UNIT}{READS}")).replace("vault:kv/agents/acme#key", store));
        let secret = config.secret("acme").unwrap();
        assert_eq!(secret.store.to_string(), store);
        let consumer = secret.consumer("api").unwrap();
        assert!(consumer.follows && consumer.is_pull() && consumer.reads.is_empty());
        assert!(consumer.serves.is_none() && consumer.fetch.is_none());
    }
    let text = format!("{UNIT}fetch = [\"./get\"]\nreads = {{ file = \"./k\" }}\n");
    let config = config(&follower(&text));
    let fetches = config.secret("acme").unwrap().consumer("api").unwrap();
    assert!(fetches.is_pull() && !fetches.follows);
}

#[test]
fn it_is_restarted_or_reads_the_store_again_or_is_a_job() {
    for runs in [
        "{ restart = [\"./r\", \"{instance}\"], instances = [\"a\", \"b\"], pid_file = \"./{instance}.pid\" }",
        "{ rereads = true, process = \"/usr/bin/agent\" }",
        "{ unit = \"app.service\" }",
        "{ timer = \"job.timer\" }",
        "{ compose = \"./shop\", service = \"web\" }",
        "{ container = \"web\" }",
        "{ container = \"web\", rereads = true }",
        "{ at_rest = true }",
        "{ supervisor = \"web\" }",
        "{ master = \"./run/gunicorn.pid\" }",
        "{ cron = \"/etc/cron.d/job\" }",
        "{ exec = [\"./adapter\"] }",
    ] {
        let config = config(&follower(&format!("runs = {runs}\n{READS}")));
        assert!(config.secret("acme").unwrap().consumers[0].follows, "{runs}");
    }
    for (runs, words) in [
        ("{ signal = \"HUP\", pid_file = \"./p\" }", "the same process goes on"),
        ("{ litellm = \"http://127.0.0.1:4000\" }", "finds the proxy's models by its copy"),
        ("{ openclaw = \"./claw\", provider = \"openai\" }", "finds the gateway's key by its copy"),
        ("{ openclaw = \"./claw\", provider = \"openai\", unit = \"claw.service\" }", "by its copy"),
    ] {
        refused(&follower(&format!("runs = {runs}\n{READS}")), 7, words);
    }
}

#[test]
fn its_checks_may_have_a_copy_which_keyroll_makes() {
    let more = "log = { file = \"./l\", failure = \"401\" }\ncheck = { exec = [\"./check.sh\", \"{copy}\"] }\n\
                [[secrets.acme.consumers.paths]]\nname = \"fallback\"\ncheck = { http = \"http://127.0.0.1:8000/check\" }\n";
    let config = config(&follower(&format!("{UNIT}{READS}{more}")));
    let consumer = &config.secrets["acme"].consumers[0];
    let Some(Check::Exec(argv)) = &consumer.check else { panic!("{:?}", consumer.check) };
    assert!(argv.uses("copy"));
    assert!(matches!(&consumer.paths[0].check, Check::Http(_)) && consumer.log.is_some());
    for (check, words) in [
        ("{ turn = \"openai/x\" }", "goes with `runs.openclaw`"),
        ("{ exec = [\"./p\", \"{copy}\"], turn = \"openai/x\" }", "goes with `runs.openclaw`"),
        ("{ litellm = \"http://127.0.0.1:4000\", config = \"./c\" }", "asks a proxy"),
    ] {
        refused(&follower(&format!("{UNIT}{READS}check = {check}\n")), 9, words);
        let path = format!("{UNIT}{READS}[[secrets.acme.consumers.paths]]\nname = \"p\"\ncheck = {check}\n");
        refused(&follower(&path), 11, words);
    }
}

#[test]
fn reads_knows_one_word() {
    for word in ["", "stor", "STORE", "vault", "./k"] {
        let text = follower(&format!("{UNIT}reads = \"{word}\"\n"));
        refused(&text, 8, "a table, an array of tables, or `\"store\"`");
    }
    expect(&follower(&format!("{UNIT}reads = true\n")), "K0004", 8, "the text `store`");
}

#[test]
fn the_secret_has_a_store_that_programs_can_read() {
    let line = format!("{UNIT}{READS}");
    refused(&with_consumer(&line), 7, "keyroll's own");
    refused(&follower(&line).replace("vault:kv/agents/acme#key", "keyroll"), 8, "keyroll's own");
    // The first consumer that says so is named, and another one that has copies is not.
    let copies =
        "[[secrets.acme.consumers]]\nname = \"web\"\nruns = { at_rest = true }\nreads = { file = \"./k\" }\n";
    let both = with_secret(&format!("{copies}[[secrets.acme.consumers]]\nname = \"api\"\n{line}"));
    refused(&both, 11, "keyroll's own");
}

#[test]
fn what_only_a_copy_has_does_not_go_with_it() {
    refused(&follower(&format!("{UNIT}{READS}fetch = [\"./get\"]\n")), 9, "`fetch` does not go with");
    let serves = "serves = { uid = \"agent\", exe = \"/bin/x\" }\n";
    refused(&follower(&format!("{serves}{READS}")), 8, "`reads` does not go with `serves`");
    for kind in ["delivered", "read"] {
        let revoke = format!("[secrets.acme.revoke]\nrequire = [\"loaded\", \"{kind}\"]\n");
        refused(&follower(&format!("{UNIT}{READS}{revoke}")), 10, &format!("`revoke.require` has `{kind}`"));
        let copy = format!("{UNIT}reads = {{ file = \"./k\" }}\n{revoke}");
        config(&follower(&copy));
    }
    let revoke = "[secrets.acme.revoke]\nrequire = [\"loaded\", \"checked\", \"exercised\", \"reported\"]\n";
    config(&follower(&format!("{UNIT}{READS}{revoke}")));
}

#[test]
fn an_edit_gives_it_no_copy_beside_the_store() {
    let text = follower(&format!("{UNIT}{READS}"));
    let mut new = adopted(NewApply::AtRest);
    (new.process, new.check) = (None, None);
    new.name = config(&text).secrets["acme"].consumers[0].name.clone();
    let copy = vec![("file", "./k".to_owned())];
    let error = with_copy(&text, "keyroll.toml", (&new.secret, &new.name), &copy).unwrap_err();
    assert!(error.code() == "K0014" && error.message().contains("reads the store itself"), "{error}");
    // A replaced consumer has the copies of the new one alone.
    let replaced = config(&replace_consumer(&text, "keyroll.toml", &new).unwrap());
    let consumer = &replaced.secrets["acme"].consumers[0];
    assert!(!consumer.follows && consumer.reads == new.reads);
}

#[test]
fn the_files_of_the_guide_are_valid() {
    let blocks = GUIDE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole: Vec<&str> = blocks.filter(|block| block.starts_with("version = 1\n")).collect();
    assert_eq!(whole.len(), 2, "one with a restart, one that reads again");
    for text in whole {
        let config = config(text);
        assert!(config.secrets["openai"].consumers.iter().all(|consumer| consumer.follows));
    }
}
