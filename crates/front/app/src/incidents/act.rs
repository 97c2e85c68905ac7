//! Begins the emergency of an incident in this process.

use super::contain::{ContainRequest, contain};
use super::shown::IncidentShown;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::problem::Problem;

/// What became of the incidents that begin an emergency by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// None does.
    Nothing,
    /// The worst result.
    Ended(Exit),
}

/// Rotates the secret of each incident that acts, one after the other. One that fails does not keep the others from it.
pub fn begin(
    incidents: &[IncidentShown],
    installation: &Installation,
    operator: &mut dyn Operator,
    mut failed: impl FnMut(Problem) -> Exit,
) -> Begun {
    let mut worst = Begun::Nothing;
    for one in incidents.iter().filter(|one| one.acts) {
        let request = ContainRequest { id: Some(&one.id), by_alert: true, ..ContainRequest::default() };
        let exit = match contain(request, installation, operator) {
            Ok(exit) => exit,
            Err(problem) => failed(problem),
        };
        if matches!(worst, Begun::Nothing | Begun::Ended(Exit::Done)) {
            worst = Begun::Ended(exit);
        }
    }
    worst
}
