//! The demo's own files are read by the rooms that they are written for, and its issuer does what its spec says.

use std::time::{Duration, Instant};

use keyroll_config::Config;
use keyroll_demo::{Load, Scene};
use keyroll_issuer::{Runner, Spec};
use keyroll_port::{Issuer, Probe};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

fn raise() -> (tempfile::TempDir, Scene) {
    let place = tempfile::tempdir().unwrap();
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/part");
    let scene = Scene::raise(place.path(), &program).unwrap();
    (place, scene)
}

fn runner(scene: &Scene) -> Runner {
    let text = std::fs::read_to_string(scene.folder().join("acme.toml")).unwrap();
    let spec = Spec::parse(&text, "acme.toml").unwrap_or_else(|error| panic!("{error}"));
    let admin = std::fs::read(scene.folder().join("admin.key")).unwrap();
    Runner::new(spec, Some(SecretBytes::new(admin)))
}

fn current(scene: &Scene) -> Credential {
    let read = |name: &str| std::fs::read_to_string(scene.folder().join(name)).unwrap();
    Credential {
        id: Some(CredentialId::new(read("first.id"))),
        fields: Fields::single(SecretBytes::from(read("first.key"))),
    }
}

async fn until_probe(issuer: &Runner, credential: &Credential, wanted: &Probe) -> Duration {
    let endpoint = issuer.endpoints().first().cloned().unwrap();
    let began = Instant::now();
    loop {
        let seen = issuer.probe(&endpoint, credential).await;
        if seen == *wanted {
            return began.elapsed();
        }
        assert!(!matches!(seen, Probe::Unknown(_)), "{seen:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{seen:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_accepted() {
    let (_place, scene) = raise();
    let config = Config::load(&scene.folder().join("keyroll.toml")).unwrap_or_else(|error| panic!("{error}"));
    let secret = config.secret("acme").unwrap();
    let names: Vec<String> = secret.consumers.iter().map(|consumer| consumer.name.to_string()).collect();
    assert_eq!(names, ["api", "report", "reader", "nightly"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_does_what_its_spec_says() {
    let (_place, scene) = raise();
    let (issuer, old) = (runner(&scene), current(&scene));
    issuer.preflight(&old).await.unwrap_or_else(|failure| panic!("{failure}: {:?}", failure.source));
    let known = issuer.identify(&old).await.unwrap();
    assert_eq!(known.id, old.id, "the value is bound to its id");
    let decoy = issuer.decoy(&old);
    until_probe(&issuer, &old, &Probe::Alive).await;
    until_probe(&issuer, &decoy, &Probe::Dead).await;

    let minted = issuer.mint("keyroll/r/1", &old, None).await.unwrap();
    let new = Credential { id: Some(minted.id.clone()), fields: minted.fields };
    assert!(until_probe(&issuer, &new, &Probe::Alive).await > Duration::ZERO, "it is born late");
    let listing = issuer.list(&old).await.unwrap();
    assert!(listing.complete && listing.entries.len() == 4, "all pages were read: {listing:?}");
    let listed = listing.entries.iter().find(|entry| entry.id == minted.id).unwrap();
    assert_eq!(listed.label.as_deref(), Some("keyroll/r/1"));
    assert!(listed.last_used_unix_ms.is_some() && listed.hint.is_some() && !listed.disabled);

    issuer.disable(&minted.id).await.unwrap();
    until_probe(&issuer, &new, &Probe::Dead).await;
    issuer.disable(&minted.id).await.unwrap();
    issuer.enable(&minted.id).await.unwrap();
    until_probe(&issuer, &new, &Probe::Alive).await;
    issuer.revoke(&minted.id).await.unwrap();
    issuer.revoke(&minted.id).await.unwrap();
    until_probe(&issuer, &new, &Probe::Dead).await;
    until_probe(&issuer, &old, &Probe::Alive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_shows_who_calls_and_can_end_it() {
    let (_place, scene) = raise();
    let (issuer, old) = (runner(&scene), current(&scene));
    let id = old.id.clone().unwrap();
    let load = Load::start(&scene.entrances(), |_| 100);
    let began = Instant::now();
    let sessions = loop {
        let sessions = issuer.sessions(&id).await.unwrap().unwrap();
        if sessions.len() >= 8 && sessions.iter().all(|session| session.calls > Some(2)) {
            break sessions;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{sessions:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    load.stop().await;
    assert!(sessions.iter().all(|session| session.client.is_some_and(|client| client.ip().is_loopback())));
    let handles: Vec<String> = sessions.into_iter().map(|session| session.handle).collect();
    let ended = issuer.end_sessions(&id, &handles, false).await.unwrap();
    assert_eq!(ended, handles.len(), "none is busy any more");
    let still = |session: &keyroll_port::Session| handles.contains(&session.handle);
    while issuer.sessions(&id).await.unwrap().unwrap().iter().any(still) {
        assert!(began.elapsed() < Duration::from_secs(30), "they are closed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let load = Load::start(&scene.entrances(), |_| 100);
    while load.sent().requests < 50 {
        assert!(began.elapsed() < Duration::from_secs(40));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sent = load.stop().await;
    assert_eq!(
        sent.failed, 0,
        "a worker whose idle connection was ended makes a new one: {:?}",
        sent.reasons
    );
}
