use std::fmt;

/// Why an exchange has no response. It holds no byte of the request or of the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// Nothing was sent: the request had no effect.
    NotSent(String),
    /// This machine trusts no certificate authority; nothing was sent.
    NoRoots,
    /// The request may have had its effect: its sending had begun.
    Lost(String),
    /// The time limit passed.
    TimedOut {
        /// True when the sending of the request had begun.
        sent: bool,
    },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) | Self::Lost(why) => f.write_str(why),
            Self::NoRoots => f.write_str("there is no root certificate to trust"),
            Self::TimedOut { .. } => f.write_str("no answer in time"),
        }
    }
}

impl std::error::Error for HttpError {}
