//! The common start of the tests of all servers.

use keyroll_logins::{Admin, Options, TwoLogins};
use keyroll_port::{Class, Failure, Issuer, Probe};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

/// A server on this machine, with the slots `{user}_a` and `{user}_b`.
pub fn options(port: u16, user: &str, admin: (&str, &str), request_ms_max: u64) -> Options {
    Options {
        host: "127.0.0.1".to_owned(),
        port,
        slots: [format!("{user}_a"), format!("{user}_b")],
        root_certificates: None,
        admin: Admin { user: admin.0.to_owned(), password: SecretBytes::from(admin.1.to_owned()) },
        request_ms_max,
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

pub async fn mint(issuer: &TwoLogins, label: &str, current: &Credential) -> Credential {
    let proposed = issuer.propose(current).unwrap().unwrap();
    let minted = issuer.mint(label, current, Some(&proposed)).await.unwrap();
    Credential { id: Some(minted.id), fields: minted.fields }
}

pub async fn probe(issuer: &TwoLogins, credential: &Credential) -> Probe {
    issuer.probe(&issuer.endpoints().remove(0), credential).await
}

pub fn refusal<T>(outcome: Result<T, Failure>) -> (&'static str, Class) {
    let failure = outcome.err().unwrap();
    (failure.code.as_str(), failure.class)
}

/// The lifecycle of every server's logins: first adopted, then in turn; late requests do no harm.
pub async fn three_turns(issuer: &TwoLogins, adopted: Credential) {
    let user = field(&adopted, "user");
    let mut current = adopted;
    let mut past: Vec<Credential> = Vec::new();
    for (turn, slot) in ["a", "b", "a"].into_iter().enumerate() {
        issuer.preflight(&current).await.unwrap();
        let label = format!("keyroll/r{turn}/1");
        let new = mint(issuer, &label, &current).await;
        assert_eq!(field(&new, "user"), format!("{user}_{slot}"));
        assert_eq!(issuer.identify(&new).await.unwrap().id, new.id);
        issuer.revoke(current.id.as_ref().unwrap()).await.unwrap();
        assert_eq!(refusal(issuer.enable(current.id.as_ref().unwrap()).await), ("K0146", Class::Permanent));
        past.push(current);
        // A late revoke of the slot's earlier credential revokes nothing.
        for old in &past {
            issuer.revoke(old.id.as_ref().unwrap()).await.unwrap();
            issuer.disable(old.id.as_ref().unwrap()).await.unwrap();
            assert_eq!(probe(issuer, old).await, Probe::Dead);
        }
        assert_eq!(probe(issuer, &new).await, Probe::Alive);
        current = new;
    }
    // A label whose credential was ended is never minted again.
    let last = past.pop().unwrap();
    let again = issuer.mint("keyroll/r1/1", &current, Some(&last)).await;
    assert_eq!(refusal(again), ("K0146", Class::Permanent));
    assert_eq!(probe(issuer, &last).await, Probe::Dead);
}
