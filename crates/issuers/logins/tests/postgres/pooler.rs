//! A real PgBouncer in front of a real server: which clients use its connections, and which logins the connections
//! would keep accepting.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use keyroll_logins::postgres::{Admin, Options, Pooler, Postgres};
use keyroll_port::Issuer;
use keyroll_secret::{Credential, SecretBytes};
use keyroll_testkit::{Deadline, PgBouncer, TempDir, alphanumeric, free_port, until};
use tokio_postgres::{Client, Config, NoTls};

use crate::postgres::stage::{Stage, field, id, options};

/// How long a change may take until it is visible, seconds.
const SEEN_S_MAX: u64 = 60;

struct Pooled {
    stage: Stage,
    _pooler: PgBouncer,
    _home: TempDir,
    port: u16,
    stats: String,
}

impl Pooled {
    async fn new(left_out: &str) -> Option<Self> {
        Self::with("pool_mode = transaction", left_out).await
    }

    async fn with(settings: &str, left_out: &str) -> Option<Self> {
        if !PgBouncer::is_there(left_out) {
            return None;
        }
        let stage = Stage::new(left_out).await?;
        let (home, port, stats) = (TempDir::new().unwrap(), free_port().unwrap(), alphanumeric(20));
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let folder: PathBuf = home.path().join("pooler");
        fs::create_dir(&folder).unwrap();
        let password = field(&stage.current, "password");
        let list = format!(
            "\"stats\" \"{stats}\"\n\"orders\" \"{password}\"\n\"postgres\" \"{}\"\n",
            stage.server.password()
        );
        fs::write(folder.join("userlist.txt"), list).unwrap();
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\n{settings}\nauth_type = scram-sha-256\nauth_file = {}/userlist.txt\n\
             stats_users = stats\nignore_startup_parameters = options\n\
             query_wait_timeout = 2\nserver_login_retry = 1\n",
            stage.server.port(),
            folder.display()
        );
        fs::write(folder.join("pgbouncer.ini"), ini).unwrap();
        let pooler = PgBouncer::start(&folder, port).unwrap();
        Some(Self { stage, _pooler: pooler, _home: home, port, stats })
    }

    fn options(&self, stats: &str) -> Options {
        let server = &self.stage.server;
        let admin = Admin {
            user: "stats".to_owned(),
            password: Some(SecretBytes::from(stats.to_owned())),
            socket_dir: None,
        };
        let pooler = Pooler { host: "127.0.0.1".to_owned(), port: self.port, admin };
        let plain = options(server.port(), &self.stage.names, server.superuser(), server.password());
        Options { poolers: vec![pooler], ..plain }
    }

    /// A client of the pooler with this credential, and its end of the connection.
    async fn client(&self, credential: &Credential) -> Result<(Client, SocketAddr), tokio_postgres::Error> {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let at = stream.local_addr().unwrap();
        let mut config = Config::new();
        config.user(field(credential, "user")).password(field(credential, "password"));
        config.dbname(&self.stage.names.dbname);
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        tokio::spawn(connection);
        Ok((client, at))
    }
}

#[tokio::test]
async fn who_is_behind_a_pooler_is_seen_and_its_connections_are_nobodys() {
    let Some(pooled) = Pooled::new("who is behind a pooler").await else { return };
    let stage = &pooled.stage;
    let issuer = Postgres::new(pooled.options(&pooled.stats)).unwrap();
    issuer.preflight(&stage.current).await.unwrap();
    let plain = async || stage.issuer.sessions(id(&stage.current)).await.unwrap().unwrap();
    let seen = async || issuer.sessions(id(&stage.current)).await.unwrap().unwrap();
    assert!(plain().await.is_empty() && seen().await.is_empty());

    let (client, at) = pooled.client(&stage.current).await.unwrap();
    client.simple_query("SELECT 1").await.unwrap();
    let shown = plain().await;
    assert_eq!(shown.len(), 1);
    assert_ne!(shown[0].client, Some(at), "the server shows the pooler");
    let mine = seen().await;
    assert_eq!(mine.len(), 1);
    assert_eq!((mine[0].client, mine[0].busy, mine[0].calls), (Some(at), false, Some(1)));
    client.simple_query("BEGIN").await.unwrap();
    assert!(seen().await[0].busy, "in a transaction");
    client.simple_query("COMMIT").await.unwrap();
    // A client without a pooler is seen as before.
    let direct = stage.session(&stage.current).await;
    assert_eq!(seen().await.len(), 2);
    drop(direct);
    drop(client);
    let gone = || async { seen().await.is_empty().then_some(()) };
    until(Deadline::seconds(SEEN_S_MAX), gone).await.unwrap();
    assert_eq!(plain().await.len(), 1, "the pooler keeps one, and nobody uses it");

    // With this connection, the pooler would accept a login that the server no longer accepts.
    stage.issuer.disable(id(&stage.current)).await.unwrap();
    let (late, _) = pooled.client(&stage.current).await.unwrap();
    late.simple_query("SELECT 1").await.expect("the trap: it works although the login is off");
    drop(late);
    until(Deadline::seconds(SEEN_S_MAX), gone).await.unwrap();
    issuer.disable(id(&stage.current)).await.unwrap();
    assert!(plain().await.is_empty());
    let refused = match pooled.client(&stage.current).await {
        Ok((late, _)) => late.simple_query("SELECT 1").await.err(),
        Err(error) => Some(error),
    };
    assert!(refused.is_some(), "nothing lets it in");
}

#[tokio::test]
async fn a_pooler_is_neither_the_server_nor_silent() {
    let Some(pooled) = Pooled::new("a pooler is not the server").await else { return };
    let stage = &pooled.stage;
    let issuer = Postgres::new(pooled.options("wrong")).unwrap();
    assert_eq!(issuer.preflight(&stage.current).await.unwrap_err().code, "K0155");
    assert_eq!(
        issuer.sessions(id(&stage.current)).await.unwrap_err().code,
        "K0155",
        "nothing is seen without it"
    );
    let server = &stage.server;
    let behind = options(pooled.port, &stage.names, server.superuser(), server.password());
    let failure = Postgres::new(behind).unwrap().preflight(&stage.current).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0155", "{failure:?}");
}

#[tokio::test]
async fn a_client_that_keeps_its_connection_is_as_busy_as_that_and_is_ended_with_it() {
    let Some(pooled) = Pooled::with("pool_mode = session", "a client by session").await else { return };
    let stage = &pooled.stage;
    let issuer = Postgres::new(pooled.options(&pooled.stats)).unwrap();
    let seen = async || issuer.sessions(id(&stage.current)).await.unwrap().unwrap();
    let (client, at) = pooled.client(&stage.current).await.unwrap();
    client.simple_query("SELECT 1").await.unwrap();
    let notes = issuer.preflight(&stage.current).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("pool_mode = session")), "{notes:?}");
    client.simple_query("BEGIN").await.unwrap();
    let busy = seen().await;
    assert_eq!((busy.len(), busy[0].client, busy[0].busy), (1, Some(at), true));
    let handles = [busy[0].handle.clone()];
    assert_eq!(issuer.end_sessions(id(&stage.current), &handles, false).await.unwrap(), 0);
    client.simple_query("COMMIT").await.unwrap();
    assert!(!seen().await[0].busy, "it only keeps its connection");
    assert_eq!(issuer.end_sessions(id(&stage.current), &handles, false).await.unwrap(), 1);
    let gone = || async { seen().await.is_empty().then_some(()) };
    until(Deadline::seconds(SEEN_S_MAX), gone).await.unwrap();
    assert!(client.simple_query("SELECT 1").await.is_err());
}

#[tokio::test]
async fn half_a_disable_shows_and_one_of_several_at_a_port_is_not_believed() {
    let settings = "pool_mode = transaction\nso_reuseport = 0";
    let Some(pooled) = Pooled::with(settings, "half a disable").await else { return };
    let stage = &pooled.stage;
    let issuer = Postgres::new(pooled.options(&pooled.stats)).unwrap();
    let (client, _) = pooled.client(&stage.current).await.unwrap();
    client.simple_query("SELECT 1").await.unwrap();
    // As after an interrupted revoke: the login is disabled, and the pooler still has its connection.
    stage.issuer.disable(id(&stage.current)).await.unwrap();
    assert!(!issuer.is_wholly_off(id(&stage.current)).await.unwrap());
    // An idle client has no connection of its own: keyroll does not end it, and it can do nothing.
    let handles: Vec<String> = issuer
        .sessions(id(&stage.current))
        .await
        .unwrap()
        .unwrap()
        .into_iter()
        .map(|one| one.handle)
        .collect();
    assert_eq!(
        (handles.len(), issuer.end_sessions(id(&stage.current), &handles, false).await.unwrap()),
        (1, 0)
    );
    assert!(client.simple_query("SELECT 1").await.is_err());
    issuer.disable(id(&stage.current)).await.unwrap();
    assert!(issuer.is_wholly_off(id(&stage.current)).await.unwrap());
    let Some(several) = Pooled::with("pool_mode = transaction\nso_reuseport = 1", "several").await else {
        return;
    };
    let issuer = Postgres::new(several.options(&several.stats)).unwrap();
    assert_eq!(issuer.preflight(&several.stage.current).await.unwrap_err().code, "K0155");
}
