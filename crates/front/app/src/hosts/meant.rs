use keyroll_codes::Code;
use keyroll_inventory::{NotMeant, WhyReport};
use keyroll_link::LinkError;

use super::seen::{DraftReport, HostCall, HostReport};
use super::unreached::of_link;
use crate::operator::plain;
use crate::problem::Problem;

/// What is said where nothing has the name. keyroll-host says the same.
pub(super) const UNKNOWN: &str = "no secret, process or file has this name";
/// What is said where several secrets have it. keyroll-host says the same.
const SEVERAL: &str = "several secrets have this name";

/// The report of a machine.
pub(super) struct Answer {
    pub(super) report: HostReport,
    /// The machine does not have what was asked about.
    pub(super) absent: bool,
}

impl Answer {
    pub(super) fn of(report: HostReport) -> Self {
        Self { report, absent: false }
    }

    /// A machine without the secret is no failure: others may have it.
    fn absent(call: &HostCall, sentence: String) -> Self {
        let report = match call {
            HostCall::Trace { .. } | HostCall::Scan => HostReport::Trace(None),
            HostCall::Draft { .. } => HostReport::Draft(DraftReport::default()),
            HostCall::Why { .. } => HostReport::Why(vec![WhyReport {
                sentences: vec![sentence],
                instances: Vec::new(),
                differing: Vec::new(),
                chains: Vec::new(),
            }]),
        };
        Self { report, absent: true }
    }
}

/// The answer of this machine if a word means nothing on it.
///
/// # Errors
/// The word means several secrets.
pub(super) fn not_here(call: &HostCall, not: NotMeant) -> Result<Answer, Problem> {
    match not {
        NotMeant::NoFile(why) => Ok(Answer::absent(call, format!("could not find the file: {why}"))),
        NotMeant::Unknown { .. } => Ok(Answer::absent(call, UNKNOWN.to_owned())),
        NotMeant::Several { names } => Err(Problem::new(Code::NameNotFound, "find the secret")
            .because(SEVERAL)
            .help(format!("name one of {}", names.join(", ")))),
    }
}

/// The same of a host that refused a call.
///
/// # Errors
/// It did so for another reason.
pub(super) fn not_there(host: &str, call: &HostCall, error: LinkError) -> Result<Answer, Problem> {
    if let LinkError::Failed { code, attempted, causes, .. } = &error
        && Code::parse(code) == Some(Code::NameNotFound)
        && causes.first().is_none_or(|cause| cause != SEVERAL)
    {
        let causes = causes.join(": ");
        let sentence = if causes == UNKNOWN { causes } else { format!("could not {attempted}: {causes}") };
        return Ok(Answer::absent(call, plain(&sentence)));
    }
    Err(of_link(host, "look at", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: &str, cause: &str) -> LinkError {
        LinkError::Failed {
            code: code.to_owned(),
            attempted: "find the file".to_owned(),
            causes: vec![cause.to_owned()],
            help: None,
        }
    }

    #[test]
    fn a_machine_without_the_secret_is_told_from_one_where_the_name_is_ambiguous() {
        let trace = HostCall::Trace { secret: "openai".to_owned(), evidence: false };
        let why = HostCall::Why { what: "openai".to_owned() };
        for (cause, sentence) in
            [(UNKNOWN, UNKNOWN), ("no such file", "could not find the file: no such file")]
        {
            let answer = not_there("web-1", &why, failed("K0805", cause)).ok().unwrap();
            let HostReport::Why(reports) = answer.report else { panic!("another report") };
            assert_eq!(
                (reports[0].sentences.as_slice(), answer.absent),
                ([sentence.to_owned()].as_slice(), true)
            );
            let answer = not_there("web-1", &trace, failed("K0805", cause)).ok().unwrap();
            assert!(answer.absent && answer.report == HostReport::Trace(None));
        }
        for (code, cause) in [("K0805", SEVERAL), ("K0411", "permission denied")] {
            assert_eq!(not_there("web-1", &trace, failed(code, cause)).err().unwrap().code, code);
        }
        let several = NotMeant::Several { names: vec!["a.b".to_owned(), "a.c".to_owned()] };
        let problem = not_here(&trace, several).err().unwrap();
        assert_eq!(problem.help.as_deref(), Some("name one of a.b, a.c"));
        assert!(not_here(&why, NotMeant::Unknown { names: Vec::new() }).ok().unwrap().absent);
    }
}
