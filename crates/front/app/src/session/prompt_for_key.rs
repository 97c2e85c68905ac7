//! Takes in a key as soon as the rotation needs it: one that is sealed already, or one that the operator is asked for.

use keyroll_rotation::Emergency;

use super::manual_mint::{awaited, is_sealed};
use super::options::ApplyOptions;
use super::rotate::{resume, resumed};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::records::recorded::opened;
use crate::wiring::open::{journal, runtime};

/// Continues a rotation that waits for a key, if one is sealed for it or the operator can be asked.
pub fn go_on(
    id: Option<&str>,
    exit: Exit,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    if exit != Exit::NeedsPerson {
        return Ok(exit);
    }
    let places = installation.places()?;
    let open = runtime(&places)?.block_on(opened(&*journal(&places)?, id))?;
    if !awaited(&open.state) || open.state.hold().is_some() {
        return Ok(exit);
    }
    let sealed = is_sealed(&open, &places)?;
    if !operator.may_ask() && !sealed {
        return Ok(exit);
    }
    let (confirm, until) = (asked.confirm.clone(), asked.until);
    // What drives meanwhile is asked to pause by an emergency, as before.
    let emergency = asked.emergency.filter(|how| *how == Emergency::RollFirst && sealed);
    let asked = ApplyOptions { confirm, until, emergency, sealed, ..ApplyOptions::default() };
    resume(id, &asked, resumed, installation, operator)
}
