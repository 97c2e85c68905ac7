//! Asks the operator for a manual key as soon as the rotation needs it.

use super::manual_mint::awaited;
use super::options::ApplyOptions;
use super::rotate::{resume, resumed};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::records::recorded::opened;
use crate::wiring::open::{journal, runtime};

/// Continues a rotation that waits for a manual key, if the operator can be asked.
pub fn go_on(
    id: Option<&str>,
    exit: Exit,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    if exit != Exit::NeedsPerson || !operator.may_ask() {
        return Ok(exit);
    }
    let state = {
        let places = installation.places()?;
        let journal = journal(&places)?;
        runtime(&places)?.block_on(opened(&journal, id))?.state
    };
    if !awaited(&state) || state.hold().is_some() {
        return Ok(exit);
    }
    let (confirm, until) = (asked.confirm.clone(), asked.until);
    resume(id, &ApplyOptions { confirm, until, ..ApplyOptions::default() }, resumed, installation, operator)
}
