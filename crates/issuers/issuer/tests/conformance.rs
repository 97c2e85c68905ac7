//! The issuer conformance suite, run by the spec runner over a fake that speaks three dialects.

use keyroll_port::{Class, Issuer, conformance};

use crate::fake::{self, Dialect, Odd};
use crate::harness::{HASTY, Harness, PATIENT};

const DIALECTS: [Dialect; 3] = [Dialect::Acme, Dialect::OpenRouter, Dialect::SendGrid];

#[tokio::test]
async fn ok() {
    for dialect in DIALECTS {
        conformance::ok(&mut Harness::new(dialect).await).await.unwrap();
    }
}

#[tokio::test]
async fn dead() {
    for dialect in DIALECTS {
        conformance::dead(&mut Harness::new(dialect).await).await.unwrap();
    }
}

#[tokio::test]
async fn timeout() {
    let mut harness = Harness::edited(Dialect::Acme, |text| text.replace(PATIENT, HASTY)).await;
    conformance::timeout(&mut harness).await.unwrap();
}

#[tokio::test]
async fn odd() {
    let elsewhere = fake::Fake::start(Dialect::Acme).await;
    let odds = [
        Odd::Status(503),
        Odd::Status(500),
        Odd::Status(429),
        Odd::Status(408),
        Odd::HtmlWith(200),
        Odd::HtmlWith(401),
        Odd::HtmlWith(404),
        Odd::Redirect(elsewhere.address),
        Odd::Huge,
        Odd::NoHttp,
        Odd::BrokenJson,
        Odd::HalfBody,
        Odd::DeepJson,
    ];
    for odd in odds {
        let mut harness = Harness::new(Dialect::Acme).await;
        harness.odd = odd;
        conformance::odd(&mut harness).await.unwrap_or_else(|breach| panic!("{odd:?}: {breach}"));
    }
    assert_eq!(elsewhere.world().connections, 0, "a redirect was followed");
}

#[tokio::test]
async fn absent() {
    for dialect in DIALECTS {
        conformance::absent(&mut Harness::new(dialect).await).await.unwrap();
    }
}

#[tokio::test]
async fn lost() {
    for dialect in DIALECTS {
        conformance::lost(&mut Harness::new(dialect).await).await.unwrap();
    }
}

#[tokio::test]
async fn refused() {
    for dialect in DIALECTS {
        conformance::refused(&mut Harness::new(dialect).await).await.unwrap();
    }
    // An issuer that sends no time: entries from before are recognised by their ids alone.
    let mut timeless = Harness::new(Dialect::Acme).await;
    timeless.timeless = true;
    conformance::refused(&mut timeless).await.unwrap();
    // An issuer that shows no client: our own uses are subtracted by their count.
    let nameless = Harness::edited(Dialect::Acme, |text| {
        assert!(text.contains(CLIENT), "the guide's spec names the client");
        text.replace(CLIENT, "")
    });
    conformance::refused(&mut nameless.await).await.unwrap();
}

/// The line about the client of a refused use in the guide's spec.
const CLIENT: &str =
    "client = \"/client\"                   # with a port, identifies a process on this machine\n";

/// Values that we choose, on the same API.
#[tokio::test]
async fn chosen_values() {
    let ours = |text: String| {
        let text = text.replace("minted_by = \"api\"", "minted_by = \"us\"");
        let text = text.replace("json = { name", "json = { value = \"{cred.value}\", name");
        text.replace("fields = { value = \"/secret\" } ", "")
    };
    let mut harness = Harness::edited(Dialect::Acme, ours).await;
    conformance::ok(&mut harness).await.unwrap();
    conformance::dead(&mut harness).await.unwrap();
    conformance::lost(&mut harness).await.unwrap();
}

/// Values that an operator makes at a console: the API does everything but the mint.
#[tokio::test]
async fn values_by_hand() {
    let by_hand = |text: String| {
        let (before, rest) = text.split_once("[op.get]").unwrap();
        let (_, after) = rest.split_once("[op.list]").unwrap();
        let human = "[human]\nurl = \"https://acme.example/keys\"\nsteps = [\"make a key\", \"copy it\"]\n";
        format!("{before}[op.list]{after}{human}").replace("minted_by = \"api\"", "minted_by = \"human\"")
    };
    let mut harness = Harness::edited(Dialect::Acme, by_hand).await;
    conformance::ok(&mut harness).await.unwrap();
    conformance::dead(&mut harness).await.unwrap();
    conformance::absent(&mut harness).await.unwrap();
    let current = harness.current().await;
    let failure = harness.runner().mint("keyroll/1/1", &current, None).await.map(|_| ()).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("K0112", Class::Permanent));
    assert_eq!(failure.help.as_deref(), Some("at https://acme.example/keys: make a key; copy it"));
}
