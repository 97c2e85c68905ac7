//! The admin of an issuer: what its credential is, and which requests are its own.

#![allow(clippy::indexing_slicing, reason = "what a spec does not have is null")]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::digest::Digests;
use super::super::proof::{is_signed, key_pair};
use super::super::request::Request;
use super::body::put;
use super::spot::{IsSecret, Spot, of_caller, of_request};
use super::template::{Piece, fill, slots_in};
use crate::alphanumeric;

/// Letters and digits of a text of the credential.
const RANDOM_CHARS: usize = 40;

/// What a request must have to be the admin's.
#[derive(Default)]
struct Needs {
    digests: Vec<u64>,
    jwt: bool,
}

/// How the admin is known, without its credential.
#[derive(Default)]
pub(in super::super) struct Admin {
    /// With its credential.
    call: Needs,
    /// Where the credential is only exchanged for a token.
    exchange: Option<Needs>,
    /// The public key of its JWT.
    public: Option<Vec<u8>>,
    /// The digests of the tokens that were issued.
    tokens: Mutex<Vec<u64>>,
}

impl Admin {
    /// One with a credential of one text.
    pub(in super::super) fn of_text(text: &str, digests: &Digests) -> Self {
        let call = Needs { digests: vec![digests.of(text.as_bytes())], jwt: false };
        Self { call, ..Self::default() }
    }

    fn meets(&self, needs: &Needs, request: &Request) -> bool {
        let signed = || {
            let public = self.public.as_deref().unwrap_or_default();
            request.jwts.iter().any(|jwt| is_signed(jwt, public))
        };
        let some = needs.jwt || !needs.digests.is_empty();
        let all = needs.digests.iter().all(|digest| request.digests.contains(digest));
        some && all && (!needs.jwt || signed())
    }

    /// Whether a request is the admin's.
    pub(in super::super) fn is_caller(&self, request: &Request) -> bool {
        match self.exchange {
            None => self.meets(&self.call, request),
            Some(_) => self.tokens().iter().any(|token| request.digests.contains(token)),
        }
    }

    /// Whether a request that asks for a token shows the credential.
    pub(in super::super) fn may_exchange(&self, request: &Request) -> bool {
        self.exchange.as_ref().is_some_and(|needs| self.meets(needs, request))
    }

    /// A new token works from now on.
    pub(in super::super) fn issued(&self, token: u64) {
        self.tokens().push(token);
    }

    fn tokens(&self) -> MutexGuard<'_, Vec<u64>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A credential for the admin of a spec, and how the issuer knows it.
pub(super) fn issued(spec: &Value, is_secret: IsSecret<'_>, digests: &Digests) -> (Zeroizing<String>, Admin) {
    let caller = &spec["auth"]["admin"];
    let key = caller["jwt"]["key"].as_str();
    let (mut values, mut public) = (BTreeMap::new(), None);
    for slot in slots_in(caller).into_iter().filter(|slot| slot.starts_with("{admin")) {
        let text = if key == Some(slot.as_str()) {
            let (pem, of_pem) = key_pair();
            public = Some(of_pem);
            pem.to_string()
        } else {
            format!("admin_{}", alphanumeric(RANDOM_CHARS))
        };
        values.insert(slot, text);
    }
    let needs = |spots: &[Spot]| {
        let is_jwt = |spot: &&Spot| spot.shown.contains(&Piece::Slot("{jwt}".to_owned()));
        let (jwts, shown): (Vec<&Spot>, Vec<&Spot>) = spots.iter().partition(is_jwt);
        let digests = shown.iter().map(|spot| digests.of(fill(&spot.shown, &values).as_bytes()));
        Needs { digests: digests.collect(), jwt: !jwts.is_empty() }
    };
    let call = needs(&of_caller(caller, is_secret));
    let exchange = caller.get("token").map(|exchange| {
        let mut spots = of_caller(exchange, is_secret);
        spots.extend(of_request(&exchange["request"], is_secret));
        needs(&spots)
    });
    (document(&values), Admin { call, exchange, public, tokens: Mutex::default() })
}

/// The file of the admin's credential: one text, or a JSON document.
fn document(values: &BTreeMap<String, String>) -> Zeroizing<String> {
    let mut root = json!({});
    for (slot, text) in values {
        match slot.strip_prefix("{admin").and_then(|rest| rest.strip_suffix('}')) {
            Some("") => return Zeroizing::new(text.clone()),
            Some(place) => put(&mut root, place, json!(text)),
            None => {}
        }
    }
    Zeroizing::new(root.to_string())
}
