use keyroll_link::LinkError;

/// Why a host was not reached, or `keyroll-host` does not work there.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// There is no ssh here, or it cannot be started.
    #[error("ssh cannot be started: {0}")]
    NoSsh(String),
    /// ssh ended before the host said anything that is understood.
    #[error("{}", ssh_ended(.said, *.code))]
    Ssh {
        /// Its last line; before that, the line that says what is wrong with the key of the host.
        said: String,
        /// Its exit status: 255 is its own failure, another that of the host's shell.
        code: Option<i32>,
    },
    /// No `keyroll-host` for this kind of machine is here.
    #[error("there is no keyroll-host for a machine of the kind {0} here")]
    NoProgramFor(String),
    /// The host's folder for it cannot be made, or belongs to somebody else.
    #[error("the folder ~/.cache/keyroll cannot be used on the host")]
    NoCache,
    /// It does not fit there.
    #[error("keyroll-host could not be written whole on the host{}", free(*.free_kib))]
    NoSpace {
        /// What is free there, KiB.
        free_kib: Option<u64>,
    },
    /// It is there and cannot be started.
    #[error("keyroll-host cannot be started on the host")]
    NoExec,
    /// Something else arrived than was sent.
    #[error("what arrived on the host is not the keyroll-host that was sent")]
    WrongSum,
    /// The host says something that is not understood.
    #[error("the host says something that keyroll does not understand: {0}")]
    Noise(String),
    /// The host said nothing in time.
    #[error("the host did not answer within {seconds} s")]
    Late {
        /// How long was waited.
        seconds: u64,
    },
    /// `keyroll-host` was started, and its first answer cannot be used.
    #[error(transparent)]
    Link(#[from] LinkError),
}

fn ssh_ended(said: &str, code: Option<i32>) -> String {
    match (said, code) {
        ("", Some(code)) => format!("ssh ended with exit status {code} and said nothing"),
        ("", None) => "ssh ended and said nothing".to_owned(),
        (said, _) => format!("ssh: {said}"),
    }
}

fn free(free_kib: Option<u64>) -> String {
    free_kib.map(|free_kib| format!(": {free_kib} KiB are free there")).unwrap_or_default()
}
