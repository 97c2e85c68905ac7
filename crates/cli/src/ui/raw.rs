use std::io;

/// Where a command writes that passes somebody else's bytes on, without what is secret; events and messages do not go here.
pub(crate) fn out() -> io::Stdout {
    io::stdout()
}

/// The same for what a program writes beside its output.
pub(crate) fn err() -> io::Stderr {
    io::stderr()
}
