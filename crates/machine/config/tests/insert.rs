//! Found secrets are inserted into a file, and no existing byte changes.

use keyroll_config::{
    Config, FoundConsumer, FoundSecret, Name, Said, comments, with_consumer, with_copy, with_secret,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn secret(text: &str) -> FoundSecret {
    let notes = vec!["shared by two\nissuer = \"evil\"".to_owned()];
    FoundSecret {
        name: name(text),
        notes,
        issuer: "openrouter".to_owned(),
        admin: Some("file:./a.key".to_owned()),
        table: None,
    }
}

fn consumer(text: &str) -> FoundConsumer {
    FoundConsumer {
        name: name(text),
        hosts: Vec::new(),
        notes: vec!["kept by nobody".to_owned()],
        runs: vec![
            ("restart", Said::Words(vec!["./x.sh".to_owned()])),
            ("pid_file", Said::Text("./x.pid".to_owned())),
        ],
        reads: vec![vec![("env_file", "./it's \"x\".env".to_owned()), ("variable", "KEY".to_owned())]],
        within: vec!["check".to_owned()],
        synced: false,
    }
}

/// The inserted text, if it is one piece.
#[track_caller]
fn added(old: &str, new: &str) -> String {
    let before = old.bytes().zip(new.bytes()).take_while(|(one, other)| one == other).count();
    let length = new.len() - old.len();
    assert_eq!(old[before..], new[before + length..], "more than an addition:\n{new}");
    new[before..before + length].to_owned()
}

fn parsed(text: &str) -> Config {
    Config::parse(text, "/srv/keyroll.toml").unwrap()
}

#[test]
fn a_secret_and_its_consumers_stand_behind_what_is_there() {
    let old = "# ours\r\nversion = 1 # one\r\n# the end";
    let text = with_secret(old, "/srv/keyroll.toml", &secret("a.b")).unwrap();
    let block = added(old, &text);
    assert!(
        block.contains("[secrets.\"a.b\"]\r\n") && !block.replace("\r\n", "").contains('\n'),
        "{block:?}"
    );
    let both = with_consumer(&text, "/srv/keyroll.toml", &name("a.b"), &consumer("x")).unwrap();
    added(&text, &both);
    let config = parsed(&both);
    let known = config.secret("a.b").unwrap();
    assert_eq!(known.consumer("x").unwrap().reads[0].place.path().to_str(), Some("/srv/it's \"x\".env"));
    // A line end in a comment begins no line.
    assert!(config.secret("a.b").is_ok() && both.contains("# shared by two issuer = \"evil\""), "{both}");
    for error in [
        with_secret(&both, "k", &secret("a.b")).unwrap_err(),
        with_consumer(&both, "k", &name("a.b"), &consumer("x")).unwrap_err(),
        with_consumer(&both, "k", &name("c"), &consumer("x")).unwrap_err(),
    ] {
        assert_eq!(error.code().as_str(), "K0014");
    }
}

#[test]
fn a_consumer_stands_behind_those_of_its_secret_wherever_they_are() {
    let of = |text: &str| format!("version = 1\n{text}");
    let one = "{ name = \"w\", runs = { at_rest = true }, reads = { file = \"./w\" } }";
    for old in [
        of("[secrets.a]\nissuer = \"openrouter\" # here\n\n# of b\n[secrets.b]\nissuer = \"openrouter\"\n"),
        of(&format!(
            "[secrets.a]\nissuer = \"openrouter\"\nconsumers = [{one}] # ours\n[secrets.b]\nissuer = \"openrouter\""
        )),
        of(&format!("[secrets.a]\nissuer = \"openrouter\"\nconsumers = [\n  {one}, # ours\n  # more\n]\n")),
        of("[secrets.a]\nissuer = \"openrouter\"\nconsumers = [ ]\n"),
        of(
            "[secrets.a]\nissuer = \"openrouter\"\n[[secrets.a.consumers]]\nname = \"w\"\nruns = { at_rest = true }\nreads = [\n \
            { file = \"./w\" },\n]\n[secrets.b]\nissuer = \"openrouter\"\n[secrets.a.revoke]\nsoak = \"0s\"\n# end\n",
        ),
        of("secrets.b.issuer = \"openrouter\"\n[secrets.a]\nissuer = \"openrouter\""),
    ] {
        let text = with_consumer(&old, "/srv/keyroll.toml", &name("a"), &consumer("x")).unwrap();
        let block = added(&old, &text);
        assert!(block.contains("\"x\"") || block.contains("x.sh"), "{text}");
        let (before, after) = (parsed(&old), parsed(&text));
        let count = |config: &Config| config.secret("a").unwrap().consumers.len();
        assert_eq!(count(&after), count(&before) + 1, "{text}");
        assert!(after.secret("a").unwrap().consumer("x").is_some(), "{text}");
    }
    // If nothing can be inserted, the text stays unchanged.
    let inline = of("secrets = { a = { issuer = \"openrouter\" } }\n");
    assert!(with_consumer(&inline, "k", &name("a"), &consumer("x")).is_err());
}

#[test]
fn a_consumer_names_its_machine_or_all_of_them() {
    let hosts: String = ["web-1", "web-2"]
        .iter()
        .map(|name| format!("[hosts.{name}]\nconnect = \"ssh://{name}\"\nfolder = \"/srv/{name}\"\n"))
        .collect();
    for (secret, known) in [
        ("[secrets.a]\nissuer = \"openrouter\"\n", 0),
        (
            "[secrets.a]\nissuer = \"openrouter\"\nconsumers = [{ name = \"w\", runs = { at_rest = true }, reads = { file = \"./w\" } }]\n",
            1,
        ),
    ] {
        let old = format!("version = 1\n{hosts}{secret}");
        for (on, wanted) in [
            (vec!["web-2"], vec![("x", "web-2", "/srv/web-2/it's \"x\".env")]),
            (
                vec!["web-1", "web-2"],
                vec![
                    ("x@web-1", "web-1", "/srv/web-1/it's \"x\".env"),
                    ("x@web-2", "web-2", "/srv/web-2/it's \"x\".env"),
                ],
            ),
        ] {
            let new = FoundConsumer { hosts: on.into_iter().map(name).collect(), ..consumer("x") };
            let text = with_consumer(&old, "/etc/keyroll.toml", &name("a"), &new).unwrap();
            added(&old, &text);
            let config = parsed(&text);
            let consumers = &config.secret("a").unwrap().consumers[known..];
            let are: Vec<(&str, &str, &str)> = consumers
                .iter()
                .map(|one| {
                    (one.name.as_str(), one.host.as_str(), one.reads[0].place.path().to_str().unwrap())
                })
                .collect();
            assert_eq!(are, wanted, "{text}");
        }
        let absent = FoundConsumer { hosts: vec![name("web-3")], ..consumer("x") };
        assert!(with_consumer(&old, "/etc/keyroll.toml", &name("a"), &absent).is_err());
    }
}

#[test]
fn what_external_secrets_writes_is_said_so() {
    for secret in
        ["[secrets.a]\nissuer = \"openrouter\"\n", "[secrets.a]\nissuer = \"openrouter\"\nconsumers = []\n"]
    {
        let old = format!("version = 1\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n{secret}");
        for synced in [true, false] {
            let new = FoundConsumer {
                hosts: vec![name("prod")],
                runs: vec![("deployment", Said::Text("agent".to_owned()))],
                reads: vec![vec![("secret", "s".to_owned()), ("key", "k".to_owned())]],
                synced,
                ..consumer("x")
            };
            let text = with_consumer(&old, "/etc/keyroll.toml", &name("a"), &new).unwrap();
            added(&old, &text);
            let config = parsed(&text);
            let [one] = config.secret("a").unwrap().consumers.as_slice() else { panic!("{text}") };
            assert_eq!(one.in_cluster.as_ref().map(|pods| pods.synced), Some(synced), "{text}");
        }
    }
}

#[test]
fn a_copy_stands_beside_the_others_of_its_consumer() {
    let new = vec![("file", "./new".to_owned())];
    for (reads, wanted) in [
        ("{ file = \"./w\" } # ours", "[{ file = \"./w\" }, { file = \"./new\" }] # ours"),
        ("[ { file = \"./w\" } , ]", "[ { file = \"./w\" }, { file = \"./new\" } , ]"),
    ] {
        let of = |reads: &str| {
            format!(
                "version = 1\n[secrets.a]\nissuer = \"openrouter\"\n[[secrets.a.consumers]]\nname = \"w\"\n\
                 runs = {{ at_rest = true }}\nreads = {reads}\n"
            )
        };
        let text = with_copy(&of(reads), "/srv/keyroll.toml", (&name("a"), &name("w")), &new).unwrap();
        assert_eq!(text, of(wanted));
        assert!(
            with_copy(&text, "/srv/keyroll.toml", (&name("a"), &name("w")), &new).is_err(),
            "it is named twice"
        );
    }
    let tables = "version = 1\n[secrets.a]\nissuer = \"openrouter\"\n[[secrets.a.consumers]]\nname = \"w\"\n\
                  runs = { at_rest = true }\n[secrets.a.consumers.reads]\nfile = \"./w\"\n";
    let error = with_copy(tables, "k", (&name("a"), &name("w")), &new).unwrap_err();
    assert_eq!(error.code().as_str(), "K0014");
}

#[test]
fn a_comment_goes_on_in_the_next_line() {
    let long = vec!["word ".repeat(60).trim_end().to_owned(), "a\u{1b}[2Jb\r\nc".to_owned()];
    let lines = comments(&long);
    assert!(
        lines.len() > 2 && lines.iter().all(|line| line.starts_with('#') && line.len() <= 118),
        "{lines:?}"
    );
    assert_eq!(lines.last().unwrap(), "# a [2Jb  c");
}

#[test]
fn a_comment_has_no_character_that_changes_how_the_line_is_read() {
    let lines = comments(&["a\u{202e}b\u{200b}c\u{2066}d".to_owned()]);
    assert_eq!(lines, ["# a b c d"]);
}
