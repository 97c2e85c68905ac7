//! What can be done about a wait, by what it is: the texts are for people alone, and nothing is read from them.

/// One way past a wait or a blocker: something outside of keyroll, perhaps, and then these commands in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// What has to be done first; a sentence.
    pub first: Option<String>,
    /// The commands after that.
    pub then: Vec<Command>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Consents to the end of the old key.
    Confirm,
    /// Rolls the rotation back.
    Abort,
    /// Goes on with what is paused or stuck.
    Resume,
    /// Declares something in the object, and begins another rotation.
    Declare,
    /// Hands a value over; the command of keyroll that reads it from stdin.
    HandOver(String),
    /// A command of keyroll, for where it runs.
    Keyroll(String),
    /// A command of a keyroll elsewhere, which asks the server.
    Elsewhere(String),
}

impl Way {
    /// Whether it only has the rotation go on.
    pub(crate) fn only_goes_on(&self) -> bool {
        self.then == [Command::Resume]
    }
}
