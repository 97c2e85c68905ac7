//! The port's suite over a real RabbitMQ, behind relays that can lose requests and answers; and the surprising
//! behaviour of RabbitMQ. All tests share one server, each with users of its own: its runtime takes seconds to start.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::servers::stage::{credential, field, mint, options, probe, refusal, three_turns};
use amqprs::BasicProperties;
use amqprs::channel::{BasicGetArguments, BasicPublishArguments, Channel};
use amqprs::connection::Connection;
use async_trait::async_trait;
use keyroll_logins::{Broker, RabbitMq, TwoLogins};
use keyroll_port::conformance::{FaultMode, IssuerHarness, PATIENT_MS};
use keyroll_port::{Class, Issuer, Probe, Session};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::{Deadline, ManagementApi, RabbitMq as Server, Relay, alphanumeric, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// How long until a connection is in the statistics, seconds; the server is configured to update them every second.
const STATISTICS_S_MAX: u64 = 60;

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static USERS: AtomicUsize = AtomicUsize::new(0);

struct Harness {
    server: &'static Server,
    amqp: Relay,
    management: Relay,
    issuer: TwoLogins,
    user: String,
    held: Vec<Connection>,
}

/// The request that lets a user in or ends it, as it goes over the wire: only these carry the label.
fn changes(sent: &[u8]) -> bool {
    let label = b"keyroll/conformance";
    sent.windows(label.len()).any(|window| window == label)
}

impl Harness {
    async fn start(request_ms_max: u64) -> Option<Self> {
        let (server, user) = server()?;
        let amqp = Relay::start(server.port(), |_| false).await.unwrap();
        let management = Relay::start(server.management_port(), changes).await.unwrap();
        let admin = (server.admin(), server.password());
        let broker = Broker { management_port: management.port(), vhost: "/".to_owned() };
        let issuer = RabbitMq::issuer(options(amqp.port(), &user, admin, request_ms_max), broker).unwrap();
        Some(Self { server, amqp, management, issuer, user, held: Vec::new() })
    }
}

/// The server, and a name of a user that no other test has.
fn server() -> Option<(&'static Server, String)> {
    let server = SERVER.get_or_init(|| Server::start_or_skip("RabbitMQ as an issuer")).as_ref()?;
    Some((server, format!("orders{}", USERS.fetch_add(1, Ordering::SeqCst))))
}

async fn manage(server: &Server, method: &str, path: &str, body: &Value) {
    let (status, said) = server.manage(method, path, &body.to_string()).await.unwrap();
    assert!(status < 300 || (method == "DELETE" && status == 404), "{method} {path}: {status} {said}");
}

async fn read(server: &Server, path: &str) -> Vec<Value> {
    let (status, said) = server.manage("GET", path, "").await.unwrap();
    assert_eq!(status, 200, "{path}: {said}");
    serde_json::from_str(&said).unwrap()
}

/// The user that consumers log in as, with some of every kind of right; the slots do not exist yet.
async fn make(server: &Server, user: &str) -> Credential {
    let password = alphanumeric(20);
    for name in [user.to_owned(), format!("{user}_a"), format!("{user}_b")] {
        manage(server, "DELETE", &format!("/api/users/{name}"), &json!({})).await;
    }
    let body = json!({ "password": password, "tags": "monitoring,shop" });
    manage(server, "PUT", &format!("/api/users/{user}"), &body).await;
    let body = json!({ "configure": "^orders", "write": ".*", "read": ".*" });
    manage(server, "PUT", &format!("/api/permissions/%2F/{user}"), &body).await;
    for exchange in ["amq.topic", "amq.rabbitmq.trace"] {
        let body = json!({ "exchange": exchange, "write": "^orders", "read": ".*" });
        manage(server, "PUT", &format!("/api/topic-permissions/%2F/{user}"), &body).await;
    }
    manage(server, "PUT", &format!("/api/user-limits/{user}/max-channels"), &json!({ "value": 40 })).await;
    credential(user, &password)
}

#[async_trait]
impl IssuerHarness for Harness {
    async fn fresh(&mut self) -> Credential {
        self.fault_mode(FaultMode::Fair).await;
        self.held.clear();
        make(self.server, &self.user).await
    }

    fn issuer(&self) -> &dyn Issuer {
        &self.issuer
    }

    async fn fault_mode(&mut self, fault_mode: FaultMode) -> bool {
        // Logging in changes nothing.
        let amqp = if fault_mode == FaultMode::AnswerLost { FaultMode::Fair } else { fault_mode };
        self.amqp.fault_mode(amqp).await.unwrap();
        self.management.fault_mode(fault_mode).await.unwrap();
        true
    }

    async fn settle(&mut self) {}

    async fn live(&mut self) -> BTreeSet<CredentialId> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let users = read(self.server, "/api/users").await;
        let theirs = users.iter().filter(|user| {
            let name = text(&user["name"]);
            name == self.user
                || name.strip_prefix(&self.user).is_some_and(|rest| ["_a", "_b"].contains(&rest))
        });
        let live = theirs.filter(|user| {
            // Four bytes of salt and a SHA-256 behind them: no other length lets anybody in.
            text(&user["password_hash"]).len() == 48
        });
        live.map(|user| {
            let tags = user["tags"].as_array().unwrap().iter().map(text);
            let label = tags.into_iter().find(|tag| tag.starts_with("keyroll/"));
            let name = text(&user["name"]);
            CredentialId::new(label.map_or(name.clone(), |label| format!("{name}#{label}")))
        })
        .collect()
    }

    async fn present(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        assert!(self.server.connect(&user, &password).await.is_err());
        None
    }

    async fn hold_session(&mut self, credential: &Credential) -> Option<SocketAddr> {
        let (user, password) = (field(credential, "user"), field(credential, "password"));
        let before = read(self.server, "/api/connections").await;
        self.held.push(self.server.connect(&user, &password).await.unwrap());
        // Before that it is not known to be idle.
        let there = || async {
            let now =
                read(self.server, "/api/connections?columns=name,user,peer_host,peer_port,protocol").await;
            let new = |it: &&Value| {
                it["user"] == user.as_str()
                    && it["protocol"].is_string()
                    && before.iter().all(|known| known["name"] != it["name"])
            };
            let found = now.iter().find(new)?;
            let port = u16::try_from(found["peer_port"].as_u64()?).ok()?;
            Some(SocketAddr::new(found["peer_host"].as_str()?.parse().ok()?, port))
        };
        let client = until(Deadline::seconds(STATISTICS_S_MAX), there).await.unwrap();
        let id = credential.id.as_ref().unwrap();
        let idle = || async {
            sessions(&self.issuer, id)
                .await
                .iter()
                .any(|it| it.client == Some(client) && !it.busy)
                .then_some(())
        };
        until(Deadline::seconds(STATISTICS_S_MAX), idle).await.unwrap();
        Some(client)
    }
}

async fn sessions(issuer: &TwoLogins, id: &CredentialId) -> Vec<Session> {
    issuer.sessions(id).await.unwrap().unwrap()
}

keyroll_port::conformance_tests!(Harness::start: ok, dead, timeout, odd, absent, lost, refused);

/// The issuer over the server itself, as this admin and with the management API at this port.
fn issuer_at(
    server: &Server,
    user: &str,
    admin: (&str, &str),
    management_port: u16,
    vhost: &str,
) -> TwoLogins {
    let broker = Broker { management_port, vhost: vhost.to_owned() };
    RabbitMq::issuer(options(server.port(), user, admin, PATIENT_MS), broker).unwrap()
}

fn issuer(server: &Server, user: &str) -> TwoLogins {
    issuer_at(server, user, (server.admin(), server.password()), server.management_port(), "/")
}

/// What a user may do, without its name and our mark.
async fn rights(server: &Server, user: &str) -> Value {
    let (_, said) = server.manage("GET", &format!("/api/users/{user}"), "").await.unwrap();
    let told: Value = serde_json::from_str(&said).unwrap();
    let tags = told["tags"].as_array().unwrap().iter();
    let tags: BTreeSet<&str> =
        tags.map(|tag| tag.as_str().unwrap()).filter(|tag| !tag.contains("keyroll/")).collect();
    let mut all = json!({ "tags": tags, "limits": told["limits"] });
    for part in ["permissions", "topic-permissions"] {
        let mut listed = read(server, &format!("/api/users/{user}/{part}")).await;
        listed.iter_mut().for_each(|one| drop(one.as_object_mut().unwrap().remove("user")));
        listed.sort_by_key(Value::to_string);
        all[part] = Value::Array(listed);
    }
    all
}

#[tokio::test]
async fn users_take_turns_and_each_may_do_exactly_the_same() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    let wanted = rights(server, &user).await;
    // Rights that somebody gave the slot before are removed.
    let slot = format!("{user}_a");
    let body = json!({ "password_hash": "", "tags": "administrator" });
    manage(server, "PUT", &format!("/api/users/{slot}"), &body).await;
    manage(server, "PUT", &format!("/api/vhosts/{user}"), &json!({})).await;
    for vhost in ["%2F", &user] {
        let body = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        manage(server, "PUT", &format!("/api/permissions/{vhost}/{slot}"), &body).await;
        let body = json!({ "exchange": "amq.topic", "write": ".*", "read": ".*" });
        manage(server, "PUT", &format!("/api/topic-permissions/{vhost}/{slot}"), &body).await;
    }
    manage(server, "PUT", &format!("/api/user-limits/{slot}/max-connections"), &json!({ "value": 2 })).await;
    let issuer = issuer(server, &user);
    let notes = issuer.preflight(&current).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("replaces them with those of")), "{notes:?}");
    three_turns(&issuer, current).await;
    assert_eq!(rights(server, &slot).await, wanted);
    assert_eq!(rights(server, &format!("{user}_b")).await, wanted);
}

/// A server that confirms a change without making it.
const YES: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A management API that answers this request itself, once it has received the other one.
async fn lying(upstream: u16, (request, after): (&'static str, &'static str), answer: String) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut since = false;
        while let Ok((mut client, _)) = listener.accept().await {
            let mut first = vec![0; 65_536];
            let Ok(count) = client.read(&mut first).await else { continue };
            since |= first.starts_with(after.as_bytes());
            if since && first.starts_with(request.as_bytes()) {
                let _ = client.write_all(answer.as_bytes()).await;
                continue;
            }
            let mut server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
            server.write_all(&first[..count]).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    });
    port
}

#[tokio::test]
async fn a_slot_that_may_not_do_the_same_is_never_let_in() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    let wanted = rights(server, &user).await;
    for request in ["PUT /api/permissions", "PUT /api/topic-permissions", "PUT /api/user-limits"] {
        let port = lying(server.management_port(), (request, ""), YES.to_owned()).await;
        let issuer = issuer_at(server, &user, (server.admin(), server.password()), port, "/");
        let proposed = issuer.propose(&current).unwrap().unwrap();
        let outcome = issuer.mint("keyroll/r/1", &current, Some(&proposed)).await;
        assert_eq!(refusal(outcome), ("K0208", Class::Retryable), "{request}");
        assert_eq!(probe(&issuer, &proposed).await, Probe::Dead, "{request}");
        manage(server, "DELETE", &format!("/api/users/{user}_a"), &json!({})).await;
    }
    assert_eq!(rights(server, &user).await, wanted);
    let minted = mint(&issuer(server, &user), "keyroll/r/2", &current).await;
    assert_eq!(rights(server, &field(&minted, "user")).await, wanted);
}

#[tokio::test]
async fn a_mint_is_believed_only_when_its_password_was_read_back() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    // A slot that already has the same rights: only the password is missing.
    let slot = mint(&issuer(server, &user), "keyroll/r/1", &current).await;
    issuer(server, &user).revoke(slot.id.as_ref().unwrap()).await.unwrap();
    let ours = (server.admin(), server.password());
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    for (request, after, answer, code) in [
        ("PUT /api/users", "", YES, "K0105"),
        // Something was changed before this request.
        ("GET /api/users", "PUT /api/users", busy, "K0105"),
    ] {
        let port = lying(server.management_port(), (request, after), answer.to_owned()).await;
        let issuer = issuer_at(server, &user, ours, port, "/");
        let proposed = issuer.propose(&current).unwrap().unwrap();
        let outcome = issuer.mint("keyroll/r/2", &current, Some(&proposed)).await;
        assert_eq!(refusal(outcome), (code, Class::Unknown), "{request}");
        assert_eq!(probe(&issuer, &proposed).await, Probe::Dead, "{request}");
    }
}

#[tokio::test]
async fn a_cluster_that_is_not_whole_is_refused_before_anything_changes() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    for (nodes, why) in [
        (
            r#"[{"name":"rabbit@a","running":true,"partitions":[]},{"name":"rabbit@b","running":false}]"#,
            "rabbit@b does not run",
        ),
        (r#"[{"name":"rabbit@a","running":true,"partitions":["rabbit@b"]}]"#, "lost contact with rabbit@b"),
    ] {
        let length = nodes.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{nodes}");
        let port = lying(server.management_port(), ("GET /api/nodes", ""), answer).await;
        let issuer = issuer_at(server, &user, (server.admin(), server.password()), port, "/");
        let failure = issuer.preflight(&current).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("K0148", Class::Retryable));
        assert!(failure.source.unwrap().to_string().contains(why));
        let proposed = issuer.propose(&current).unwrap().unwrap();
        let outcome = issuer.mint("keyroll/r/1", &current, Some(&proposed)).await;
        assert_eq!(refusal(outcome), ("K0148", Class::Retryable));
        // Nor is it visible whose connections it has.
        let outcome = issuer.sessions(current.id.as_ref().unwrap()).await;
        assert_eq!(refusal(outcome), ("K0148", Class::Retryable));
        // In an emergency the old login is revoked first, and then no login would work.
        let outcome = issuer.revoke(current.id.as_ref().unwrap()).await;
        assert_eq!(refusal(outcome), ("K0148", Class::Retryable));
        assert_eq!(probe(&issuer, &current).await, Probe::Alive);
    }
    let users = read(server, "/api/users?columns=name").await;
    assert!(users.iter().all(|it| it["name"] != format!("{user}_a").as_str()), "nothing was made");
}

/// A node that goes down after the old login was revoked does not prolong the outage.
#[tokio::test]
async fn a_cluster_that_is_not_whole_any_more_does_not_hold_up_the_way_out_of_an_outage() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    issuer(server, &user).revoke(current.id.as_ref().unwrap()).await.unwrap();
    let nodes = r#"[{"name":"rabbit@b","running":false}]"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{nodes}", nodes.len());
    let port = lying(server.management_port(), ("GET /api/nodes", ""), answer).await;
    let issuer = issuer_at(server, &user, (server.admin(), server.password()), port, "/");
    let minted = mint(&issuer, "keyroll/r/1", &current).await;
    assert_eq!(probe(&issuer, &minted).await, Probe::Alive);
    // Revoking twice has the effect of once; the other login is the only one now.
    issuer.revoke(current.id.as_ref().unwrap()).await.unwrap();
    let outcome = issuer.revoke(minted.id.as_ref().unwrap()).await;
    assert_eq!(refusal(outcome), ("K0148", Class::Retryable));
}

#[tokio::test]
async fn a_limit_on_connections_that_a_move_would_hit_is_told_at_plan() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    manage(server, "PUT", &format!("/api/vhosts/{user}"), &json!({})).await;
    let body = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    manage(server, "PUT", &format!("/api/permissions/{user}/{user}"), &body).await;
    let issuer =
        issuer_at(server, &user, (server.admin(), server.password()), server.management_port(), &user);
    let limits = async || {
        let notes = issuer.preflight(&current).await.unwrap();
        notes.into_iter().filter(|note| note.contains("connections and has")).collect::<Vec<_>>()
    };
    assert!(limits().await.is_empty());
    for (path, limit) in [(format!("/api/user-limits/{user}"), 1), (format!("/api/vhost-limits/{user}"), 0)] {
        manage(server, "PUT", &format!("{path}/max-connections"), &json!({ "value": limit })).await;
    }
    let _open = server.connect(&user, &field(&current, "password")).await.unwrap();
    let told = limits().await;
    assert!(told.len() == 2 && told[0].contains("1 connections and has 1"), "{told:?}");
}

/// A message in a queue of this name, and a channel of the user's that reads it.
async fn channel(server: &Server, connection: &Connection, queue: &str) -> Channel {
    let body = json!({ "durable": false, "auto_delete": false, "arguments": {} });
    manage(server, "PUT", &format!("/api/queues/%2F/{queue}"), &body).await;
    let channel = connection.open_channel(None).await.unwrap();
    let to = BasicPublishArguments::new("", queue);
    channel.basic_publish(BasicProperties::default(), b"order".to_vec(), to).await.unwrap();
    channel
}

#[tokio::test]
async fn an_open_connection_outlives_its_password_and_is_ended_only_when_idle() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    let (issuer, id) = (issuer(server, &user), current.id.clone().unwrap());
    let connection = server.connect(&user, &field(&current, "password")).await.unwrap();
    let known = || async {
        let connections = read(server, "/api/connections?columns=user,protocol,recv_oct,channels").await;
        let mine = connections.iter().find(|it| it["user"] == user.as_str())?;
        (mine["recv_oct"].is_u64() && mine["channels"] == 0).then_some(())
    };
    until(Deadline::seconds(STATISTICS_S_MAX), known).await.unwrap();
    // The statistics have the connection, without the channel that is opened now.
    let channel = channel(server, &connection, &user).await;
    issuer.revoke(&id).await.unwrap();
    assert_eq!(probe(&issuer, &current).await, Probe::Dead);
    // It continues: the message that it takes now is not acknowledged, and would be delivered again if the connection
    // ended.
    let taken = channel.basic_get(BasicGetArguments::new(&user)).await.unwrap().unwrap();
    let seen = sessions(&issuer, &id).await;
    assert!(seen.len() == 1 && seen[0].busy, "not in the statistics yet, or busy: {seen:?}");
    assert_eq!(issuer.end_sessions(&id, &[seen[0].handle.clone()], false).await.unwrap(), 0);
    let known = || async {
        let channels = read(server, "/api/channels?columns=user,messages_unacknowledged").await;
        let mine = channels.iter().find(|channel| channel["user"] == user.as_str())?;
        (mine["messages_unacknowledged"] == 1).then_some(())
    };
    until(Deadline::seconds(STATISTICS_S_MAX), known).await.unwrap();
    let handles = [seen[0].handle.clone()];
    assert_eq!(issuer.end_sessions(&id, &handles, false).await.unwrap(), 0);
    assert!(connection.is_open());

    let done = amqprs::channel::BasicAckArguments::new(taken.0.delivery_tag(), false);
    channel.basic_ack(done).await.unwrap();
    let idle = || async {
        let seen = issuer.sessions(&id).await.unwrap().unwrap();
        (!seen[0].busy).then_some(())
    };
    until(Deadline::seconds(STATISTICS_S_MAX), idle).await.unwrap();
    assert_eq!(issuer.end_sessions(&id, &handles, false).await.unwrap(), 1);
    let closed = || async { (!connection.is_open()).then_some(()) };
    until(Deadline::seconds(STATISTICS_S_MAX), closed).await.unwrap();
    let gone = || async { issuer.sessions(&id).await.unwrap().unwrap().is_empty().then_some(()) };
    until(Deadline::seconds(STATISTICS_S_MAX), gone).await.unwrap();
}

#[tokio::test]
async fn who_is_switched_off_is_let_in_nowhere_and_keeps_the_password() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    let (issuer, id) = (issuer(server, &user), current.id.clone().unwrap());
    let password = field(&current, "password");
    let api = ManagementApi { port: server.management_port(), user: &user, password: &password };
    let whoami = || api.request("GET", "/api/whoami", "");
    assert_eq!(whoami().await.unwrap().0, 200);
    issuer.disable(&id).await.unwrap();
    assert_eq!(probe(&issuer, &current).await, Probe::Dead);
    assert_eq!(whoami().await.unwrap().0, 401);
    // The prefix of the hash is no password either.
    for guess in ["keyroll-off:", "keyr"] {
        assert_eq!(probe(&issuer, &credential(&user, guess)).await, Probe::Dead);
    }
    issuer.enable(&id).await.unwrap();
    assert_eq!(probe(&issuer, &current).await, Probe::Alive);
    assert_eq!(whoami().await.unwrap().0, 200);
}

#[tokio::test]
async fn what_cannot_be_rotated_is_refused_beforehand() {
    let Some((server, user)) = server() else { return };
    let current = make(server, &user).await;
    let ours = (server.admin(), server.password());
    let preflight = async |admin: (&str, &str), port: u16, vhost: &str| {
        let outcome = issuer_at(server, &user, admin, port, vhost).preflight(&current).await;
        outcome.err().map(|failure| (failure.code.as_str(), failure.class))
    };
    let port = server.management_port();
    assert_eq!(preflight(ours, port, "/").await, None);
    assert_eq!(preflight(("admin", "wrong"), port, "/").await, Some(("K0104", Class::Permanent)));
    let (monitor, password) = (format!("{user}_monitor"), alphanumeric(20));
    let body = json!({ "password": password, "tags": "monitoring" });
    manage(server, "PUT", &format!("/api/users/{monitor}"), &body).await;
    assert_eq!(preflight((&monitor, &password), port, "/").await, Some(("K0103", Class::Permanent)));
    assert_eq!(preflight(ours, port, "elsewhere").await, Some(("K0140", Class::Permanent)));
    // No answer or an unexpected one: this is temporary.
    assert_eq!(preflight(ours, server.port(), "/").await.unwrap().1, Class::Retryable);

    let admin = credential("admin", server.password());
    let outcome = issuer(server, &user).preflight(&admin).await;
    assert_eq!(refusal(outcome), ("K0140", Class::Permanent));
    let body = json!({ "password": alphanumeric(20), "tags": "" });
    manage(server, "PUT", &format!("/api/users/{user}_a"), &body).await;
    assert_eq!(preflight(ours, port, "/").await, Some(("K0144", Class::Permanent)));
}

#[tokio::test]
async fn the_default_user_is_rotated_from_the_servers_machine() {
    let Some((server, user)) = server() else { return };
    let guest = make(server, "guest").await;
    let issuer = issuer(server, &user);
    let notes = issuer.preflight(&guest).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("from everywhere")), "{notes:?}");
    let minted = mint(&issuer, "keyroll/r/1", &guest).await;
    issuer.revoke(guest.id.as_ref().unwrap()).await.unwrap();
    assert_eq!(probe(&issuer, &guest).await, Probe::Dead);
    assert_eq!(probe(&issuer, &minted).await, Probe::Alive);
}
