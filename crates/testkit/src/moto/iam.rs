use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::server::{Server, profile};

/// The server: moto, and what AWS documents where moto is not like that.
const SCRIPT: &str = include_str!("iam.py");

/// Who asks, with a key of the user's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IamLogin {
    /// With the rights to manage access keys.
    Keyroll,
    /// With the right to list access keys alone.
    Lister,
    /// Without any right.
    Nobody,
}

impl IamLogin {
    fn name(self) -> &'static str {
        match self {
            Self::Keyroll => "keyroll",
            Self::Lister => "lister",
            Self::Nobody => "nobody",
        }
    }
}

/// A throw-away IAM and STS on a free loopback port: moto, which checks every signature and every right, and refuses keys that
/// are not Active.
pub struct MotoIam(Server);

impl MotoIam {
    /// A server, or `None` with a line that says what is left out, where moto cannot be had.
    ///
    /// # Panics
    /// If it cannot be had although `CI=true`, or if a server cannot be started.
    pub fn start_or_skip(what: &str) -> Option<Self> {
        Server::start_or_skip(SCRIPT, what).map(Self)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// What the server has written so far.
    ///
    /// # Panics
    /// If that cannot be read.
    pub fn log(&self) -> String {
        self.0.log()
    }

    /// The access key of one of the server's own users: its id and its secret.
    pub fn login(&self, login: IamLogin) -> (String, String) {
        self.0.login(login.name())
    }

    /// Another party makes a user, without a key and without a right.
    pub fn user(&self, user: &str) {
        self.0.other(&json!({ "act": "user", "user": user }));
    }

    /// Another party makes a key of a user: its id and its secret.
    pub fn make(&self, user: &str) -> (String, String) {
        let made = self.0.other(&json!({ "act": "make", "user": user }));
        let [id, secret] = ["id", "secret"]
            .map(|what| made.get(what).and_then(Value::as_str).unwrap_or_default().to_owned());
        (id, secret)
    }

    /// Another party deletes a key of a user.
    pub fn end(&self, user: &str, id: &str) {
        self.0.other(&json!({ "act": "end", "user": user, "id": id }));
    }

    /// Another party makes a key of a user `Active` or `Inactive`.
    pub fn switch(&self, user: &str, id: &str, status: &str) {
        self.0.other(&json!({ "act": "switch", "user": user, "id": id, "status": status }));
    }

    /// The keys of a user: the id and the status of each.
    pub fn keys(&self, user: &str) -> BTreeMap<String, String> {
        let told = self.0.other(&json!({ "act": "keys", "user": user }));
        let all = told.as_object().into_iter().flatten();
        all.map(|(id, status)| (id.clone(), status.as_str().unwrap_or_default().to_owned())).collect()
    }

    /// A profile for AWS's configuration file with the key of a login. The endpoint is this server, or what stands before it
    /// at another port.
    pub fn profile(&self, name: &str, login: IamLogin, port: u16) -> String {
        let (id, secret) = self.login(login);
        profile(name, port, (&id, &secret))
    }
}
