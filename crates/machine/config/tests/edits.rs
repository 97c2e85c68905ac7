//! keyroll's own edits keep every comment, and are refused if the result would be invalid.

use keyroll_config::{
    Config, ConsumerSplit, Copy, Name, NewApply, NewConsumer, NewSecret, OtherKey, Place, Signal, Source,
    WriteMode, accept_key, add_consumer, add_secret, join_consumers, split_consumer, withdraw_key,
};

const TEXT: &str = "#:schema ./keyroll.schema.json\n# ours\nversion = 1 # one\n\n[secrets.acme] # the key\n\
                    issuer = \"openrouter\"   # spaced\n# the end\n";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn adopted(apply: NewApply) -> NewConsumer {
    let copy = Copy {
        place: Place::EnvFile { path: "/srv/x.env".into(), variable: "KEY".to_owned() },
        source: Source::Field(name("value")),
        write: WriteMode::Rename,
        generated: None,
    };
    NewConsumer {
        secret: name("acme"),
        name: name("forgotten"),
        host: None,
        apply,
        process: Some(("/usr/bin/worker".to_owned(), Some("--tag={x}".to_owned()))),
        pid_file: None,
        reads: vec![copy],
        check: Some(vec!["/srv/probe.sh".to_owned(), "{copy}".to_owned()]),
    }
}

#[test]
fn an_adopted_consumer_is_appended_and_nothing_else_changes() {
    let new = adopted(NewApply::Restart(vec!["/srv/restart.sh".to_owned(), "now".to_owned()]));
    let text = add_consumer(TEXT, "keyroll.toml", &new).unwrap();
    for line in TEXT.lines() {
        assert!(text.lines().any(|other| other == line), "{line} is gone:\n{text}");
    }
    let config = Config::parse(&text, "keyroll.toml").unwrap();
    let consumer = config.secret("acme").unwrap().consumer("forgotten").unwrap();
    assert_eq!(consumer.reads, new.reads);
    assert!(matches!(&consumer.check, Some(keyroll_config::Check::Exec(words)) if words.uses("copy")));
    let twice = add_consumer(&text, "keyroll.toml", &new).unwrap_err();
    assert_eq!(twice.code(), "K0014");
    let mut second = adopted(NewApply::Signal(Signal::Hup));
    second.name = name("second");
    let text = add_consumer(&text, "keyroll.toml", &second).unwrap();
    assert_eq!(Config::parse(&text, "keyroll.toml").unwrap().secret("acme").unwrap().consumers.len(), 2);
}

#[test]
fn a_consumer_of_a_host_is_written_with_its_host_and_its_unit() {
    let hosts = "[hosts.web-2]\nconnect = \"ssh://web-2\"\nfolder = \"/srv/app\"\n";
    let new = NewConsumer {
        host: Some(name("web-2")),
        process: None,
        ..adopted(NewApply::Unit("mailer.service".to_owned()))
    };
    let text = add_consumer(&format!("{TEXT}{hosts}"), "keyroll.toml", &new).unwrap();
    assert!(text.contains("host = \"web-2\"") && text.contains("unit = \"mailer.service\""), "{text}");
    let config = Config::parse(&text, "keyroll.toml").unwrap();
    let consumer = config.secret("acme").unwrap().consumer("forgotten").unwrap();
    assert!(!consumer.is_here && consumer.host.as_str() == "web-2");
    assert_eq!(consumer.reads, new.reads);
    // The host is not declared: nothing there could be reached.
    assert!(add_consumer(TEXT, "keyroll.toml", &new).is_err());
}

#[test]
fn a_copy_inside_a_file_is_written_as_it_is_read() {
    for (format, at, part) in [
        (keyroll_copy::Format::Json, "/models/acme/apiKey", None),
        (keyroll_copy::Format::Npmrc, "//registry.example/:_authToken", None),
        (keyroll_copy::Format::Pgpass, "db:5432:orders", Some(keyroll_copy::Part::User)),
        (keyroll_copy::Format::GitCredentials, "https://git.example", Some(keyroll_copy::Part::Password)),
    ] {
        let mut new = adopted(NewApply::Signal(Signal::Hup));
        new.reads[0].place = Place::Inside { path: "/srv/x".into(), format, at: at.to_owned(), part };
        let text = add_consumer(TEXT, "keyroll.toml", &new).unwrap();
        let config = Config::parse(&text, "keyroll.toml").unwrap();
        assert_eq!(config.secret("acme").unwrap().consumer("forgotten").unwrap().reads, new.reads);
    }
}

#[test]
fn an_edit_that_would_be_refused_is_refused() {
    let mut without_process = adopted(NewApply::Signal(Signal::Hup));
    without_process.process = None;
    assert_eq!(add_consumer(TEXT, "keyroll.toml", &without_process).unwrap_err().code(), "K0004");
    let mut elsewhere = adopted(NewApply::Signal(Signal::Hup));
    elsewhere.secret = name("acne");
    let error = add_consumer(TEXT, "keyroll.toml", &elsewhere).unwrap_err();
    assert_eq!((error.code().as_str(), error.help()), ("K0014", Some("did you mean `acme`?")));
}

#[test]
fn a_secret_is_added() {
    let new = NewSecret {
        name: name("mail"),
        issuer: "sendgrid".to_owned(),
        admin: Some("file:./a".to_owned()),
        fields: Vec::new(),
    };
    let text = add_secret(TEXT, "keyroll.toml", &new).unwrap();
    assert!(text.contains("# spaced") && text.contains("[secrets.mail]\n"), "{text}");
    assert!(Config::parse(&text, "keyroll.toml").unwrap().secret("mail").is_ok());
    assert_eq!(add_secret(&text, "keyroll.toml", &new).unwrap_err().code(), "K0014");
    let empty = add_secret("version = 1\n", "keyroll.toml", &new).unwrap();
    assert!(Config::parse(&empty, "keyroll.toml").unwrap().secret("mail").is_ok());
    let fields = vec![(name("account"), false), (name("value"), true)];
    let two = add_secret(TEXT, "keyroll.toml", &NewSecret { fields, ..new.clone() }).unwrap();
    let two = Config::parse(&two, "keyroll.toml").unwrap();
    let fields: Vec<bool> = two.secret("mail").unwrap().fields.values().map(|field| field.secret).collect();
    assert_eq!(fields, [false, true]);
    let value = NewSecret { name: name("x"), issuer: "a b".to_owned(), ..new };
    assert_eq!(add_secret(TEXT, "keyroll.toml", &value).unwrap_err().code(), "K0004");
}

#[test]
fn a_key_of_another_keyroll_is_accepted_and_withdrawn() {
    let key = |id: &str, label: &str| OtherKey { id: id.to_owned(), label: label.to_owned() };
    let (first, second) = (key("9f31", "keyroll/01b7/4"), key("a\"b", "keyroll/01b8/4"));
    let keys =
        |text: &str| Config::parse(text, "keyroll.toml").unwrap().secret("acme").unwrap().other_keys.clone();
    let one = accept_key(TEXT, "keyroll.toml", "acme", &first).unwrap();
    for line in TEXT.lines() {
        assert!(one.lines().any(|other| other == line), "{line} is gone:\n{one}");
    }
    assert_eq!(keys(&one), std::slice::from_ref(&first));
    assert_eq!(accept_key(&one, "keyroll.toml", "acme", &first).unwrap(), one, "it is there already");
    let two = accept_key(&one, "keyroll.toml", "acme", &second).unwrap();
    assert_eq!(keys(&two), [first.clone(), second.clone()]);
    assert_eq!(
        keys(&withdraw_key(&two, "keyroll.toml", "acme", &first).unwrap()),
        std::slice::from_ref(&second)
    );
    assert_eq!(
        withdraw_key(&one, "keyroll.toml", "acme", &second).unwrap(),
        one,
        "only the id and the label"
    );
    let tables = "[[secrets.acme.other_keys]]\nid = \"9f31\"\nlabel = \"keyroll/01b7/4\"\n";
    let tables = accept_key(&format!("{TEXT}{tables}"), "keyroll.toml", "acme", &second).unwrap();
    assert_eq!(keys(&tables), [first.clone(), second.clone()]);
    assert_eq!(keys(&withdraw_key(&tables, "keyroll.toml", "acme", &first).unwrap()), [second]);
    let wrong = key("9f31", "keyroll/01b7");
    assert_eq!(accept_key(TEXT, "keyroll.toml", "acme", &wrong).unwrap_err().code(), "K0004");
    assert_eq!(accept_key(TEXT, "keyroll.toml", "acne", &first).unwrap_err().code(), "K0014");
}

fn split<'a>(secret: &'a Name, consumer: &'a Name, member: &'a Name) -> ConsumerSplit<'a> {
    ConsumerSplit { secret, consumer, member }
}

const SHARED: &str = "version = 1\n\n# the shared one\n[secrets.acme]\nissuer = \"openrouter\" # spaced\n\
    [secrets.acme.revoke]\nsoak = \"5s\"\n\n# the front\n[[secrets.acme.consumers]]\nname = \"api\" # first\n\
    runs = { at_rest = true }\nreads = { env_file = \"./a.env\", variable = \"KEY\" }\n\n\
    [[secrets.acme.consumers]]\nname = \"worker\"\nruns = { at_rest = true }\n\
    reads = { env_file = \"./b.env\", variable = \"KEY\" }\n\n[secrets.other]\nissuer = \"openrouter\"\n";

#[test]
fn a_consumer_gets_a_secret_of_its_own_with_the_same_settings() {
    let (acme, api, own) = (name("acme"), name("api"), name("acme-api"));
    let text = split_consumer(SHARED, "keyroll.toml", &split(&acme, &api, &own)).unwrap();
    for line in SHARED.lines().filter(|line| !line.starts_with("[[")) {
        assert!(text.lines().any(|other| other == line), "{line} is gone:\n{text}");
    }
    let (before, after) = (Config::parse(SHARED, "k.toml").unwrap(), Config::parse(&text, "k.toml").unwrap());
    assert_eq!(after.secrets[&acme].consumers, before.secrets[&acme].consumers[1..]);
    let mut wanted = before.secrets[&acme].clone();
    (wanted.name, wanted.consumers) = (own.clone(), before.secrets[&acme].consumers[..1].to_vec());
    assert_eq!(after.secrets[&own], wanted);
    assert!(
        split_consumer(&text, "k.toml", &split(&acme, &name("worker"), &own)).is_err(),
        "the name is taken"
    );
    assert!(
        split_consumer(&text, "k.toml", &split(&acme, &api, &name("x"))).is_err(),
        "it is not there any more"
    );
    let worker = name("acme-worker");
    let text = split_consumer(&text, "k.toml", &split(&acme, &name("worker"), &worker)).unwrap();
    assert!(Config::parse(&text, "k.toml").unwrap().secrets[&acme].consumers.is_empty());
    // Reversed, to inspect all of them at once.
    let text = join_consumers(&text, "k.toml", &acme, &[own, worker]).unwrap();
    assert_eq!(Config::parse(&text, "k.toml").unwrap(), before);
}

#[test]
fn an_inline_list_of_consumers_is_split_too() {
    let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nconsumers = [\n  # the front\n  { name = \
        \"api\", runs = { at_rest = true }, reads = { env_file = \"./a.env\", variable = \"KEY\" } },\n]\n";
    let (acme, own) = (name("acme"), name("acme-api"));
    let split = split_consumer(text, "k.toml", &split(&acme, &name("api"), &own)).unwrap();
    assert!(Config::parse(&split, "k.toml").unwrap().secrets[&acme].consumers.is_empty(), "{split}");
    let joined = join_consumers(&split, "k.toml", &acme, &[own]).unwrap();
    assert_eq!(Config::parse(&joined, "k.toml").unwrap(), Config::parse(text, "k.toml").unwrap());
}
