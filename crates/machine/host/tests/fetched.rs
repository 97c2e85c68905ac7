//! What a consumer's own command made of its copies, read back before the consumer is restarted.

use std::fs;

use keyroll_host::{FileSetup, Local};
use keyroll_manager::CommandLine;
use keyroll_port::{Class, Failure, Host, Values};
use keyroll_rotation::{ConsumerId, FileId, Which};

use crate::local::{Place, at_rest, fields, file, variable};
use crate::step;

/// A consumer with one file, and a command for it.
fn host(place: &Place, command: CommandLine) -> Local {
    let made = FileSetup { generated: true, ..file(&place.path("app.env"), vec![variable("KEY")]) };
    let mut consumer = at_rest(vec![FileId(0)], None);
    consumer.fetch = Some(command);
    place.host(vec![made], vec![consumer])
}

async fn fetch(place: &Place, host: &Local, which: Which) -> Result<(), Failure> {
    let (old, new) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    host.fetch(ConsumerId(0), which, values, step(3)).await
}

/// The command writes this text into the file.
async fn fetches(place: &Place, which: Which, text: &str) -> Result<(), Failure> {
    let words = [place.write("next", text), place.path("app.env")].map(|path| path.display().to_string());
    fetch(place, &host(place, CommandLine::program("cp", words)), which).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_another_value_than_the_one_that_was_to_be_fetched_is_refused() {
    let place = Place::new();
    let (old, new) = (format!("KEY={}\n", place.old), format!("A=1\nKEY={}\n", place.new));
    let cases = [
        (Which::New, old.clone(), "still holds the old value"),
        (Which::New, "KEY=of-nobody\n".to_owned(), "not every place that `reads` names holds the new value"),
        (Which::New, "OTHER=1\n".to_owned(), "is not in the file"),
        (Which::Old, new.clone(), "still holds the new value"),
    ];
    for (which, text, cause) in cases {
        let failure = fetches(&place, which, &text).await.unwrap_err();
        // The store may give the version out a moment later.
        assert_eq!((failure.code.as_str(), failure.class), ("K0302", Class::Retryable), "{failure}");
        let said = format!("{failure} {failure:?} {}", failure.help.clone().unwrap_or_default());
        for part in ["app.env", "'job'", cause, "which version or profile does it ask for"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains(&place.old) && !said.contains(&place.new), "a value was shown");
    }
    fetches(&place, Which::New, &new).await.unwrap();
    fetches(&place, Which::Old, &old).await.unwrap();
}

/// Readers disagree about it, or it is not there: it says nothing, and the evidence decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_read_is_left_to_the_evidence() {
    let place = Place::new();
    fetches(&place, Which::New, &format!("X='\nKEY={}\n", place.old)).await.unwrap();
    let path = place.path("app.env");
    assert!(path.exists());
    let removes = host(&place, CommandLine::program("rm", [path.display().to_string()]));
    fetch(&place, &removes, Which::New).await.unwrap();
    assert!(!fs::exists(&path).unwrap());
}
