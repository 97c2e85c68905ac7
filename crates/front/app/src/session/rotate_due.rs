//! Rotates one due secret without an operator, or resumes its open rotation.

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};

use super::options::ApplyOptions;
use super::rotate::{apply, take_up};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{DueShown, Operator};
use crate::plans::left_out::Without;
use crate::plans::make;
use crate::problem::Problem;
use crate::records::saved_plan::Saved;
use crate::reports::due::has_standing_consent;

/// Rotates the secret of `row`, or resumes its rotation if a driver died. A paused rotation is left to the operator.
///
/// # Errors
/// No standing consent is configured, the open rotation is paused, or the rotation fails.
pub fn rotate_due(
    row: &DueShown,
    secret: &Secret,
    config: &Config,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let rotating = || Problem::new(Code::DueNotRotated, format!("rotate {} unattended", row.secret));
    if !has_standing_consent(secret) {
        return Err(rotating()
            .because("no standing consent to revoking its old key is configured")
            .help(format!(
                "keyroll plan {}; or, for the timer: `unattended = true`, and `decide = \"standing\"` under \
                 [secrets.{}.revoke]",
                row.secret, row.secret
            ))
            .exits(Exit::NeedsPerson));
    }
    let (options, installation) = (ApplyOptions::default(), &installation.opened_anew()?);
    let Some(id) = &row.open else {
        let id = make::plan(&Without::default(), (secret, config), installation, operator)?;
        return apply(&Saved::load(&installation.places()?, &id)?, &options, installation, operator);
    };
    if let Some(why) = &row.stands_still {
        return Err(rotating()
            .because(format!("its rotation {id} is paused: {why}"))
            .help(format!("keyroll status {id}"))
            .exits(Exit::NeedsPerson));
    }
    // The row may be older than the last rotation: a driver that runs now is not disturbed.
    take_up(id, &options, installation, operator)
}
