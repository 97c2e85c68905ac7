//! Incidents: leaked keys that somebody reported, each with what is known of it and what was done.
//!
//! An alert becomes an incident. One whose value is exactly a stored one may begin an emergency by itself, within the
//! budget of the secret; every other one waits for a person. How far an incident is stands in the journal of its
//! rotation, never in the file of the incident.

mod act;
mod alert;
mod assess;
mod contain;
mod exposure;
mod file;
mod foreign;
mod found;
mod github;
mod matches;
mod open;
mod report;
mod shown;
mod sources;
mod standing;
mod told;

pub use act::{Begun, begin};
pub use alert::Alert;
pub use assess::{AssessRequest, assess};
pub use contain::{ContainRequest, contain};
pub use found::of_leaks;
pub use open::{OPERATOR, Opened, Opening, close, open, reopen, unbegun};
pub use report::report;
pub use shown::{AssessmentShown, IncidentShown, Report, StepShown};
pub use sources::{DOCUMENT_BYTES_MAX, Source, VALUE_BYTES_MIN};
pub use standing::{find, list, subject, unreadable};
