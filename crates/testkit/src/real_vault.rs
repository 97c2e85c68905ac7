mod program;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::free_port;
use crate::keeper::Keeper;

const START_MS_MAX: u64 = 60_000;
const LOOK_PAUSE_MS: u64 = 20;

/// How long an answer may take, milliseconds. Vault gives up a request after 90 seconds. Source:
/// <https://developer.hashicorp.com/vault/docs/configuration/listener/tcp#default_max_request_duration>.
const ANSWER_MS_MAX: u64 = 100_000;

/// How long a token that a test gets is valid.
const TOKEN_TTL: &str = "1h";

/// The database connection of [`RealVault::database`].
const CONNECTION: &str = "orders";

/// The real Vault 1.21.4 on a free loopback port, a program of its own. Key/value engines of version 2 are at `kv` and
/// `team/kv`, one of version 1 is at `old`, the database engine is at `database`, and AppRole at `approle`. It writes an
/// audit file. It ends when this is dropped.
///
/// A method that asks it for something panics where it refuses: a broken part is a broken test.
pub struct RealVault {
    keeper: Option<Keeper>,
    home: TempDir,
    program: PathBuf,
    port: u16,
}

impl RealVault {
    /// A server without a secret, or `None` with a line that says what is left out, where the program cannot be built.
    ///
    /// # Panics
    /// If that is so although `CI=true`, or if it cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start_or_skip(left_out: &str) -> Option<Self> {
        let program = match program::built() {
            Ok(program) => program,
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{left_out} needs Vault here: {why}");
                eprintln!("left out: {left_out} ({why})");
                return None;
            }
        };
        match Self::start(program) {
            Ok(server) => Some(server),
            Err(error) => panic!("Vault could not be started: {error}"),
        }
    }

    fn start(program: PathBuf) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("keyroll-vault-").tempdir()?;
        let mut server = Self { keeper: None, home, program, port: free_port()? };
        server.run()?;
        let token = Zeroizing::new(server.key("root_token")?);
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).open(server.root_token_file())?;
        file.write_all(token.as_bytes())?;
        let audit = server.at("audit.log").display().to_string();
        server.post("sys/audit/file", &json!({ "type": "file", "options": { "file_path": audit } }));
        for (path, version) in [("kv", "2"), ("team/kv", "2"), ("old", "1")] {
            let engine = json!({ "type": "kv", "options": { "version": version } });
            server.post(&format!("sys/mounts/{path}"), &engine);
        }
        server.post("sys/mounts/database", &json!({ "type": "database" }));
        server.post("sys/auth/approle", &json!({ "type": "approle" }));
        // An engine of version 2 prepares its storage at first, and refuses requests meanwhile.
        for path in ["kv/config", "team/kv/config"] {
            server.wait(path)?;
        }
        Ok(server)
    }

    fn run(&mut self) -> io::Result<()> {
        let words = [
            self.program.display().to_string(),
            format!("-storage={}", self.at("storage").display()),
            format!("-keys={}", self.at("keys").display()),
            format!("-port={}", self.port),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let log = File::options().create(true).append(true).open(self.at("server.log"))?;
        self.keeper = Some(Keeper::start(&words, log)?);
        self.wait("sys/health")
    }

    /// Waits until this path is answered with 200.
    fn wait(&self, path: &str) -> io::Result<()> {
        let end = Instant::now() + Duration::from_millis(START_MS_MAX);
        // The port is not open at first.
        while !self.ask("GET", path, "").is_ok_and(|(status, _)| status == 200) {
            if Instant::now() >= end {
                return Err(io::Error::other(self.log()));
            }
            sleep(Duration::from_millis(LOOK_PAUSE_MS));
        }
        Ok(())
    }

    /// Stops it in good order and starts it again with its storage, on the same port, unsealed.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.keeper = None;
        self.run()
    }

    /// Its port of the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file, which only its owner may read, of the token that may do everything.
    pub fn root_token_file(&self) -> PathBuf {
        self.at("root-token")
    }

    /// A request with every right; the status and the body of its answer, which is null where there is none.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        match self.ask(method, path, &body.to_string()) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// What is read at this path: the member `data`.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn get(&self, path: &str) -> Value {
        match self.ask("GET", path, "") {
            Ok((200, mut answer)) => answer.get_mut("data").map(Value::take).unwrap_or_default(),
            Ok((status, _)) => panic!("GET {path}: {status}"),
            Err(error) => panic!("GET {path}: {error}"),
        }
    }

    /// Writes this at a path; the answer.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call("POST", path, body);
        // What is asked and answered may be a secret.
        assert!((200..300).contains(&status), "POST {path}: {status}");
        answer
    }

    /// Makes a policy, in Vault's language.
    pub fn policy(&self, name: &str, text: &str) {
        self.post(&format!("sys/policies/acl/{name}"), &json!({ "policy": text }));
    }

    /// A new token with this policy.
    pub fn token(&self, policy: &str) -> String {
        let answer = self.post("auth/token/create", &json!({ "policies": [policy], "ttl": TOKEN_TTL }));
        text(&answer, "/auth/client_token")
    }

    /// The token ends.
    pub fn revoke_token(&self, token: &str) {
        self.post("auth/token/revoke", &json!({ "token": token }));
    }

    /// A role of AppRole with this policy: its id, and a new secret id.
    pub fn approle(&self, policy: &str) -> (String, String) {
        let role = format!("auth/approle/role/{policy}");
        self.post(&role, &json!({ "token_policies": [policy], "token_ttl": TOKEN_TTL }));
        let role_id = text(&self.get(&format!("{role}/role-id")), "/role_id");
        let secret_id = self.post(&format!("{role}/secret-id"), &json!({}));
        (role_id, text(&secret_id, "/data/secret_id"))
    }

    /// The connection of the database engine to the PostgreSQL server at this port of the loopback address, as a login that
    /// may change others. The server gets verifiers of passwords, which may stand in its log.
    pub fn database(&self, port: u16, dbname: &str, (user, password): (&str, &str)) {
        let url = format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/{dbname}?sslmode=disable"
        );
        let settings = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": url,
            "username": user, "password": password, "password_authentication": "scram-sha-256",
        });
        self.post(&format!("database/config/{CONNECTION}"), &settings);
    }

    /// Makes a static role, which rotates at once; or gives one another period, and then it does not rotate.
    pub fn static_role(&self, name: &str, login: &str, period_s: u64) {
        let settings = json!({ "username": login, "db_name": CONNECTION, "rotation_period": period_s });
        self.post(&format!("database/static-roles/{name}"), &settings);
    }

    /// The password of a static role, and the time of its last rotation, as they are shown.
    pub fn static_credential(&self, name: &str) -> (String, String) {
        let shown = self.get(&format!("database/static-creds/{name}"));
        (text(&shown, "/password"), text(&shown, "/last_vault_rotation"))
    }

    /// Seals it.
    pub fn seal(&self) {
        self.post("sys/seal", &json!({}));
    }

    /// Unseals it, and waits until it answers.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn unseal(&self) {
        let done = self.key("unseal_key").and_then(|key| {
            self.post("sys/unseal", &json!({ "key": key }));
            self.wait("sys/health")
        });
        if let Err(error) = done {
            panic!("unseal Vault: {error}");
        }
    }

    /// The audit file: a JSON object for each request and each answer, with secrets as HMAC.
    pub fn audit(&self) -> String {
        fs::read_to_string(self.at("audit.log")).unwrap_or_default()
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.at("server.log")).unwrap_or_default()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// One of the keys that the program wrote down.
    fn key(&self, name: &str) -> io::Result<String> {
        let keys: Value = serde_json::from_slice(&Zeroizing::new(fs::read(self.at("keys"))?))?;
        let key = keys.get(name).and_then(Value::as_str);
        key.map(str::to_owned).ok_or_else(|| io::Error::other(format!("no {name}")))
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let token = Zeroizing::new(self.key("root_token")?);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_millis(ANSWER_MS_MAX)))?;
        // The older version, so that the answer comes in one piece and ends with the connection.
        let request = Zeroizing::new(format!(
            "{method} /v1/{path} HTTP/1.0\r\nHost: localhost\r\nX-Vault-Token: {}\r\nX-Vault-Request: true\r\n\
             Content-Length: {}\r\n\r\n{body}",
            *token,
            body.len()
        ));
        stream.write_all(request.as_bytes())?;
        let mut answer = Zeroizing::new(String::new());
        stream.read_to_string(&mut answer)?;
        let odd = || io::Error::other("no whole answer");
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(odd)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(odd)?;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body)? };
        Ok((status, body))
    }
}

#[allow(clippy::panic, reason = "a broken part is a broken test")]
fn text(answer: &Value, pointer: &str) -> String {
    match answer.pointer(pointer).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => panic!("Vault's answer has no {pointer}"),
    }
}
