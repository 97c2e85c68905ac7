//! Why a call failed, for the driver, which makes a problem of it.

use std::error::Error;

use keyroll_codes::Code;
use keyroll_inventory::NotMeant;
use keyroll_link::End;
use keyroll_port::{Class, Failure};

/// A failure with one cause.
pub(crate) fn failed(code: Code, attempted: &str, cause: impl Into<String>, help: Option<String>) -> End {
    let (code, attempted) = (code.to_string(), attempted.to_owned());
    End::Failed { code, attempted, causes: vec![cause.into()], help }
}

/// A failure because of an error and its causes.
pub(crate) fn failed_of(code: Code, attempted: &str, error: &dyn Error, help: &str) -> End {
    let (mut causes, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        causes.push(error.to_string());
        next = error.source();
    }
    let (code, attempted) = (code.to_string(), attempted.to_owned());
    End::Failed { code, attempted, causes, help: Some(help.to_owned()) }
}

/// The driver asked something that it may not ask now, or that has another form.
pub(crate) fn not_understood(why: &str) -> End {
    failed(Code::InternalError, "answer keyroll", why, None)
}

/// The driver ordered something that it may not order now, or that has another form: nothing was changed.
pub(crate) fn no_order(why: &'static str) -> Failure {
    Failure::new(Class::Permanent, Code::InternalError, "carry out an order of keyroll").because(why)
}

/// The word means nothing here, or several things. It is not repeated: it may be a value.
pub(crate) fn not_meant(not: NotMeant) -> End {
    let secret = |cause: &str, help| failed(Code::NameNotFound, "find the secret", cause, help);
    match not {
        NotMeant::NoFile(why) => {
            let help = "keyroll trace SECRET lists every file that holds it".to_owned();
            failed(Code::NameNotFound, "find the file", why, Some(help))
        }
        // The driver knows which command lists the names of this host.
        NotMeant::Unknown { .. } => secret("no secret, process or file has this name", None),
        NotMeant::Several { names } => {
            secret("several secrets have this name", Some(format!("name one of {}", names.join(", "))))
        }
    }
}
