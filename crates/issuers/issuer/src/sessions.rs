use std::net::SocketAddr;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Session};
use serde_json::Value;

use crate::call::Call;
use crate::list::Pages;
use crate::matcher;
use crate::operation::{EndSession, Sessions};
use crate::render::Values;

/// All live sessions of a credential. An incomplete list is a failure: a session that the list misses would not block
/// the revoke.
pub(crate) async fn sessions(
    call: &Call<'_>,
    op: &Sessions,
    values: &Values<'_>,
) -> Result<Vec<Session>, Failure> {
    let pages = Pages { ok: &op.ok, items: &op.items, page: &op.page };
    let mut found = Vec::new();
    let incomplete = pages
        .walk(call, values, |item| {
            let session = session(op, item).ok_or("a part of it has not the type that the spec says")?;
            found.push(session);
            Ok(())
        })
        .await?;
    match incomplete {
        None => Ok(found),
        Some(why) => Err(call
            .fail(Class::Retryable, Code::RequestFailed)
            .because(format!("the list of sessions is not whole: {why}"))),
    }
}

fn session(op: &Sessions, item: &Value) -> Option<Session> {
    let handle = op.handle.text(item)?;
    let client = match op.client.as_ref().and_then(|pointer| pointer.find(item)) {
        None | Some(Value::Null) => None,
        Some(found) => Some(found.as_str()?.parse::<SocketAddr>().ok()?),
    };
    let busy = match &op.busy {
        None => false,
        Some(flag) => flag.read(item)?,
    };
    let calls = match op.calls.as_ref().and_then(|pointer| pointer.find(item)) {
        None | Some(Value::Null) => None,
        Some(found) => Some(found.as_u64()?),
    };
    Some(Session { client, pid: None, busy, handle, calls })
}

/// Ends one session; whether it was this call that ended it.
pub(crate) async fn end(call: &Call<'_>, op: &EndSession, values: &Values<'_>) -> Result<bool, Failure> {
    let answer = call.send(values).await?;
    if matcher::any(&op.ok, &answer) {
        return Ok(true);
    }
    if matcher::any(&op.already, &answer) || matcher::any(&op.busy, &answer) {
        return Ok(false);
    }
    Err(call.refused(&answer))
}
