//! How a caller authenticates: a credential is shown only by placeholders, and goes only to the hosts that are listed
//! for it.

use std::collections::BTreeMap;

use super::rule::{Checked, fault, header_name, require, sendable, settling};
use crate::caller::{Basic, Caller, Exchange, Hmac, Jwt};
use crate::document::Document;
use crate::template::{Slot, Template};

/// The shortest and the longest life of a JWT, milliseconds.
const JWT_MS: std::ops::RangeInclusive<u64> = 60_000..=3_600_000;

/// One of the two callers, with what its placeholders may be.
struct Side<'a> {
    document: &'a Document,
    caller: &'a Caller,
    path: &'static str,
}

pub(super) fn check(document: &Document) -> Checked {
    let own = Side { document, caller: &document.auth.own, path: "auth.self" };
    let admin = document.auth.admin.as_ref().map(|caller| Side { document, caller, path: "auth.admin" });
    own.check()?;
    require(
        own.caller.token.is_none(),
        "auth.self.token",
        "only the admin credential is exchanged for a token",
    )?;
    let Some(admin) = admin else { return Ok(()) };
    admin.check()?;
    require(admin.caller.hmac.is_none(), "auth.admin.hmac", "an HMAC goes with [auth.self] only")?;
    admin.caller.token.as_ref().map_or(Ok(()), |exchange| admin.exchange(exchange))
}

/// An id is printed: no whole secret may be taken for one.
pub(super) fn id_in(document: &Document) -> Checked {
    let Some(template) = &document.id_in else { return Ok(()) };
    let own = Side { document, caller: &document.auth.own, path: "auth.self" };
    let sole = template.sole_slot();
    let part = |slot: &Slot| matches!(slot, Slot::CredPart(..)) && own.is_credential(slot);
    let fits = sole.is_some_and(|slot| own.is_public(slot) || part(slot));
    require(fits, "id_in", "`id_in` is {cred.FIELD} of a field that is not secret, or {cred.FIELD/PLACE}")?;
    let told = document.op.identify.as_ref().is_some_and(|identify| identify.id.is_some());
    require(!told, "id_in", "op.identify already tells the id")
}

impl Side<'_> {
    fn check(&self) -> Checked {
        let (caller, path) = (self.caller, self.path);
        require(
            !caller.hosts.is_empty(),
            path,
            "`hosts` names the hosts that this credential may be sent to",
        )?;
        self.headers(&caller.header)?;
        if let Some(jwt) = &caller.jwt {
            self.jwt(jwt)?;
        }
        if let Some(hmac) = &caller.hmac {
            self.hmac(hmac)?;
        }
        let basic = caller.basic.iter().flat_map(|basic| [&basic.user, &basic.password]);
        let exchanged = caller.token.is_some();
        let shown = |slot: &Slot| {
            let signed = (*slot == Slot::Jwt && caller.jwt.is_some())
                || (matches!(slot, Slot::Hmac | Slot::Time) && caller.hmac.is_some());
            if exchanged { *slot == Slot::Token } else { signed || self.is_credential(slot) }
        };
        let name = match (exchanged, path) {
            (true, _) => "{token}",
            (false, "auth.admin") => {
                "{admin}, {admin/PLACE}, {jwt} with [auth.admin.jwt], or {token} with [auth.admin.token]"
            }
            (false, _) => {
                "{cred.FIELD} of a declared field, {jwt} with [auth.self.jwt], or {hmac} and {time} with \
                           [auth.self.hmac]"
            }
        };
        let mut all = caller.header.values().chain(basic);
        let fits = all.all(|template| template.slots().all(shown));
        require(fits, path, format!("the only placeholder here is {name}"))?;
        self.once(&caller.header, caller.basic.as_ref(), path)
    }

    /// A password is a placeholder, and no header is sent twice.
    fn once(&self, headers: &BTreeMap<String, Template>, basic: Option<&Basic>, path: &str) -> Checked {
        let filled = basic.is_none_or(|basic| basic.password.slots().next().is_some());
        require(filled, path, "the password of `basic` takes its value from a placeholder")?;
        let mut names: Vec<String> = headers.keys().map(|name| name.to_ascii_lowercase()).collect();
        names.extend(basic.map(|_| "authorization".to_owned()));
        let count = names.len();
        names.sort();
        names.dedup();
        require(names.len() == count, path, "a header stands here twice; `basic` is the header Authorization")
    }

    /// A header of a caller takes its value from a placeholder: a spec never contains a value.
    fn headers(&self, headers: &BTreeMap<String, Template>) -> Checked {
        for (header, template) in headers {
            header_name(header, self.path)?;
            let why =
                "a header of [auth] takes its value from a placeholder, such as {admin} or {cred.FIELD}";
            require(template.slots().next().is_some(), self.path, why)?;
        }
        Ok(())
    }

    /// Whether the placeholder is the caller's credential, or a part of it.
    fn is_credential(&self, slot: &Slot) -> bool {
        let declared = |name: &String| self.document.fields.contains_key(name);
        let own = self.path == "auth.self";
        let of_field = matches!(slot, Slot::CredField(name) | Slot::CredPart(name, _) if declared(name));
        if own { of_field } else { matches!(slot, Slot::Admin(_)) }
    }

    /// Whether the placeholder is a field of the credential in use that is not secret. The admin's own calls name it.
    fn is_public(&self, slot: &Slot) -> bool {
        let public = |name: &String| self.document.fields.get(name).is_some_and(|field| !field.secret);
        match self.path {
            "auth.admin" => matches!(slot, Slot::CurrentField(name) if public(name)),
            _ => matches!(slot, Slot::CredField(name) if public(name)),
        }
    }

    fn jwt(&self, jwt: &Jwt) -> Checked {
        let path = format!("{}.jwt", self.path);
        let key = jwt.key.sole_slot().is_some_and(|slot| self.is_credential(slot));
        require(key, &path, "`key` is one placeholder: the private key in the credential")?;
        require(JWT_MS.contains(&jwt.lasts.ms()), &path, "`lasts` is between 1m and 1h")?;
        // A whole secret must not be in a claim, which the other side may log; a part of a document may be an account.
        let told = |slot: &Slot| {
            self.is_public(slot)
                || matches!(slot, Slot::Admin(Some(_)) | Slot::CredPart(..)) && self.is_credential(slot)
        };
        let key_again = |template: &Template| template.slots().any(|slot| Some(slot) == jwt.key.sole_slot());
        for template in jwt.header.values().chain(jwt.claims.values()) {
            let fits = template.slots().all(told) && !key_again(template);
            require(
                fits,
                &path,
                "a claim takes its value from a part of a JSON document, or from a field that is not secret",
            )?;
        }
        let ours = ["iat", "exp", "alg", "typ"];
        let taken = jwt.header.keys().chain(jwt.claims.keys()).any(|name| ours.contains(&name.as_str()));
        require(!taken, &path, "keyroll sets alg, typ, iat and exp itself")
    }

    fn hmac(&self, hmac: &Hmac) -> Checked {
        let path = format!("{}.hmac", self.path);
        let key = hmac.key.sole_slot().is_some_and(|slot| self.is_credential(slot));
        require(key, &path, "`key` is one placeholder: {cred.FIELD}")?;
        let fits = hmac.text.slots().all(|slot| *slot == Slot::Time || self.is_public(slot));
        require(fits, &path, "`text` may contain {time}, and {cred.FIELD} of a field that is not secret")
    }

    fn exchange(&self, exchange: &Exchange) -> Checked {
        let path = "auth.admin.token";
        let request = &exchange.request;
        sendable(request, self.caller, self.path, path)?;
        require(!exchange.ok.is_empty(), path, "`ok` needs a case")?;
        exchange.ok.iter().try_for_each(|matcher| settling(matcher, path))?;
        self.headers(&exchange.header)?;
        self.once(&exchange.header, exchange.basic.as_ref(), path)?;
        let basic = exchange.basic.iter().flat_map(|basic| [&basic.user, &basic.password]);
        let shown = exchange.header.values().chain(basic).chain(request.templates());
        let signs = self.caller.jwt.is_some();
        let known =
            |slot: &Slot| self.is_credential(slot) || self.is_public(slot) || (*slot == Slot::Jwt && signs);
        for template in shown {
            let fits = template.slots().all(known);
            require(
                fits,
                path,
                "here are {admin}, {admin/PLACE}, {jwt}, and {current.FIELD} of a field that is not secret",
            )?;
        }
        let used = self.caller.header.values().flat_map(Template::slots).any(|slot| *slot == Slot::Token);
        if used {
            Ok(())
        } else {
            Err(fault(self.path, "a header must send the {token} that the credential is exchanged for"))
        }
    }
}
