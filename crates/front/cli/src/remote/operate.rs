use keyroll_app::exit::Exit;
use keyroll_app::operator::{DowntimeShown, Event, Operator as _, RollsBack};
use keyroll_app::plans::pending_changes::apply_with;
use keyroll_app::problem::Problem;
use keyroll_app::records::rotation_ids::rotation_id;
use keyroll_app::session::manual_mint::Given;
use keyroll_codes::Code;
use keyroll_secret::SecretBytes;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::door::{Door, Unanswered, usage};
use super::table::Operation;
use super::watch::{Ends, open_id, path, text, watch};
use crate::args::{ApplyArgs, EmergencyArgs, PlanArgs, ResumeArgs};
use crate::context::Context;

/// Asks the server for what one of its processes does, and shows it until that process has ended.
pub(super) fn run(operation: Operation<'_>, door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    match operation {
        Operation::Watch(args) => {
            args.id.as_deref().map_or(Ok(()), rotation_id)?;
            watch(args.id.as_deref(), Ends::AsStatus, door, context)
        }
        Operation::Plan(args) => plan(args, door, context),
        Operation::Apply(args) => apply(args, door, context),
        Operation::Resume(args) => resume(args, door, context),
        Operation::Retry(args) => {
            refuse([("--accept with retry", !args.accept.is_empty())])?;
            asked_of(args.id.as_deref(), "retry", door, context)
        }
        Operation::Pause(args) => asked_of(args.id.as_deref(), "pause", door, context),
        Operation::Abort(args) => asked_of(args.id.as_deref(), "abort", door, context),
        Operation::Emergency(args) => emergency(args, door, context),
    }
}

/// Shows the plan that the server made and keeps.
fn plan(args: &PlanArgs, door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    let body = json!({ "secret": args.secret });
    let made = answered(door.post("plan the rotation", "/v1/plans".to_owned(), &body))?;
    let named = |name: &str| text(&made, name).unwrap_or_default().to_owned();
    let texts = |name: &str| -> Vec<String> {
        let all = list(&made, name).iter().filter_map(Value::as_str);
        all.map(str::to_owned).collect()
    };
    for note in texts("notes") {
        context.ui.note(note);
    }
    let (id, accept) = (named("id"), texts("accept"));
    let apply_with = apply_with(&door.options, &id, &accept);
    context.ui.event(Event::Plan {
        id,
        secret: named("secret"),
        steps: texts("steps"),
        pace: texts("pace"),
        downtimes: texts("downtimes"),
        away: list(&made, "away").iter().filter_map(downtime).collect(),
        least_s: made.get("least_s").and_then(Value::as_u64).unwrap_or_default(),
        rolls_back: made.get("rolls_back").and_then(rolls_back),
        accept,
        apply_with,
    });
    Ok(Exit::Done)
}

/// How far a plan can be rolled back; none where this version does not know the word.
fn rolls_back(shown: &Value) -> Option<RollsBack> {
    serde_json::from_value(shown.clone()).ok()
}

/// A downtime of a plan: nothing is measured yet.
fn downtime(shown: &Value) -> Option<DowntimeShown> {
    let (least, most) = match list(shown, "announced_s") {
        [least, most] => (least.as_u64()?, most.as_u64()?),
        _ => return None,
    };
    let consumer = text(shown, "consumer")?.to_owned();
    Some(DowntimeShown { consumer, announced_s: (least, most), measured_s: None, by: None })
}

fn apply(args: &ApplyArgs, door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.plan)?;
    if args.confirm.is_some() {
        return Err(usage(
            "a server takes the consent to revoking the old key when the rotation waits for it",
        )
        .help("leave out --confirm; then: keyroll resume ID --confirm NAME, which is one approval"));
    }
    refuse([
        ("--until", args.until.is_some()),
        ("--on-failure", args.on_failure.is_some()),
        ("--emergency", args.emergency.is_some()),
        ("--alerted-at", args.alerted_at.is_some()),
    ])?;
    let body = json!({ "plan": args.plan, "accept": args.accept });
    let answer = door.post("apply the plan", "/v1/rotations".to_owned(), &body);
    follow(&answered(answer)?, door, context)
}

/// Resumes a rotation; with `--confirm` it gives one of the approvals that the end of the old key needs.
fn resume(args: &ResumeArgs, door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    args.id.as_deref().map_or(Ok(()), rotation_id)?;
    refuse([
        ("--until", args.until.is_some()),
        ("--emergency", args.emergency.is_some()),
        ("--revoked-by-hand", args.revoked_by_hand),
        ("--value-stdin", args.value_stdin),
        ("--value-file", args.value_file.is_some()),
        // The approval would be given before the change is known to be accepted.
        ("--accept with --confirm", args.confirm.is_some() && !args.accept.is_empty()),
    ])?;
    let id = open_id(args.id.as_deref(), door)?;
    let answer = match &args.confirm {
        Some(secret) => {
            let body = json!({ "secret": secret });
            door.post("approve the end of the old key", path(&id, "/approve"), &body)
        }
        None => {
            let body = json!({ "accept": args.accept });
            door.post("resume the rotation", path(&id, "/resume"), &body)
        }
    };
    follow(&answered(answer)?, door, context)
}

/// `retry`, `pause`, `abort` and `undo`: a request without a body.
fn asked_of(id: Option<&str>, what: &str, door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    id.map_or(Ok(()), rotation_id)?;
    let id = open_id(id, door)?;
    let path = path(&id, &format!("/{what}"));
    let answer = answered(door.post_bytes(&format!("{what} the rotation"), path, Zeroizing::default()))?;
    // A plan that waited for its turn was withdrawn, as it was asked for.
    if what == "pause" && text(&answer, "state") == Some("refused") {
        let id = text(&answer, "rotation").unwrap_or(&id);
        context.ui.note(format!(
            "plan {id} was withdrawn before it began: nothing was changed\n  to apply it: keyroll {}apply {id}",
            door.options
        ));
        return Ok(Exit::Done);
    }
    follow(&answer, door, context)
}

fn emergency(args: &EmergencyArgs, door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    refuse([
        ("--confirm", args.confirm.is_some()),
        ("--rotation", args.rotation.is_some()),
        ("--alerted-at", args.alerted_at.is_some()),
    ])?;
    let value = match Given::named(args.value_stdin, args.value_file.as_ref()) {
        Some(Given::Stdin) => Some(context.ui.hidden("the new key")?),
        Some(Given::File(path)) => Some(context.ui.value_of_file("the new key", &path)?),
        None => None,
    };
    let body = with_value(&args.secret, value.as_ref()).ok_or_else(|| {
        Problem::new(Code::ValueRefused, "send the new key to the server")
            .because("it is not UTF-8")
            .help("run keyroll emergency on the machine of the server")
    })?;
    let answer = door.post_bytes("replace the leaked key", "/rotate-secret".to_owned(), body);
    follow(&answered(answer)?, door, context)
}

/// The body of `POST /rotate-secret`; none if the value is no text.
fn with_value(secret: &str, value: Option<&SecretBytes>) -> Option<Zeroizing<Vec<u8>>> {
    let value = value.map(|value| std::str::from_utf8(value.expose())).transpose().ok()?;
    // Allocated once: a growing buffer would leave copies of the value behind. An escaped character has 6 bytes at most.
    let letters = secret.len() + value.map_or(0, str::len);
    let mut body = Zeroizing::new(Vec::with_capacity(64 + 6 * letters));
    body.extend_from_slice(b"{\"secret_name\":");
    serde_json::to_writer(&mut *body, secret).ok()?;
    if let Some(value) = value {
        body.extend_from_slice(b",\"new_value\":");
        serde_json::to_writer(&mut *body, value).ok()?;
    }
    body.push(b'}');
    Some(body)
}

/// Says what a person must know of the answer, and shows the rotation until it has no driver.
fn follow(rotation: &Value, door: &Door, context: &mut Context) -> Result<Exit, Problem> {
    if let Some(approvals) = rotation.get("approvals") {
        let given: Vec<&str> = list(approvals, "given").iter().filter_map(Value::as_str).collect();
        let of = approvals.get("of").and_then(Value::as_u64).unwrap_or(1);
        if !given.is_empty() {
            context.ui.note(format!("{} of {of} approvals, by: {}", given.len(), given.join(", ")));
            // Another token must approve, perhaps because a waiver made earlier approvals void.
            let enough = u64::try_from(given.len()).is_ok_and(|given| given >= of);
            if let Some(why) = text(rotation, "why").filter(|_| !enough) {
                context.ui.note(why);
            }
        }
    }
    let Some(id) = text(rotation, "rotation") else {
        return Err(Problem::new(Code::ServerRefused, "watch the rotation at the server")
            .because("its answer names no rotation")
            .help("keyroll status"));
    };
    if text(rotation, "state") == Some("queued") {
        context.ui.aside(&format!("rotation {id} begins at the server in its turn"));
    }
    watch(Some(id), Ends::AsDriver, door, context)
}

/// Refuses the options that the server has no request for.
fn refuse<const N: usize>(options: [(&str, bool); N]) -> Result<(), Problem> {
    match options.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(usage(format!("a server does not take {option}"))
            .help("leave it out, or run the command on the machine of the server")),
        None => Ok(()),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn answered(answer: Result<Value, Unanswered>) -> Result<Value, Problem> {
    answer.map_err(|unanswered| unanswered.problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_sent_as_it_is() {
        let value = SecretBytes::from("a\"\\\u{1}é".to_owned());
        let body = with_value("openai", Some(&value)).unwrap();
        let read: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read, json!({ "secret_name": "openai", "new_value": "a\"\\\u{1}é" }));
        assert_eq!(with_value("a", None).unwrap().as_slice(), br#"{"secret_name":"a"}"#);
        assert!(with_value("a", Some(&SecretBytes::new(vec![0xff]))).is_none());
    }

    #[test]
    fn a_downtime_is_read_as_it_is_shown() {
        let consumer = "api".to_owned();
        let shown = DowntimeShown { consumer, announced_s: (0, 190), measured_s: None, by: None };
        assert_eq!(downtime(&serde_json::to_value(&shown).unwrap()), Some(shown));
        assert_eq!(downtime(&json!({ "consumer": "api" })), None);
    }
}
