//! Every shipped spec against an issuer that answers as the spec expects, in every mood: in every mood, no living key
//! is called dead, no incomplete list counts as complete, and no revoke counts without an answer.

use keyroll_issuer::Spec;
use keyroll_port::conformance::{self, IssuerHarness as _};
use keyroll_port::{Issuer, Probe};
use keyroll_rotation::MintedBy;
use keyroll_secret::Credential;

use crate::fake::{self, Dialect, Odd};
use crate::harness::Harness;

fn all() -> impl Iterator<Item = (&'static str, Dialect)> {
    Spec::names().into_iter().map(|name| (name, Dialect::Shipped(name)))
}

async fn probe(harness: &Harness, credential: &Credential) -> Probe {
    let endpoint = harness.runner().endpoints().remove(0);
    harness.runner().probe(&endpoint, credential).await
}

/// A second credential, made by the API or an operator, that does not work yet.
async fn second(harness: &Harness, current: &Credential) -> Credential {
    let issuer = harness.runner();
    if issuer.capabilities().minted_by == MintedBy::Human {
        let key = harness.fake.world().make(harness.fake.dialect, "by hand", None);
        return harness.holding(&key.id, &key.value);
    }
    let proposed = issuer.propose(current).unwrap();
    let minted = issuer.mint("keyroll/moods/1", current, proposed.as_ref()).await;
    let minted = minted.unwrap_or_else(|failure| panic!("{failure}: {:?}", failure.source));
    Credential { id: Some(minted.id), fields: minted.fields }
}

#[tokio::test]
async fn fair_weather() {
    for (name, dialect) in all() {
        let whole = conformance::ok(&mut Harness::new(dialect).await).await;
        whole.unwrap_or_else(|breach| panic!("{name}: {breach}"));
        let dead = conformance::dead(&mut Harness::new(dialect).await).await;
        dead.unwrap_or_else(|breach| panic!("{name}: {breach}"));
    }
}

#[tokio::test]
async fn nobody_there() {
    for (name, dialect) in all() {
        let absent = conformance::absent(&mut Harness::new(dialect).await).await;
        absent.unwrap_or_else(|breach| panic!("{name}: {breach}"));
    }
}

#[tokio::test]
async fn lost_answers() {
    for (name, dialect) in all() {
        let lost = conformance::lost(&mut Harness::new(dialect).await).await;
        lost.unwrap_or_else(|breach| panic!("{name}: {breach}"));
    }
}

#[tokio::test]
async fn too_many_calls_and_broken_answers() {
    let odds = [
        Odd::Status(429),
        Odd::Status(500),
        Odd::Status(503),
        Odd::HtmlWith(200),
        Odd::HtmlWith(401),
        Odd::HtmlWith(403),
        Odd::HtmlWith(404),
        Odd::BrokenJson,
        Odd::HalfBody,
        Odd::NoHttp,
    ];
    for (name, dialect) in all() {
        for odd in odds {
            let mut harness = Harness::new(dialect).await;
            harness.odd = odd;
            conformance::odd(&mut harness).await.unwrap_or_else(|breach| panic!("{name}, {odd:?}: {breach}"));
        }
    }
}

#[tokio::test]
async fn late_births_and_late_deaths() {
    for (name, dialect) in all() {
        let mut harness = Harness::new(dialect).await;
        let current = harness.fresh().await;
        let new = second(&harness, &current).await;
        assert_eq!(probe(&harness, &new).await, Probe::Dead, "{name}: it is not born yet");
        assert_eq!(probe(&harness, &current).await, Probe::Alive, "{name}");
        harness.settle().await;
        assert_eq!(probe(&harness, &new).await, Probe::Alive, "{name}: it is born");
        let old = current.id.as_ref().unwrap();
        if harness.runner().revokes() {
            harness.runner().revoke(old).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        } else {
            assert!(harness.fake.world().delete(old.as_str()), "{name}: a person ended it");
        }
        assert_eq!(probe(&harness, &current).await, Probe::Alive, "{name}: its end has not spread");
        harness.settle().await;
        assert_eq!(probe(&harness, &current).await, Probe::Dead, "{name}");
        assert_eq!(probe(&harness, &new).await, Probe::Alive, "{name}");
        if harness.runner().capabilities().list {
            let list = harness.runner().list(&new).await.unwrap();
            assert!(
                list.complete && list.entries.iter().all(|entry| entry.id != *old),
                "{name}: it is not listed"
            );
        }
    }
}

#[tokio::test]
async fn half_lists_are_never_whole() {
    for (name, dialect) in all() {
        let mut harness = Harness::new(dialect).await;
        let current = harness.fresh().await;
        if !harness.runner().capabilities().list {
            continue;
        }
        let paged = described_page(name) != "none";
        // An access token that the list needs is there already.
        harness.runner().list(&current).await.unwrap();
        harness.fake.world().page = 1;
        harness.fake.world().fail_after = Some((u64::from(paged), Odd::Status(500)));
        let listing = harness.runner().list(&current).await;
        assert!(listing.is_ok_and(|all| !all.complete) || !paged, "{name}: half a list");
        if !paged {
            assert!(harness.runner().list(&current).await.is_err(), "{name}: no list");
        }
    }
}

fn described_page(name: &str) -> String {
    fake::described::spec(name)["op"]["list"]["page"]["kind"].as_str().unwrap().to_owned()
}

/// Refused for another reason than the credential: a scope, a second factor, an address.
#[tokio::test]
async fn alive_but_refused_is_never_dead() {
    for (name, dialect) in all() {
        let mut harness = Harness::new(dialect).await;
        let current = harness.fresh().await;
        for (status, body) in [
            (401, "{\"needs\": \"a second factor\"}"),
            (401, "{}"),
            (403, "{}"),
            (403, "{\"error\": {\"type\": \"permission_error\"}, \"message\": \"scope\", \"errors\": [1]}"),
            (404, "{\"message\": \"Not Found\", \"error\": {}, \"errors\": []}"),
            (400, "{\"message\": \"bad\", \"error\": {}, \"errors\": []}"),
        ] {
            harness.fake.world().scripted.push((status, "application/json", body.to_owned()));
            let seen = probe(&harness, &current).await;
            assert!(matches!(seen, Probe::Denied | Probe::Unknown(_)), "{name}: {status} {body} is {seen:?}");
        }
    }
}

/// Each answer is judged alone: an answer between two others changes nothing.
#[tokio::test]
async fn an_issuer_that_flaps_is_read_answer_by_answer() {
    for (name, dialect) in all() {
        let mut harness = Harness::new(dialect).await;
        let current = harness.fresh().await;
        for _ in 0..2 {
            assert_eq!(probe(&harness, &current).await, Probe::Alive, "{name}");
            harness.fake.world().birth = 0;
            let id = current.id.as_ref().unwrap().as_str().to_owned();
            set_born(&harness, &id, u64::MAX);
            assert_eq!(probe(&harness, &current).await, Probe::Dead, "{name}");
            set_born(&harness, &id, 0);
        }
    }
}

fn set_born(harness: &Harness, id: &str, at: u64) {
    harness.fake.world().keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.born = at);
}

/// A pasted value is bound to its own id, if the issuer shows it, and to no other.
#[tokio::test]
async fn a_pasted_value_is_bound_to_its_own_id() {
    for (name, dialect) in all() {
        let mut harness = Harness::new(dialect).await;
        let current = harness.fresh().await;
        let other = second(&harness, &current).await;
        harness.settle().await;
        let told = harness.runner().identify(&other).await.unwrap();
        match Spec::shipped(name).unwrap().binds() {
            true => assert_eq!(told.id, other.id, "{name}"),
            false => assert_eq!(told.id, None, "{name}"),
        }
        let faults = Spec::shipped(name).unwrap().faults(&other.fields);
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}
