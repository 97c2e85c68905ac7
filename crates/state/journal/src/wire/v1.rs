//! Form 1: JSON with a version number; unknown fields and words are refused.
//!
//! These types mirror the protocol's own and are converted by exhaustive matches: a change of the protocol does not
//! compile until its persisted form is decided here. An entry under form 1 never changes its meaning: the fixtures
//! under `tests/fixtures` are entries of earlier versions and must still load.

mod event;
mod evidence;
mod form;
mod op;
mod plan;
mod words;

use keyroll_port::Opening;
use keyroll_rotation::{Event, PROTOCOL};
use serde::{Deserialize, Serialize};

use self::form::Form;
use super::WireError;

/// The version number that every entry of this form carries.
const VERSION: u32 = 1;

/// The protocol of openings that name none.
const FIRST: u32 = 1;

/// The version that opened a rotation. Absent in openings of protocol 1, which was the first. It is the protocol of the plan, which
/// is not stored twice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtocolForm {
    number: u32,
    keyroll: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventForm {
    v: u32,
    at: event::Stamp,
    fact: event::Fact,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningForm {
    v: u32,
    secret: String,
    from_version: u32,
    plan: plan::Plan,
    names: String,
    at: event::Stamp,
    unix_ms: u64,
    #[serde(default)]
    protocol: Option<ProtocolForm>,
}

/// Read before anything else: the rest may have the form of a later version.
#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

/// Read from an opening before its plan, which another protocol may have written in another form.
#[derive(Deserialize)]
struct ProtocolOnly {
    protocol: Option<Opener>,
}

#[derive(Deserialize)]
struct Opener {
    number: u32,
    keyroll: String,
}

fn protocol(bytes: &[u8]) -> Result<(), WireError> {
    let ProtocolOnly { protocol } = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    match protocol {
        Some(Opener { number, keyroll }) if number > PROTOCOL => Err(WireError::Protocol { number, keyroll }),
        Some(_) | None => Ok(()),
    }
}

fn version(bytes: &[u8]) -> Result<(), WireError> {
    let VersionOnly { v } = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    if v == VERSION { Ok(()) } else { Err(WireError::Version(v)) }
}

/// An event as bytes. Equal events give equal bytes. These types cannot cause an error.
pub fn encode_event(event: &Event) -> Result<Vec<u8>, WireError> {
    let Event { at, fact } = event;
    let form = EventForm { v: VERSION, at: Form::of(at), fact: Form::of(fact) };
    serde_json::to_vec(&form).map_err(WireError::Malformed)
}

/// Reads what [`encode_event`] wrote, and nothing else.
///
/// Errors: another version, an unknown field or word, a number outside its range.
pub fn decode_event(bytes: &[u8]) -> Result<Event, WireError> {
    version(bytes)?;
    let EventForm { v: _, at, fact } = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    Ok(Event { at: at.own()?, fact: fact.own()? })
}

/// An opening as bytes. Equal openings give equal bytes. These types cannot cause an error.
pub fn encode_opening(opening: &Opening) -> Result<Vec<u8>, WireError> {
    let Opening { secret, from_version, plan, names, at, unix_ms } = opening;
    let form = OpeningForm {
        v: VERSION,
        secret: secret.clone(),
        from_version: *from_version,
        plan: plan::Plan::of(plan),
        names: names.clone(),
        at: Form::of(at),
        unix_ms: *unix_ms,
        protocol: Some(ProtocolForm { number: plan.protocol, keyroll: env!("CARGO_PKG_VERSION").to_owned() }),
    };
    serde_json::to_vec(&form).map_err(WireError::Malformed)
}

/// Reads what [`encode_opening`] wrote, and nothing else.
///
/// Errors: another version, a newer protocol, an unknown field or word, a number outside its range.
pub fn decode_opening(bytes: &[u8]) -> Result<Opening, WireError> {
    version(bytes)?;
    protocol(bytes)?;
    let OpeningForm { v: _, secret, from_version, plan, names, at, unix_ms, protocol } =
        serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    let plan = plan.opened_by(protocol.map_or(FIRST, |opener| opener.number))?;
    Ok(Opening { secret, from_version, plan, names, at: at.own()?, unix_ms })
}
