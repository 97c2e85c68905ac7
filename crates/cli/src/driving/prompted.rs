//! A key that a person makes is asked for where they sit, as soon as it is waited for.

use super::by_hand::awaited;
use super::rotate::{Asked, resume, resumed};
use crate::context::Context;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::recorded::opened;
use crate::wiring::open::{journal, runtime};

/// Goes on with a rotation that was driven up to the key that a person makes, if there is somebody to ask for it.
pub(crate) fn go_on(
    id: Option<&str>,
    exit: Exit,
    asked: &Asked,
    context: &mut Context,
) -> Result<Exit, Problem> {
    if exit != Exit::NeedsPerson || !context.ui.may_ask() {
        return Ok(exit);
    }
    let state = {
        let journal = journal(&context.places()?)?;
        runtime()?.block_on(opened(&journal, id))?.state
    };
    if !awaited(&state) || state.hold().is_some() {
        return Ok(exit);
    }
    let (confirm, until) = (asked.confirm.clone(), asked.until);
    resume(id, &Asked { confirm, until, ..Asked::default() }, resumed, context)
}
