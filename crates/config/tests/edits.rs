//! keyroll's own edits keep every comment and are refused where the result would be.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use keyroll_config::{
    Config, Copy, EntryPart, FileFormat, Name, NewApply, NewConsumer, NewSecret, Place, Signal, Source,
    WriteMode, add_consumer, add_secret,
};

const TEXT: &str = "#:schema ./keyroll.schema.json\n# ours\nversion = 1 # one\n\n[secrets.acme] # the key\n\
                    issuer = \"openrouter\"   # spaced\n# the end\n";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn adopted(apply: NewApply) -> NewConsumer {
    let copy = Copy {
        place: Place::EnvFile { path: "/srv/x.env".into(), variable: "KEY".to_owned() },
        source: Source::Field(name("value")),
        write: WriteMode::Rename,
        generated: None,
    };
    NewConsumer {
        secret: name("acme"),
        name: name("forgotten"),
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
fn a_copy_inside_a_file_is_written_as_it_is_read() {
    for (format, at, part) in [
        (FileFormat::Json, "/models/acme/apiKey", None),
        (FileFormat::Npmrc, "//registry.example/:_authToken", None),
        (FileFormat::Pgpass, "db:5432:orders", Some(EntryPart::User)),
        (FileFormat::GitCredentials, "https://git.example", Some(EntryPart::Password)),
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
    assert_eq!(add_consumer(TEXT, "keyroll.toml", &without_process).unwrap_err().code(), "K0012");
    let mut elsewhere = adopted(NewApply::Signal(Signal::Hup));
    elsewhere.secret = name("acne");
    let error = add_consumer(TEXT, "keyroll.toml", &elsewhere).unwrap_err();
    assert_eq!((error.code(), error.help()), ("K0014", Some("did you mean `acme`?")));
}

#[test]
fn a_secret_is_added() {
    let new =
        NewSecret { name: name("mail"), issuer: "sendgrid".to_owned(), admin: Some("file:./a".to_owned()) };
    let text = add_secret(TEXT, "keyroll.toml", &new).unwrap();
    assert!(text.contains("# spaced") && text.contains("[secrets.mail]\n"), "{text}");
    assert!(Config::parse(&text, "keyroll.toml").unwrap().secret("mail").is_ok());
    assert_eq!(add_secret(&text, "keyroll.toml", &new).unwrap_err().code(), "K0014");
    let empty = add_secret("version = 1\n", "keyroll.toml", &new).unwrap();
    assert!(Config::parse(&empty, "keyroll.toml").unwrap().secret("mail").is_ok());
    let value = NewSecret { name: name("x"), issuer: "a b".to_owned(), admin: None };
    assert_eq!(add_secret(TEXT, "keyroll.toml", &value).unwrap_err().code(), "K0004");
}
