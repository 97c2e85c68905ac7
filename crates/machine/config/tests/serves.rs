//! A consumer that gets its value from keyroll's socket has one process and no file of its own.

use std::path::Path;

use keyroll_config::{Check, Config, NewApply, Serves, add_consumer, replace_consumer, with_copy};
use keyroll_manager::Served;

use crate::edits::adopted;
use crate::refuses::{expect, with_consumer, with_secret};

const SERVES: &str = "serves = { uid = \"agent\", exe = \"/usr/bin/python3.11\" }\n";

fn config(text: &str) -> Config {
    Config::parse(text, "/srv/app/keyroll.toml").unwrap_or_else(|error| panic!("{error} {:?}", error.help()))
}

/// The table of one consumer, which is served to this process.
fn consumer(name: &str, uid: &str, exe: &str) -> String {
    format!(
        "[[secrets.acme.consumers]]\nname = \"{name}\"\nserves = {{ uid = \"{uid}\", exe = \"{exe}\" }}\n"
    )
}

#[test]
fn a_served_consumer_has_one_instance_and_no_copy_of_its_own() {
    let config = config(&with_consumer(SERVES));
    let consumer = config.secret("acme").unwrap().consumer("api").unwrap();
    let serves = Serves { user: "agent".to_owned(), exe: "/usr/bin/python3.11".into() };
    assert_eq!((consumer.serves.as_ref(), consumer.trusts_word), (Some(&serves), false));
    assert!(consumer.reads.is_empty());
    let [instance] = consumer.runs.instances() else { panic!("{:?}", consumer.runs) };
    assert_eq!((instance.name.as_str(), instance.port), ("main", None));
    assert_eq!(format!("{:?}", instance.workload), format!("{:?}", Served::new("acme", "api")));
    assert_eq!((&consumer.runs.ready, consumer.runs.drain), (&None, None));
    assert!(!consumer.is_pull() && consumer.log.is_none() && consumer.check.is_none());
}

#[test]
fn a_served_consumer_may_be_trusted_and_checked() {
    let more = "trusts = \"own word\"\ncheck = { exec = [\"./probe.sh\"] }\n\
                [[secrets.acme.consumers.paths]]\nname = \"fallback\"\ncheck = { http = \"http://127.0.0.1:8000/check\" }\n";
    let config = config(&with_consumer(&format!("host = \"local\"\n{SERVES}{more}")));
    let consumer = &config.secrets["acme"].consumers[0];
    assert!(consumer.trusts_word);
    assert!(matches!(&consumer.check, Some(Check::Exec(_))));
    assert!(matches!(&consumer.paths[0].check, Check::Http(_)));
}

#[test]
fn a_user_is_a_name_or_a_number_and_an_executable_a_path() {
    let read = |uid: &str, exe: &str| {
        let config = config(&with_secret(&consumer("api", uid, exe)));
        config.secrets["acme"].consumers[0].serves.clone().unwrap()
    };
    for (uid, user) in [("www-data", "www-data"), ("_x.y$", "_x.y$"), ("0", "0"), ("01001", "1001")] {
        assert_eq!(read(uid, "/x").user, user);
    }
    assert_eq!(read("agent", "./bin/agent").exe, Path::new("/srv/app/bin/agent"));
    let refused = |uid: &str, exe: &str, words: &str| {
        expect(&with_secret(&consumer("api", uid, exe)), "K0004", 6, words);
    };
    for uid in ["", "-x", "a b", "a:b", "a/b", "é", "4294967295", "99999999999", &"u".repeat(33)] {
        refused(uid, "/x", "the name or the number of a local user");
    }
    refused("agent", "python3.11", "path of an executable, not a name");
    refused("agent", "", "path of an executable, not a name");
    refused("agent", "/usr/../bin/x", "`serves.exe` has `..`");
}

#[test]
fn the_table_has_exactly_its_two_keys() {
    let serves = |table: &str| with_consumer(&format!("serves = {table}\n"));
    expect(&serves("{ exe = \"/x\" }"), "K0004", 6, "`uid` is missing");
    expect(&serves("{ uid = \"agent\" }"), "K0004", 6, "`exe` is missing");
    expect(&serves("{ uid = \"agent\", exe = \"/x\", pid = \"1\" }"), "K0004", 6, "unknown key `pid`");
    expect(&serves("{ uid = 1001, exe = \"/x\" }"), "K0004", 6, "a string");
    expect(&serves("\"agent\""), "K0004", 6, "the wrong form");
}

#[test]
fn a_consumer_has_runs_and_reads_or_it_is_served() {
    let (runs, reads) = ("runs = { at_rest = true }\n", "reads = { file = \"./k\" }\n");
    for (lines, missing) in [("", "`runs`"), (reads, "`runs`"), (runs, "`reads`")] {
        expect(&with_consumer(lines), "K0004", 4, &format!("the key {missing} is missing"));
        expect(&with_consumer(lines), "K0004", 4, "or it has `serves`");
    }
    let log = "log = { file = \"./l\", failure = \"x\" }\n";
    for stray in [runs, reads, "fetch = [\"./get\"]\n", log] {
        let key = stray.split(' ').next().unwrap();
        let words = format!("`{key}` does not go with `serves`");
        expect(&with_consumer(&format!("{SERVES}{stray}")), "K0004", 7, &words);
    }
}

#[test]
fn only_the_own_word_of_a_served_consumer_is_trusted() {
    let trusts = |word: &str| with_consumer(&format!("{SERVES}trusts = \"{word}\"\n"));
    for word in ["", "own", "issuer", "OWN WORD"] {
        expect(&trusts(word), "K0004", 7, "`trusts` must be one of `own word`");
    }
    expect(&trusts("own-word"), "K0004", 7, "did you mean `own word`?");
    let reads = "runs = { at_rest = true }\nreads = { file = \"./k\" }\ntrusts = \"own word\"\n";
    expect(&with_consumer(reads), "K0004", 8, "`trusts` goes with `serves`");
}

#[test]
fn checks_of_a_served_consumer_need_no_copy_no_agent_and_no_proxy() {
    let litellm = "{ litellm = \"http://127.0.0.1:4000\", config = \"./c\" }";
    for (check, words) in [
        ("{ exec = [\"./p\", \"{copy}\"] }", "has no copy"),
        ("{ turn = \"openai/x\" }", "goes with `runs.openclaw`"),
        ("{ exec = [\"./p\"], turn = \"openai/x\" }", "goes with `runs.openclaw`"),
        (litellm, "asks a proxy"),
    ] {
        expect(&with_consumer(&format!("{SERVES}check = {check}\n")), "K0004", 7, words);
        let path = format!("{SERVES}[[secrets.acme.consumers.paths]]\nname = \"p\"\ncheck = {check}\n");
        expect(&with_consumer(&path), "K0004", 9, words);
    }
}

#[test]
fn two_consumers_of_one_secret_are_told_apart_by_user_or_executable() {
    let two = |first: (&str, &str), second: (&str, &str)| {
        let second = consumer("b", second.0, second.1);
        with_secret(&format!("{}{second}", consumer("a", first.0, first.1)))
    };
    for second in [("agent", "/bin/y"), ("other", "/bin/x")] {
        assert_eq!(config(&two(("agent", "/bin/x"), second)).secrets["acme"].consumers.len(), 2);
    }
    let words = "consumers `a` and `b` of secret `acme` serve the same user and executable";
    expect(&two(("agent", "/bin/x"), ("agent", "/bin/./x")), "K0004", 9, words);
    expect(&two(("1001", "/bin/x"), ("01001", "/bin/x")), "K0004", 9, words);
    let files = "[[secrets.acme.consumers]]\nname = \"c\"\nruns = { at_rest = true }\nreads = { file = \"./c\" }\n\
                 [[secrets.acme.consumers]]\nname = \"d\"\nruns = { at_rest = true }\nreads = { file = \"./d\" }\n";
    assert_eq!(config(&with_secret(files)).secrets["acme"].consumers.len(), 2, "neither is served");
    let own = consumer("a", "agent", "/bin/x");
    let other = format!("[secrets.zeta]\nissuer = \"x\"\n{}", own.replace("secrets.acme", "secrets.zeta"));
    let config = config(&with_secret(&format!("{own}{other}")));
    let runs = &config.secrets["zeta"].consumers[0].runs;
    assert_eq!(format!("{:?}", runs.instances()[0].workload), format!("{:?}", Served::new("zeta", "a")));
}

#[test]
fn an_edit_gives_a_served_consumer_no_copy_and_another_consumer_no_socket() {
    let text = with_consumer(SERVES);
    let mut new = adopted(NewApply::AtRest);
    (new.process, new.check) = (None, None);
    let good = add_consumer(&text, "keyroll.toml", &new).unwrap();
    assert!(good.contains(SERVES.trim_end()), "{good}");
    let served = config(&text).secrets["acme"].consumers[0].clone();
    new.reads = served.reads;
    assert_eq!(add_consumer(&text, "keyroll.toml", &new).unwrap_err().code(), "K0004");
    let mut over = adopted(NewApply::AtRest);
    (over.name, over.process, over.check) = (served.name.clone(), None, None);
    let error = replace_consumer(&text, "keyroll.toml", &over).unwrap_err();
    assert!(error.message().contains("does not go with `serves`"), "{error}");
    let copy = vec![("file", "./k".to_owned())];
    let error = with_copy(&text, "keyroll.toml", (&over.secret, &over.name), &copy).unwrap_err();
    assert_eq!(error.code(), "K0014");
}
