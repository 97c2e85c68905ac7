//! Answers of a program: which of them keyroll believes, and what is known about a write without one.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::{Credential, Fields, SecretBytes};
use keyroll_testkit::tag;
use keyroll_truth::{ExecSecret, exec, store_program_schema};

use crate::exec_sample::Scene;
use crate::sample::{by, credential, failed, shown, value};

/// The end of a write in the good program.
const WRITTEN: &str = "        say({'version': str(version + 1)})";

async fn written(scene: &Scene) -> (Failure, Credential) {
    let new = credential();
    let outcome = scene.truth().give_out(&by(3), &scene.old, &new).await;
    (failed(outcome, &[&scene.old, &new]), new)
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_believed() {
    let read = r#"{"protocol":1,"version":"7","value":"canary0017"}"#;
    for (line, why) in [
        ("echo canary0017".to_owned(), "no JSON"),
        ("true".to_owned(), "one line"),
        (format!("echo '{read}'; echo canary0017"), "one line"),
        (format!("printf '%s' '{read}'"), "one line"),
        (format!("echo '{read}'; exit 1"), "ended with"),
        ("exit 1".to_owned(), "no single line"),
        ("kill -KILL $$".to_owned(), "no single line"),
        (format!("echo '{}'", read.replace(":1,", ":2,")), "protocol"),
        (format!("echo '{}'", read.replace("\"value\"", "\"canary0017\":1,\"value\"")), "schema"),
        (format!("echo '{}'", read.replace("\"version\"", "\"version\":\"canary0017\",\"version\"")), "twice"),
        (format!("echo '{}'", read.replace("\"7\"", "\"canary0017\"")), "without the value"),
        (format!("echo '{}'", read.replace("\"7\"", "\"\"")), "printable"),
        (format!("echo '{}'", read.replace("\"canary0017\"", "null")), "no value"),
        (format!("echo '{}'", read.replace("\"canary0017\"", "7")), "no text"),
        (format!("echo '{}'", read.replace("\"7\"", "\"7\",\"made\":\"canary0017\"")), "RFC 3339"),
        ("printf '\\377\\n'".to_owned(), "UTF-8"),
        ("head -c 900000 /dev/zero | tr '\\0' x; echo".to_owned(), "512 KiB"),
        ("printf '{\"protocol\":1,\"version\":\"7\",\"value\":\"'; head -c 70000 /dev/zero | tr '\\0' x; echo '\"}'".to_owned(), "64 KiB"),
    ] {
        let scene = Scene::shell(&line);
        let failure = failed(scene.truth().current().await, &[&scene.old]);
        assert_eq!((failure.code.as_str(), failure.class), ("K0640", Class::Retryable), "{line}");
        let text = shown(&failure);
        assert!(text.contains(why) && text.contains("check-store"), "{line}: {text}");
        assert!(!text.contains("canary0017"), "{line}: a part of the answer is shown");
    }
}

#[tokio::test]
async fn each_reason_has_its_class_and_its_page() {
    for (reason, code, class) in [
        ("denied", "K0641", Class::Permanent),
        ("missing", "K0642", Class::Permanent),
        ("away", "K0640", Class::Retryable),
        ("other", "K0640", Class::Retryable),
    ] {
        let error = format!("refuse('{reason}', message='sign in first')");
        let scene = Scene::planted(
            "say({'version': str(version), 'made'",
            &format!("{error}\n        say({{'version': str(version), 'made'"),
        );
        let failure = failed(scene.truth().current().await, &[&scene.old]);
        assert_eq!((failure.code.as_str(), failure.class), (code, class), "{reason}");
        assert!(shown(&failure).contains("sign in first"), "{reason}: its words are for the operator");
        let scene = Scene::planted(WRITTEN, &format!("        {error}"));
        let (failure, _) = written(&scene).await;
        assert_eq!((failure.code.as_str(), failure.class), (code, class), "{reason}");
        let unknown = Scene::planted(WRITTEN, &format!("        refuse('{reason}', 'unknown')"));
        let (failure, new) = written(&unknown).await;
        assert_eq!((failure.code.as_str(), failure.class), ("K0640", Class::Unknown), "{reason}");
        assert!(unknown.gives(&new), "{reason}: it was written");
    }
}

/// The message may repeat the value that the request had.
#[tokio::test]
async fn the_words_of_a_program_that_was_given_a_value_are_not_shown() {
    let part = "refuse('denied', message='canary0017 ' + request['value'])";
    let scene = Scene::planted("        save(version + 1, request['value'])\n", &format!("        {part}\n"));
    let (failure, _) = written(&scene).await;
    assert!(!shown(&failure).contains("canary0017"), "{}", shown(&failure));
    let long = Scene::planted(
        "say({'version': str(version), 'made'",
        "refuse('away', message='long' * 100)\n        say({'version': str(version), 'made'",
    );
    let failure = failed(long.truth().current().await, &[&long.old]);
    assert!(!shown(&failure).contains("longlong"), "a message of 400 bytes");
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_repetition_finds_the_value() {
    for end in [
        "        os.kill(os.getpid(), 9)",
        "        sys.exit(3)",
        "        print('done')",
        "        print('{}')\n        print('{}')",
        "        refuse('conflict', 'unknown')",
        "        say({'version': ''})",
    ] {
        let scene = Scene::planted(WRITTEN, end);
        let (failure, new) = written(&scene).await;
        assert_eq!((failure.code.as_str(), failure.class), ("K0640", Class::Unknown), "{end}");
        assert!(scene.gives(&new), "{end}: it was written");
        let truth = scene.truth();
        truth.give_out(&by(3), &scene.old, &new).await.unwrap();
        assert_eq!(scene.read("ids").lines().count(), 1, "{end}: it was not written a second time");
    }
}

#[tokio::test]
async fn a_value_that_is_written_at_the_same_moment_is_not_overwritten() {
    let theirs = credential();
    let change = format!(
        "        save(version + 1, '{}')\n        version += 1\n        if request['over']",
        value(&theirs)
    );
    let scene = Scene::planted("        if request['over']", &change);
    let (failure, _) = written(&scene).await;
    assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
    assert!(scene.gives(&theirs));
}

#[tokio::test]
async fn an_item_that_cannot_be_written_is_refused_before_anything_is_made() {
    let scene = Scene::planted("'writable': True", "'writable': False");
    let new = credential();
    let failure = failed(scene.truth().stage(&by(3), &scene.old, &new).await, &[&scene.old, &new]);
    assert_eq!((failure.code.as_str(), failure.class), ("K0641", Class::Permanent));
    let long = Credential { id: None, fields: Fields::single(SecretBytes::from("x".repeat(65 * 1024))) };
    let good = Scene::good();
    let failure = failed(good.truth().give_out(&by(3), &good.old, &long).await, &[]);
    assert_eq!((failure.code.as_str(), failure.class), ("K0642", Class::Permanent));
    assert!(good.gives(&good.old) && good.read("ids").is_empty(), "it was not asked to write");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_did_nothing() {
    let scene = Scene::good();
    fs::remove_file(scene.folder.path().join("program")).unwrap();
    let (failure, _) = written(&scene).await;
    assert_eq!((failure.code.as_str(), failure.class), ("K0641", Class::Permanent));
    let secret = ExecSecret {
        program: PathBuf::from("./program"),
        item: tag(),
        folder: scene.folder.path().to_owned(),
        field: "value".to_owned(),
        reference: "exec:./program".to_owned(),
    };
    assert_eq!(exec(secret).err().map(|failure| failure.class), Some(Class::Permanent));
}

#[tokio::test]
async fn a_long_value_with_every_kind_of_character_comes_back() {
    let scene = Scene::good();
    let text: String = "\u{1}\"\\$%-é漢🔑\n ".chars().cycle().take(20_000).collect();
    let long = Credential { id: None, fields: Fields::single(SecretBytes::from(text)) };
    let truth = scene.truth();
    truth.give_out(&by(3), &scene.old, &long).await.unwrap();
    assert!(truth.current().await.unwrap().fields.encode() == long.fields.encode());
}

#[test]
fn the_schema_of_store_programs_is_current() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/store-program.schema.json");
    let now = serde_json::to_string_pretty(&store_program_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &now).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == now, "docs/reference/store-program.schema.json is not current: cargo xtask codegen");
}
