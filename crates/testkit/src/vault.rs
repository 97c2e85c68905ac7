mod database;
mod key_value;
mod reply;
mod request;
mod state;
mod storage;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use zeroize::Zeroizing;

use self::key_value::{delete, undelete};
use self::reply::Reply;
use self::request::Request;
use self::state::State;
use self::storage::{Engine, Role, Secret, Storage, Version};
use crate::alphanumeric;

pub use self::database::AfterRotation;
pub use self::storage::VaultUser;

/// Letters and digits of a role's id, and of its secret id.
const ID_CHARS: usize = 36;

/// A fake of Vault and OpenBao on a free loopback port, in the test's own process: it answers as their documents say, and
/// knows nothing else. Key/value engines of version 2 are at `kv` and `team/kv`, one of version 1 is at `old`; a test can
/// mount the database engine at `database`.
///
/// A document is kept byte by byte as it was written; the real servers sort its keys and write escapes and numbers in their
/// own way. It has no namespaces, and does not look at their header.
#[derive(Clone)]
pub struct FakeVault {
    state: Arc<Mutex<State>>,
    /// Whether the answers to `rotate-role` are held back.
    held: Arc<(Mutex<bool>, Condvar)>,
    address: SocketAddr,
}

/// The whole storage at one moment: secrets, tokens, roles, and the passwords of static roles.
/// Source: <https://developer.hashicorp.com/vault/api-docs/system/storage/raft#take-a-snapshot-of-the-raft-cluster>.
pub struct VaultSnapshot(Storage);

impl FakeVault {
    /// Starts it, without a secret.
    ///
    /// # Panics
    /// If it cannot listen on the loopback address.
    #[allow(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the loopback address");
        let address = listener.local_addr().expect("the port that was bound");
        let server = Self { state: Arc::default(), held: Arc::default(), address };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                thread::spawn(move || server.serve(stream, Self::answer));
            }
        });
        server
    }

    /// Listens at a Unix socket as an agent with auto-auth and `require_request_header` does: a request without a token gets
    /// that of [`VaultUser::Keyroll`], and one without the header `X-Vault-Request: true` is refused.
    /// Sources: <https://developer.hashicorp.com/vault/docs/agent-and-proxy/proxy/apiproxy>;
    /// <https://github.com/openbao/openbao/blob/main/command/agent.go>, `verifyRequestHeader`.
    ///
    /// # Panics
    /// If it cannot listen there.
    #[allow(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub fn agent(&self, socket: &Path) {
        let listener = UnixListener::bind(socket).expect("a socket in the test's own folder");
        let serving = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                thread::spawn(move || server.serve(stream, Self::pass_on));
            }
        });
    }

    /// Its port of the loopback address.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// A new token.
    pub fn token(&self, user: VaultUser) -> String {
        self.state().token(user)
    }

    /// A new role of AppRole: its id, and a secret id.
    pub fn approle(&self, user: VaultUser) -> (String, String) {
        let (role_id, secret_id) = (alphanumeric(ID_CHARS), alphanumeric(ID_CHARS));
        self.state().storage.roles.push(Role {
            role_id: role_id.clone(),
            secret_id: secret_id.clone(),
            user,
        });
        (role_id, secret_id)
    }

    /// Somebody else writes a version; its number.
    ///
    /// # Panics
    /// If no engine is at this path.
    pub fn put(&self, path: &str, document: &str) -> u64 {
        assert!(Engine::of(path).is_some_and(|(_, secret)| !secret.is_empty()), "no engine is at {path}");
        self.state().storage.put(path, document.trim().as_bytes())
    }

    /// The document of the last version.
    ///
    /// # Panics
    /// If there is none.
    pub fn text(&self, path: &str) -> String {
        self.secret(path, |secret| {
            let document = secret.version(None).map(|(_, version)| version.document()).unwrap_or_default();
            String::from_utf8_lossy(&document).into_owned()
        })
    }

    /// The number of the last version.
    ///
    /// # Panics
    /// If there is none.
    pub fn version(&self, path: &str) -> u64 {
        self.secret(path, |secret| secret.current)
    }

    /// How many versions are known, also deleted ones.
    ///
    /// # Panics
    /// If there is no such secret.
    pub fn count(&self, path: &str) -> usize {
        self.secret(path, |secret| secret.versions.len())
    }

    /// Deletes a version, so that it can be undeleted.
    pub fn delete(&self, path: &str, version: u64) {
        self.state().storage.change(path, &[version], delete);
    }

    /// Gives out a deleted version again.
    pub fn undelete(&self, path: &str, version: u64) {
        self.state().storage.change(path, &[version], undelete);
    }

    /// Removes the data of a version for good.
    pub fn destroy(&self, path: &str, version: u64) {
        self.state().storage.change(path, &[version], Version::destroy);
    }

    /// Seals or unseals it.
    pub fn seal(&self, sealed: bool) {
        self.state().sealed = sealed;
    }

    /// From now on it is a standby node that sends clients to the active one, or the active one again.
    pub fn standby(&self, is: bool) {
        self.state().standby = is;
    }

    /// From now on a rate limit is exceeded, or is not any more.
    pub fn quota(&self, is: bool) {
        self.state().quota = is;
    }

    /// Everything that is stored now.
    pub fn snapshot(&self) -> VaultSnapshot {
        VaultSnapshot(self.state().storage.clone())
    }

    /// Everything is as it was then.
    pub fn restore(&self, snapshot: &VaultSnapshot) {
        self.state().storage = snapshot.0.clone();
    }

    /// The lease of every token ends.
    pub fn expire_tokens(&self) {
        self.state().storage.tokens.clear();
    }

    /// A line for each request: method, path and status.
    pub fn log(&self) -> String {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[allow(clippy::panic, reason = "a test that asks for what is not there is broken")]
    fn secret<T>(&self, path: &str, of: impl Fn(&Secret) -> T) -> T {
        match self.state().storage.secrets.get(path) {
            Some(secret) => of(secret),
            None => panic!("no secret is at {path}"),
        }
    }

    fn answer(&self, request: &Request) -> Reply {
        self.state().answer(request)
    }

    fn pass_on(&self, request: &Request) -> Reply {
        if !request.from_a_client {
            return Reply::error(412, "missing 'X-Vault-Request' header");
        }
        if request.token.is_some() {
            return self.answer(request);
        }
        let token = Some(Zeroizing::new(self.token(VaultUser::Keyroll)));
        self.answer(&request.with(token))
    }

    fn serve(&self, mut stream: impl Read + Write, answer: fn(&Self, &Request) -> Reply) {
        while let Some(request) = Request::read(&mut stream) {
            let reply = answer(self, &request);
            self.wait_while_held(&request);
            let sent = stream.write_all(&reply.bytes()).and_then(|()| stream.flush());
            if sent.is_err() || request.is_last {
                break;
            }
        }
    }
}
