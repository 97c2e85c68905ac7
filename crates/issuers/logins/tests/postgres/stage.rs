//! A real cluster with one database, its owner, and the issuer over them.

use keyroll_logins::postgres::{Admin, Options, Postgres, REQUEST_MS_MAX_DEFAULT};
use keyroll_port::{Issuer, Probe};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};
use keyroll_testkit::{Postgres as Server, alphanumeric};
use tokio_postgres::Client;

pub struct Stage {
    pub server: Server,
    pub issuer: Postgres,
    pub current: Credential,
    pub names: Names,
}

/// The names of the roles; tests may choose hostile ones.
#[derive(Clone)]
pub struct Names {
    pub owner: String,
    pub slots: [String; 2],
    pub dbname: String,
}

impl Default for Names {
    fn default() -> Self {
        let name = str::to_owned;
        Self { owner: name("orders"), slots: [name("orders_a"), name("orders_b")], dbname: name("orders") }
    }
}

impl Stage {
    /// The usual stage: `orders` owns the database and is what consumers log in as.
    pub async fn new(left_out: &str) -> Option<Self> {
        Self::named(Names::default(), left_out).await
    }

    pub async fn named(names: Names, left_out: &str) -> Option<Self> {
        Self::with(names, left_out, &[]).await
    }

    /// With further settings of the server.
    pub async fn with(names: Names, left_out: &str, settings: &[&str]) -> Option<Self> {
        let server = Server::start_or_skip_with(left_out, settings)?;
        let password = alphanumeric(20);
        let admin = server.connect_admin("postgres").await.unwrap();
        let (owner, dbname) = (quoted(&names.owner), quoted(&names.dbname));
        admin.batch_execute(&format!("CREATE ROLE {owner} LOGIN PASSWORD '{password}'")).await.unwrap();
        admin.batch_execute(&format!("CREATE DATABASE {dbname} OWNER {owner}")).await.unwrap();
        let current = credential(&names.owner, &password);
        let admin = (server.superuser().to_owned(), server.password().to_owned());
        let issuer = issuer(&server, &names, &admin.0, &admin.1);
        Some(Self { server, issuer, current, names })
    }

    /// A connection as the superuser to the database.
    pub async fn admin(&self) -> Client {
        self.server.connect_admin(&self.names.dbname).await.unwrap()
    }

    /// Runs statements as the superuser.
    pub async fn sql(&self, statements: &str) {
        self.admin().await.batch_execute(statements).await.unwrap();
    }

    /// One value as the superuser sees it.
    pub async fn text(&self, query: &str) -> Option<String> {
        self.admin().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// A session of the credential, as a consumer would hold it.
    pub async fn session(&self, credential: &Credential) -> Client {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        self.server.connect(&user, &password, &self.names.dbname).await.unwrap()
    }

    /// Awaits that the server's log holds all that was refused until now: a later refusal is in it.
    pub async fn recorded(&self) {
        let marker = format!("marker_{}", alphanumeric(12).to_lowercase());
        assert!(self.server.connect(&marker, "wrong", "postgres").await.is_err());
        let log = self.server.log_folder();
        let there = || async {
            let collected = std::fs::read_dir(&log).into_iter().flatten().flatten().map(|file| file.path());
            let mut files = collected.collect::<Vec<_>>();
            if files.is_empty() {
                files.push(self.server.log_file());
            }
            let shows = |file: &std::path::PathBuf| {
                String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(&marker)
            };
            // In every form of the log.
            (!files.is_empty() && files.iter().any(shows)).then_some(())
        };
        keyroll_testkit::until(keyroll_testkit::Deadline::seconds(60), there).await.unwrap();
    }

    pub async fn probe(&self, credential: &Credential) -> Probe {
        let endpoint = self.issuer.endpoints().remove(0);
        self.issuer.probe(&endpoint, credential).await
    }

    /// Proposes and mints the next credential.
    pub async fn mint(&self, label: &str, current: &Credential) -> Credential {
        let proposed = self.issuer.propose(current).unwrap().unwrap();
        let minted = self.issuer.mint(label, current, Some(&proposed)).await.unwrap();
        Credential { id: Some(minted.id), fields: minted.fields }
    }

    /// The issuer as another admin sees it.
    pub fn issuer_as(&self, user: &str, password: &str) -> Postgres {
        issuer(&self.server, &self.names, user, password)
    }
}

pub fn issuer(server: &Server, names: &Names, user: &str, password: &str) -> Postgres {
    Postgres::new(options(server.port(), names, user, password)).unwrap()
}

pub fn options(port: u16, names: &Names, user: &str, password: &str) -> Options {
    Options {
        host: "127.0.0.1".to_owned(),
        port,
        dbname: names.dbname.clone(),
        owner_role: names.owner.clone(),
        slots: names.slots.clone(),
        root_certificates: None,
        admin: Admin {
            user: user.to_owned(),
            password: Some(SecretBytes::from(password.to_owned())),
            socket_dir: None,
        },
        log: None,
        poolers: Vec::new(),
        request_ms_max: REQUEST_MS_MAX_DEFAULT,
    }
}

pub fn credential(user: &str, password: &str) -> Credential {
    let mut fields = Fields::new();
    fields.insert("user", SecretBytes::from(user.to_owned()), false);
    fields.insert("password", SecretBytes::from(password.to_owned()), true);
    Credential { id: Some(CredentialId::new(user)), fields }
}

pub fn field(credential: &Credential, name: &str) -> String {
    String::from_utf8(credential.fields.get(name).unwrap().value.expose().to_vec()).unwrap()
}

pub fn id(credential: &Credential) -> &CredentialId {
    credential.id.as_ref().unwrap()
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The credential with another password.
pub fn with_password(credential: &Credential, password: &str) -> Credential {
    let mut copy = credential.duplicate();
    copy.fields.insert("password", SecretBytes::from(password.to_owned()), true);
    copy
}
