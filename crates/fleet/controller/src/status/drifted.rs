//! Whether a Secret holds something else than the current version: it is named, and never written over.

use super::commands::Commands;
use super::said::{FALSE, Said, TRUE, UNKNOWN, said};
use crate::cut::cut;
use crate::object::{Condition, SecretRotation};
use crate::standing::{Held, HeldKey, Holds, Standing};

/// The type of the condition.
pub(super) const DRIFTED: &str = "Drifted";
/// The longest list of keys in a message: with it there is room for what to do.
const KEYS_BYTES_MAX: usize = 320;

/// The condition. While a rotation is open, both of its versions are right, and its own texts say what it finds.
pub(super) fn drifted(object: &SecretRotation, standing: &Standing) -> Said {
    if standing.open.is_some() {
        let message =
            "a rotation is open: it reads its Secrets by itself, and its message says what it finds";
        return said(UNKNOWN, "RotationOpen", message);
    }
    let Ok(value) = &standing.value else {
        return said(UNKNOWN, "NoValue", "keyroll does not have its value");
    };
    let held = match &standing.held {
        Some(Ok(held)) if held.version == value.version => held,
        Some(Err(why)) => {
            return said(UNKNOWN, "NotVisible", &format!("its Secrets could not be looked at: {why}"));
        }
        Some(Ok(_)) | None => return not_looked_at(object, value.version),
    };
    let wrong: Vec<String> = held.keys.iter().filter_map(wrong).collect();
    if !wrong.is_empty() {
        let message = message(&wrong, held, object, standing);
        let is_there = held.keys.iter().any(HeldKey::is_another_value);
        return said(TRUE, if is_there { "SecretHoldsAnotherValue" } else { "SecretHoldsNoValue" }, &message);
    }
    let hidden: Vec<String> = held.keys.iter().filter_map(hidden).collect();
    let version = value.version;
    match (held.keys.as_slice(), hidden.is_empty()) {
        (_, false) => said(UNKNOWN, "NotVisible", &hidden.join("; ")),
        ([], true) => said(UNKNOWN, "NothingCompared", "each version of it has a Secret of its own"),
        ([one], true) => said(FALSE, "HoldsCurrent", &format!("{} holds v{version}", one.shown())),
        (all, true) => said(
            FALSE,
            "HoldsCurrent",
            &format!("each of its {} keys of Secrets holds v{version}", all.len()),
        ),
    }
}

/// The same in short, for the message of the object.
pub(super) fn in_short(standing: &Standing) -> Option<String> {
    let value = standing.value.as_ref().ok().filter(|_| standing.open.is_none())?;
    let held = standing.held.as_ref()?.as_ref().ok().filter(|held| held.version == value.version)?;
    let first = held.keys.iter().find_map(wrong)?;
    Some(format!("{first}, and v{} is current: see the condition {DRIFTED}", value.version))
}

/// Nobody has looked since the server was started: what it saw before is not said to be over, and not told anew.
fn not_looked_at(object: &SecretRotation, version: u32) -> Said {
    let is_same = object.status.version.as_deref() == Some(format!("v{version}").as_str());
    match object.status.condition(DRIFTED, TRUE).filter(|_| is_same) {
        Some(Condition { reason, message, .. }) => said(TRUE, reason, message),
        None => said(UNKNOWN, "NotLookedAt", "its Secrets were not looked at yet"),
    }
}

/// What is wrong, since when that is seen, and what to do.
fn message(wrong: &[String], held: &Held, object: &SecretRotation, standing: &Standing) -> String {
    let before = object.status.condition(DRIFTED, TRUE).map(|before| &before.last_transition_time);
    let since = before.filter(|time| !time.is_empty());
    let (since, version) = (since.unwrap_or(&standing.now), held.version);
    let mut keys = cut(&wrong.join("; "), KEYS_BYTES_MAX);
    if wrong.len() > 1 {
        keys = format!("{} keys: {keys}", wrong.len());
    }
    let commands = Commands::new(object, standing);
    let other = if held.keys.iter().any(HeldKey::is_another_value) {
        format!("; {}", commands.take_over(&held.take_over))
    } else {
        String::new()
    };
    format!(
        "{keys}; v{version} is current; seen since {since}; keyroll does not write over it, and refuses to rotate until that is \
         decided; to undo it: write the value of v{version} there again{other}"
    )
}

/// What is wrong with a key.
fn wrong(one: &HeldKey) -> Option<String> {
    let key = one.shown();
    match &one.holds {
        Holds::Current | Holds::NotVisible(_) => None,
        Holds::Version(number, label) => Some(format!("{key} holds v{number}, which is {label}")),
        Holds::Other => Some(format!("{key} holds a value that keyroll does not know")),
        Holds::Absent => Some(format!("{key} is not there")),
    }
}

/// Why a key is not visible.
fn hidden(one: &HeldKey) -> Option<String> {
    match &one.holds {
        Holds::NotVisible(why) => Some(format!("{} is not visible: {why}", one.shown())),
        Holds::Current | Holds::Version(..) | Holds::Other | Holds::Absent => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Status;
    use crate::sample::{PREFIX, at_rest, holding, object, open};
    use crate::standing::TakeOver;
    use crate::status::status;

    /// The condition of an object that shows nothing yet: status, reason, message.
    fn shown(standing: &Standing) -> (String, String, String) {
        let Condition { status, reason, message, .. } = of(&status(&object(Status::default()), standing));
        (status, reason, message)
    }

    fn of(status: &Status) -> Condition {
        status.conditions.iter().find(|one| one.kind == DRIFTED).unwrap().clone()
    }

    #[test]
    fn each_content_of_a_secret_has_its_status_and_its_reason() {
        let hidden = || Holds::NotVisible("forbidden".to_owned());
        let cases: [(&[Holds], &str, &str, &str); 9] = [
            (&[Holds::Current], FALSE, "HoldsCurrent", "secret/credentials key-0 holds v4"),
            (&[Holds::Current, Holds::Current], FALSE, "HoldsCurrent", "each of its 2 keys"),
            (
                &[Holds::Other],
                TRUE,
                "SecretHoldsAnotherValue",
                "key-0 holds a value that keyroll does not know",
            ),
            (
                &[Holds::Version(3, "retired".to_owned())],
                TRUE,
                "SecretHoldsAnotherValue",
                "key-0 holds v3, which is retired; v4 is current; seen since 2026-01-01T00:00:00Z",
            ),
            (&[Holds::Absent], TRUE, "SecretHoldsNoValue", "key-0 is not there; v4 is current"),
            // What is seen is said also where something else is not visible, and that is never called well.
            (&[hidden(), Holds::Other], TRUE, "SecretHoldsAnotherValue", "secret/credentials key-1 holds"),
            (&[Holds::Current, hidden()], UNKNOWN, "NotVisible", "key-1 is not visible: forbidden"),
            (
                &[Holds::Absent, Holds::Other],
                TRUE,
                "SecretHoldsAnotherValue",
                "2 keys: secret/credentials key-0",
            ),
            (&[], UNKNOWN, "NothingCompared", "each version of it has a Secret of its own"),
        ];
        for (holds, is, reason, words) in cases {
            let (status, why, message) = shown(&holding(holds, TakeOver::Never));
            assert_eq!((status.as_str(), why.as_str()), (is, reason), "{message}");
            assert!(message.contains(words), "{words}: {message}");
        }
    }

    #[test]
    fn what_was_not_seen_of_the_current_version_at_rest_is_unknown() {
        let other = || holding(&[Holds::Other], TakeOver::Never);
        let mut newer = other();
        newer.value.as_mut().unwrap().version = 5;
        let cases = [
            (Standing { open: Some(open()), ..other() }, "RotationOpen"),
            (Standing { value: Err("its Secret is not there".to_owned()), ..other() }, "NoValue"),
            (Standing { held: None, ..other() }, "NotLookedAt"),
            (Standing { held: Some(Err("the API server is away".to_owned())), ..other() }, "NotVisible"),
            // It was seen beside the version before.
            (newer, "NotLookedAt"),
        ];
        for (standing, reason) in cases {
            let (status, why, message) = shown(&standing);
            assert_eq!((status.as_str(), why.as_str()), (UNKNOWN, reason), "{message}");
            assert!(in_short(&standing).is_none());
        }
    }

    #[test]
    fn the_message_says_since_when_and_the_command_that_decides() {
        let cases = [
            (
                TakeOver::AsFirst(ADD.to_owned()),
                format!("kubectl -n keyroll exec -i keyroll-0 -- {ADD} < FILE"),
            ),
            (TakeOver::FromStore, format!("{PREFIX}keyroll secret drift {SECRET}")),
            (TakeOver::Never, "under another name".to_owned()),
        ];
        for (take_over, words) in cases {
            let standing = holding(&[Holds::Other], take_over.clone());
            let first = status(&object(Status::default()), &standing);
            let message = of(&first).message;
            assert!(
                message.contains(&words) && message.contains("write the value of v4 there again"),
                "{message}"
            );
            assert!(first.message.contains("secret/credentials key-0 holds a value"), "{}", first.message);
            // Nobody has to decide what becomes of nothing.
            let absent = shown(&holding(&[Holds::Absent], take_over)).2;
            assert!(!absent.contains(&words) && absent.contains("write the value of v4 there"), "{absent}");

            let later = Standing { now: "2026-01-05T00:00:00Z".to_owned(), ..standing };
            let second = of(&status(&object(first.clone()), &later));
            assert_eq!(second, of(&first), "since when it is seen stays");
            assert_eq!(second.last_transition_time, "2026-01-01T00:00:00Z");
            let right = status(&object(first.clone()), &Standing { now: later.now.clone(), ..at_rest() });
            assert_eq!((of(&right).status.as_str(), of(&right).reason.as_str()), (FALSE, "HoldsCurrent"));
            assert_eq!(of(&right).last_transition_time, later.now);
        }
    }

    #[test]
    fn a_server_that_was_started_again_says_it_still_until_it_has_looked() {
        let first = status(&object(Status::default()), &holding(&[Holds::Other], TakeOver::Never));
        let later = |standing: Standing| Standing { now: "2026-01-05T00:00:00Z".to_owned(), ..standing };
        let unseen = || later(Standing { held: None, ..at_rest() });
        assert_eq!(of(&status(&object(first.clone()), &unseen())), of(&first));
        let mut newer = unseen();
        newer.value.as_mut().unwrap().version = 5;
        assert_eq!(of(&status(&object(first), &newer)).status, UNKNOWN, "v5 was not looked for");
        // That all was well is not said of a Secret that nobody has looked at.
        let well = status(&object(Status::default()), &at_rest());
        assert_eq!(of(&status(&object(well), &unseen())).reason, "NotLookedAt");
    }

    #[test]
    fn many_keys_leave_room_for_what_to_do() {
        let (_, _, message) = shown(&holding(&vec![Holds::Other; 90], TakeOver::AsFirst(ADD.to_owned())));
        assert!(message.starts_with("90 keys: ") && message.ends_with(&format!("{ADD} < FILE")), "{message}");
    }

    /// What keyroll calls the secret of the object.
    const SECRET: &str = "shop.anthropic";
    /// What takes a value over in place of the first version.
    const ADD: &str = "keyroll secret add shop.anthropic --replace --id ID";
}
