mod iam;
mod server;

use serde_json::{Value, json};

use self::server::{Server, profile};

pub use self::iam::{IamLogin, MotoIam};
pub use self::server::MOTO_REGION;

/// The server: moto, and what AWS documents where moto is not like that.
const SCRIPT: &str = include_str!("moto/server.py");

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MotoUser {
    /// With the rights that keyroll needs.
    Keyroll,
    /// With the right to read alone.
    Reader,
    /// With the rights to read and to put a version, and without that to move a label.
    Putter,
}

/// A throw-away AWS Secrets Manager on a free loopback port: moto, which checks every signature and every right.
pub struct Moto(Server);

impl Moto {
    /// A server without a secret, or `None` with a line that says what is left out, where moto cannot be had.
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

    /// Another party makes a secret with this text in [`MOTO_REGION`]; with `replica`, also a copy in that region.
    pub fn create(&self, id: &str, text: &str, replica: Option<&str>) {
        self.0.other(&json!({ "act": "create", "id": id, "text": text, "replica": replica }));
    }

    /// Another party makes a secret of bytes, here in Base64.
    pub fn create_binary(&self, id: &str, base64: &str) {
        self.0.other(&json!({ "act": "create", "id": id, "binary": base64 }));
    }

    /// Another party makes a version with these labels; its id.
    pub fn put(&self, id: &str, text: &str, labels: &[&str]) -> String {
        let told = self.0.other(&json!({ "act": "put", "id": id, "text": text, "labels": labels }));
        told.get("version").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The ids of the versions with this label.
    pub fn labelled(&self, id: &str, label: &str) -> Vec<String> {
        let told = self.0.other(&json!({ "act": "versions", "id": id }));
        let all = told.as_object().into_iter().flatten();
        let has = |labels: &Value| labels.as_array().is_some_and(|all| all.iter().any(|it| it == label));
        all.filter(|(_, labels)| has(labels)).map(|(version, _)| version.clone()).collect()
    }

    /// How many versions there are, with and without labels.
    pub fn count(&self, id: &str) -> usize {
        self.0.other(&json!({ "act": "versions", "id": id })).as_object().map_or(0, serde_json::Map::len)
    }

    /// The text that is given out.
    pub fn text(&self, id: &str) -> String {
        let told = self.0.other(&json!({ "act": "current", "id": id }));
        told.get("text").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Another party schedules a secret for deletion.
    pub fn delete(&self, id: &str) {
        self.0.other(&json!({ "act": "delete", "id": id }));
    }

    /// A profile for AWS's configuration file with the credentials of a user. The endpoint is this server, or what stands
    /// before it at another port.
    pub fn profile(&self, name: &str, user: MotoUser, port: u16) -> String {
        let (id, secret) = self.key(user);
        profile(name, port, (&id, &secret))
    }

    /// The key of a user: its id and its secret.
    pub fn key(&self, user: MotoUser) -> (String, String) {
        self.0.login(match user {
            MotoUser::Keyroll => "keyroll",
            MotoUser::Reader => "reader",
            MotoUser::Putter => "putter",
        })
    }
}
