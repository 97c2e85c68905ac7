use std::net::SocketAddr;

use keyroll_port::{Session, Sessions};
use serde::{Deserialize, Serialize};

use super::limits::forms;

/// One live session at the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionForm {
    /// The client's end of the connection.
    pub client: Option<SocketAddr>,
    /// The client's process id, for local sockets only.
    pub pid: Option<u32>,
    /// A request or transaction is running on it.
    pub busy: bool,
    /// The issuer's own handle for it.
    pub handle: String,
    /// How many requests the issuer accepted on it so far.
    pub calls: Option<u64>,
}

/// Live sessions at the issuer, per version; `None` = not visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsForm {
    /// On the old version.
    pub old: Option<Vec<SessionForm>>,
    /// On the new version.
    pub new: Option<Vec<SessionForm>>,
}

impl From<&Session> for SessionForm {
    fn from(session: &Session) -> Self {
        let Session { client, pid, busy, handle, calls } = session;
        Self { client: *client, pid: *pid, busy: *busy, handle: handle.clone(), calls: *calls }
    }
}

impl SessionForm {
    /// The session.
    pub fn into_port(self) -> Session {
        let Self { client, pid, busy, handle, calls } = self;
        Session { client, pid, busy, handle, calls }
    }
}

impl From<&Sessions> for SessionsForm {
    fn from(sessions: &Sessions) -> Self {
        let all = |some: &Option<Vec<Session>>| -> Option<Vec<SessionForm>> { some.as_deref().map(forms) };
        Self { old: all(&sessions.old), new: all(&sessions.new) }
    }
}

impl SessionsForm {
    /// The sessions.
    pub fn into_port(self) -> Sessions {
        let all = |some: Option<Vec<SessionForm>>| -> Option<Vec<Session>> {
            some.map(|all| all.into_iter().map(SessionForm::into_port).collect())
        };
        Sessions { old: all(self.old), new: all(self.new) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_are_not_visible_are_not_those_that_are_none() {
        let session = Session {
            client: Some("[2001:db8::1]:40112".parse().unwrap()),
            pid: Some(4711),
            busy: true,
            handle: "17".to_owned(),
            calls: Some(3),
        };
        let local = Session { client: None, pid: None, busy: false, handle: String::new(), calls: None };
        for old in [None, Some(Vec::new()), Some(vec![session, local])] {
            let form = SessionsForm::from(&Sessions { old: old.clone(), new: None });
            let written = serde_json::to_string(&form).unwrap();
            let read = serde_json::from_str::<SessionsForm>(&written).unwrap();
            assert_eq!(read, form);
            let sessions = read.into_port();
            assert_eq!((sessions.old, sessions.new), (old, None));
        }
    }
}
