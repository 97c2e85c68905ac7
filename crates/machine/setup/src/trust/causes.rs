//! A failure with several causes.

use std::error::Error;
use std::fmt;

use keyroll_port::Failure;

/// One of several causes, with those after it as its own source.
#[derive(Debug)]
struct Cause {
    text: String,
    next: Option<Box<Cause>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.next.as_deref().map(|next| next as &(dyn Error + 'static))
    }
}

/// The failure with these causes, outermost first.
pub(super) fn because_all(failure: Failure, causes: impl DoubleEndedIterator<Item = String>) -> Failure {
    let mut first: Option<Box<Cause>> = None;
    for text in causes.rev() {
        first = Some(Box::new(Cause { text, next: first }));
    }
    match first {
        Some(first) => failure.because(*first),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use keyroll_codes::Code;
    use keyroll_port::Class;

    use super::*;

    #[test]
    fn every_cause_is_shown_once_and_in_order() {
        let causes = ["one", "two", "three"].map(str::to_owned);
        let failure = Failure::new(Class::Permanent, Code::OpenToOtherUsers, "trust it");
        let failure = because_all(failure, causes.clone().into_iter());
        let mut shown = Vec::new();
        let mut next = failure.source();
        while let Some(error) = next {
            shown.push(error.to_string());
            next = error.source();
        }
        assert_eq!(shown, causes);
    }
}
