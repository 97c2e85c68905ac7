//! Connections that leave this machine are encrypted, and the server's name is verified.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::postgres::stage::{Names, Stage, id, options};
use async_trait::async_trait;
use keyroll_http::via::{Dial, Dialed, through_seen};
use keyroll_logins::postgres::{Options, Postgres};
use keyroll_port::{Issuer, Probe};
use keyroll_testkit::Relay;
use tokio::net::TcpStream;

/// A server that takes nothing but encrypted connections, and the root of its certificate for this name.
async fn encrypted(name: &str) -> Option<(Stage, PathBuf)> {
    let stage = Stage::new("encrypted connections").await?;
    let root = stage.server.enable_tls(name).unwrap();
    let lines = "host all postgres 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 reject";
    stage.server.set_hba(lines).unwrap();
    stage.server.reload().await.unwrap();
    Some((stage, root))
}

fn issuer(stage: &Stage, root: Option<PathBuf>) -> Postgres {
    let plain = options(stage.server.port(), &Names::default(), "postgres", stage.server.password());
    Postgres::new(Options { root_certificates: root, ..plain }).unwrap()
}

#[tokio::test]
async fn a_whole_rotation_is_encrypted() {
    let Some((stage, root)) = encrypted("IP:127.0.0.1").await else { return };
    let endpoint = stage.issuer.endpoints().remove(0);
    assert!(matches!(stage.issuer.probe(&endpoint, &stage.current).await, Probe::Unknown(_)));
    let issuer = issuer(&stage, Some(root));
    issuer.preflight(&stage.current).await.unwrap();
    let proposed = issuer.propose(&stage.current).unwrap();
    let minted = issuer.mint("keyroll/r/1", &stage.current, proposed.as_ref()).await.unwrap();
    let proposed = proposed.unwrap();
    assert_eq!(issuer.probe(&endpoint, &proposed).await, Probe::Alive);
    assert_eq!(issuer.probe(&endpoint, &issuer.decoy(&proposed)).await, Probe::Dead);
    issuer.revoke(&minted.id).await.unwrap();
    assert_eq!(issuer.probe(&endpoint, &proposed).await, Probe::Dead);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_from_another_root_is_refused() {
    let Some((stage, root)) = encrypted("DNS:db.example.org").await else { return };
    let endpoint = stage.issuer.endpoints().remove(0);
    let named = issuer(&stage, Some(root));
    let Probe::Unknown(why) = named.probe(&endpoint, &stage.current).await else { panic!("accepted") };
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(named.list(&stage.current).await.unwrap_err().code, "K0104");

    let Some((other, _)) = encrypted("IP:127.0.0.1").await else { return };
    let foreign = stage.server.enable_tls("IP:127.0.0.1").unwrap();
    let Probe::Unknown(why) =
        issuer(&other, Some(foreign)).probe(&other.issuer.endpoints().remove(0), &other.current).await
    else {
        panic!("accepted")
    };
    assert!(why.contains("certificate"), "{why}");
}

#[tokio::test]
async fn a_server_without_encryption_is_not_talked_to_in_the_clear() {
    let Some(stage) = Stage::new("encrypted connections").await else { return };
    let root = stage.server.enable_tls("IP:127.0.0.1").unwrap();
    // The server was not asked to reload its configuration: it still has no key.
    let issuer = issuer(&stage, Some(root));
    let Probe::Unknown(_) = issuer.probe(&issuer.endpoints().remove(0), &stage.current).await else {
        panic!("the password went over the wire in the clear")
    };
}

#[test]
fn roots_that_cannot_be_read_are_refused() {
    let plain = || options(5432, &Names::default(), "postgres", "x");
    for root in ["/missing/roots.pem", "/etc/passwd"] {
        let refused = Postgres::new(Options { root_certificates: Some(root.into()), ..plain() });
        assert_eq!(refused.err().unwrap().code, "K0140");
    }
}

/// A host from which every connection leads to this port.
struct Host(u16);

#[async_trait]
impl Dial for Host {
    async fn dial(&self, host: &str, _: u16) -> io::Result<Dialed> {
        let stream = TcpStream::connect((host, self.0)).await?;
        let local = stream.local_addr()?;
        Ok(Dialed { stream: Box::new(stream), local })
    }
}

#[tokio::test]
async fn the_server_sees_the_hosts_own_end_unless_something_stands_between() {
    let Some((stage, root)) = encrypted("IP:127.0.0.1").await else { return };
    let issuer = issuer(&stage, Some(root));
    let endpoint = issuer.endpoints().remove(0);
    let relay = Relay::start(stage.server.port(), |_| false).await.unwrap();
    let from = |port| through_seen(Arc::new(Host(port)), issuer.seen_as(&endpoint, &stage.current));
    let (seen, ends) = from(stage.server.port()).await;
    assert_eq!((seen.unwrap(), ends.len()), (ends.first().copied(), 1));
    let (seen, ends) = from(relay.port()).await;
    let seen = seen.unwrap().unwrap();
    assert!(ends.len() == 1 && !ends.contains(&seen), "{seen} {ends:?}");
    let sessions = issuer.sessions(id(&stage.current)).await.unwrap().unwrap();
    assert!(sessions.is_empty(), "a trial is nobody's session: {sessions:?}");
}
