use std::io;

use crate::problem::Problem;

/// Where a command writes that passes somebody else's bytes on, without what is secret; events and messages do not go here.
pub(crate) fn out() -> io::Stdout {
    io::stdout()
}

/// The same for what a program writes beside its output.
pub(crate) fn err() -> io::Stderr {
    io::stderr()
}

/// What was asked for could not be written.
pub(crate) fn not_written(error: &io::Error) -> Problem {
    Problem::new("K0886", "write down what was asked for")
        .because_of(error)
        .help("make room where stdout goes, then run the same command again")
}
