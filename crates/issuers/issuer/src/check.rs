mod callers;
mod rule;

use std::collections::BTreeSet;

pub(crate) use self::rule::Contradiction;
use self::rule::{Checked, fault, require, sendable, settling};

use crate::document::{Checksum, Document, FieldForm, Human, MintedBy, OverlapKind, Refusals, ValueForm};
use crate::keys::keys;
use crate::operation::{As, Request};
use crate::page::{Page, PageKind};
use crate::shape;
use crate::template::Slot;

/// The longest request that a spec may ask for.
const REQUEST_MS_MAX: u64 = 120_000;

/// The longest value that a spec may declare, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Checks what the form alone cannot: which parts need each other, which caller may see which value, and to which hosts
/// a value may go.
pub(crate) fn check(document: &Document) -> Checked {
    head(document)?;
    fields(document)?;
    callers::check(document)?;
    callers::id_in(document)?;
    minting(document)?;
    pairs(document)?;
    refusals(document)?;
    verdicts(document)?;
    linked(document)?;
    for place in places(document) {
        place.check(document)?;
    }
    let stated = document.provenance.fault(&keys(document));
    stated.map_or(Ok(()), |(path, message)| Err(fault(&path, message)))
}

fn head(document: &Document) -> Checked {
    require(document.spec == 1, "spec", "this version reads spec = 1")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let named = !document.id.is_empty() && document.id.len() <= 64 && document.id.bytes().all(plain);
    require(named, "id", "an id is lower-case letters, digits and dashes, at most 64")?;
    let overlap = &document.overlap;
    let grace = overlap.kind == OverlapKind::Grace;
    require(
        overlap.grace.is_some() == grace,
        "overlap",
        "`grace` goes with kind = \"grace\", and only with it",
    )?;
    let independent = overlap.kind == OverlapKind::Independent;
    require(overlap.max == 0 || independent, "overlap", "`max` goes with kind = \"independent\"")?;
    require(overlap.max != 1, "overlap", "a max of 1 is kind = \"none\"")?;
    let request = document.limits.request_max.ms();
    require((100..=REQUEST_MS_MAX).contains(&request), "limits", "request_max is between 100ms and 2m")?;
    let human = document.minted_by == MintedBy::Human;
    require(
        document.human.is_some() == human,
        "human",
        "[human] goes with minted_by = \"human\", and only with it",
    )?;
    document.human.as_ref().map_or(Ok(()), |human| by_hand(document, human))
}

/// The operator made the credential, so an answer of the issuer must show its id before keyroll revokes a credential by
/// id.
fn by_hand(document: &Document, human: &Human) -> Checked {
    let op = &document.op;
    require(!human.steps.is_empty(), "human", "`steps` tells a person what to do, one step each")?;
    let web = |url: &String| url.starts_with("https://");
    let pages = web(&human.url) && human.revoke_url.as_ref().is_none_or(web);
    require(pages, "human", "a page begins with https://")?;
    let parallel = matches!(document.overlap.kind, OverlapKind::Independent | OverlapKind::TwoSlots);
    let ends = op.revoke.is_some() || !human.revoke_steps.is_empty() || !parallel;
    require(ends, "human", "without op.revoke, `revoke_steps` must say how an operator revokes a key")?;
    let told = op.identify.as_ref().is_some_and(|identify| identify.id.is_some());
    let bound = told || op.list.as_ref().is_some_and(|list| list.hint.is_some());
    let why = "to revoke a key that was made by hand, keyroll needs its id: from op.identify's `id`, or by op.list's `hint`";
    require(op.revoke.is_none() || bound, "op.revoke", why)
}

fn fields(document: &Document) -> Checked {
    require(document.fields.values().any(|field| field.secret), "fields", "one field at least is secret")?;
    for (name, field) in &document.fields {
        let path = format!("fields.{name}");
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        require(plain && name != "id", &path, "a field's name is letters, digits and `_`, and not `id`")?;
        if !field.secret {
            continue;
        }
        if field.form != ValueForm::Text {
            a_document(document, field, &path)?;
            continue;
        }
        let (Some(alphabet), Some(longest)) = (&field.alphabet, field.length_max) else {
            return Err(fault(&path, "a secret field needs `alphabet` and `length_max`"));
        };
        let sized = field.length_min <= longest && longest <= VALUE_BYTES_MAX && field.prefix.len() < longest;
        require(sized, &path, "prefix < length_max, length_min <= length_max <= 65536")?;
        checksum(field, &path)?;
        let drawn = alphabet.bytes().iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
        require(drawn >= 2, &path, "the alphabet needs two letters or digits: a decoy is drawn from them")?;
    }
    for name in &document.control.fields {
        let known = document.fields.contains_key(name);
        require(known, "control.fields", "this field is not declared in [fields]")?;
    }
    Ok(())
}

/// A value of several lines. Its decoy has another private key, so the credential must sign something.
fn a_document(document: &Document, field: &FieldForm, path: &str) -> Checked {
    let sized =
        field.length_max.is_some_and(|longest| field.length_min <= longest && longest <= VALUE_BYTES_MAX);
    require(sized, path, "a secret field needs `length_max`, at most 65536 and not less than `length_min`")?;
    let plain = field.alphabet.is_none() && field.prefix.is_empty() && field.checksum.is_none();
    require(plain, path, "`alphabet`, `prefix` and `checksum` go with form = \"text\"")?;
    require(document.minted_by != MintedBy::Us, path, "keyroll chooses only values with form = \"text\"")?;
    require(
        document.auth.own.jwt.is_some(),
        path,
        "a document needs [auth.self.jwt], which signs with its private key",
    )
}

fn checksum(field: &FieldForm, path: &str) -> Checked {
    match field.checksum {
        None => Ok(()),
        Some(Checksum::GithubCrc32) => {
            let room = field.length_min > field.prefix.len() + shape::CHECKSUM_BYTES;
            require(room, path, "a checksum of six characters needs a longer `length_min`")
        }
    }
}

fn minting(document: &Document) -> Checked {
    let op = &document.op;
    let human = document.minted_by == MintedBy::Human;
    require(op.mint.is_some() != human, "op", "op.mint goes with minted_by = \"api\" or \"us\"")?;
    let Some(mint) = &op.mint else { return Ok(()) };
    let labels = op.list.as_ref().is_some_and(|list| list.label.is_some());
    let known = mint.take.id.is_some() || document.overlap.kind == OverlapKind::Grace;
    let why = "`id` may be omitted only with overlap = { kind = \"grace\" }: any other credential is ended by its id";
    require(known, "op.mint.take", why)?;
    let decoded = mint.take.base64.iter().all(|name| mint.take.fields.contains_key(name));
    require(decoded, "op.mint.take", "`base64` names fields that `fields` takes")?;
    for name in mint.take.fields.keys() {
        require(document.fields.contains_key(name), "op.mint.take", "a taken field is declared in [fields]")?;
    }
    let api = document.minted_by == MintedBy::Api;
    let sent = mint.request.templates();
    let sends = |name: &String| {
        sent.iter().any(|text| text.slots().any(|slot| *slot == Slot::CredField(name.clone())))
    };
    let chosen = document.fields.iter().filter(|(_, field)| field.secret).all(|(name, _)| sends(name));
    let ours = document.minted_by == MintedBy::Us;
    require(
        chosen || !ours,
        "op.mint",
        "with minted_by = \"us\" the request sends every secret field: {cred.FIELD}",
    )?;
    let secrets = document.fields.iter().filter(|(_, field)| field.secret);
    let taken = secrets.map(|(name, _)| name).all(|name| mint.take.fields.contains_key(name));
    require(taken || !api, "op.mint.take", "every secret field is taken from the answer")?;
    // With two slots, one is free before a mint. A credential that fills it and works with our value is therefore ours.
    let slots = document.overlap.kind == OverlapKind::TwoSlots && op.list.is_some();
    let settled = api || labels || mint.idempotent || slots;
    let why = "a mint of our own value must be findable by label, or the issuer treats a second one as the same \
               (idempotent = true)";
    require(settled, "op.mint", why)?;
    let carries = mint.request.templates().iter().any(|t| t.slots().any(|slot| *slot == Slot::Label));
    require(carries || !labels, "op.mint", "op.list reads a label, so op.mint's request must send {label}")
}

fn pairs(document: &Document) -> Checked {
    let op = &document.op;
    require(op.disable.is_some() == op.enable.is_some(), "op", "op.disable and op.enable go together")?;
    let parallel = matches!(document.overlap.kind, OverlapKind::Independent | OverlapKind::TwoSlots);
    let ends = op.revoke.is_some() || !parallel || document.minted_by == MintedBy::Human;
    require(ends, "op", "with an overlap the old credential is ended by op.revoke")?;
    let first = op.revoke.as_ref().is_none_or(|revoke| !revoke.after_disable || op.disable.is_some());
    require(first, "op.revoke", "`after_disable` needs op.disable")?;
    let elsewhere = [&op.disable, &op.enable].into_iter().flatten().all(|change| !change.after_disable);
    require(elsewhere, "op", "`after_disable` goes with op.revoke")?;
    let off = op.disable.is_none() || op.list.as_ref().is_none_or(|list| list.disabled.is_some());
    require(off, "op.list", "where op.disable exists the list must show it: `disabled`")?;
    let timed = op.list.as_ref().is_some_and(|list| list.last_used.is_some());
    require(
        timed == document.last_used.is_some(),
        "last_used",
        "[last_used] goes with op.list's `last_used`",
    )?;
    let ended = op.end_session.is_none() || op.sessions.is_some();
    require(ended, "op.end_session", "op.end_session needs op.sessions")?;
    let by = |page: &Page, path: &str| {
        let whole = match page.kind {
            PageKind::None | PageKind::Link => {
                page.next.is_none() && page.more.is_none() && page.query.is_none()
            }
            PageKind::Address => page.next.is_some() && page.query.is_none() && page.more.is_none(),
            PageKind::Cursor => page.next.is_some() && page.query.is_some(),
            PageKind::Offset | PageKind::Number => {
                page.query.is_some() && page.next.is_none() && page.more.is_none()
            }
        };
        let rule = "page: cursor has `next` and `query` (and `more`), address has `next`, offset and number have `query`";
        require(whole, path, rule)
    };
    op.list.iter().try_for_each(|list| by(&list.page, "op.list.page"))?;
    op.sessions.iter().try_for_each(|sessions| by(&sessions.page, "op.sessions.page"))?;
    op.refusals.iter().try_for_each(|refusals| by(&refusals.page, "op.refusals.page"))
}

/// A spec that claims that the issuer logs refused uses must also say how to read that log.
fn refusals(document: &Document) -> Checked {
    let logged = document.refusals == Refusals::IssuerLog;
    let Some(op) = &document.op.refusals else {
        let why = "refusals = \"issuer-log\" needs [op.refusals], which reads that log; where it cannot be read, \
                   say \"consumer-logs\" or \"none\"";
        return require(!logged, "refusals", why);
    };
    require(logged, "op.refusals", "op.refusals goes with refusals = \"issuer-log\", and only with it")?;
    let told = op.id.is_some() || op.time.is_some();
    require(told, "op.refusals", "an entry is known by its `id`, or by its `time`: one of them is needed")?;
    let uses = |wanted: &Slot| {
        op.request.templates().iter().any(|template| template.slots().any(|slot| slot == wanted))
    };
    let timed = op.time.is_some() || !uses(&Slot::Since);
    require(timed, "op.refusals", "{since} is written as `time` is: it needs `time`")?;
    let why = "an entry says whose use it was by `key`, or the request asks for one key by {cred.id}";
    require(op.key.is_some() || uses(&Slot::CredId), "op.refusals", why)
}

fn verdicts(document: &Document) -> Checked {
    let op = &document.op;
    let verify = &op.verify;
    require(
        !verify.alive.is_empty() && !verify.dead.is_empty(),
        "op.verify",
        "`alive` and `dead` each need a case",
    )?;
    let mut lists = vec![
        ("op.verify.alive", &verify.alive),
        ("op.verify.denied", &verify.denied),
        ("op.verify.dead", &verify.dead),
    ];
    lists.extend(op.get.iter().map(|get| ("op.get.ok", &get.ok)));
    lists.extend(op.mint.iter().map(|mint| ("op.mint.ok", &mint.ok)));
    lists.extend(op.list.iter().map(|list| ("op.list.ok", &list.ok)));
    lists.extend(op.identify.iter().map(|identify| ("op.identify.ok", &identify.ok)));
    lists.extend(op.rights.iter().map(|rights| ("op.rights.ok", &rights.ok)));
    lists.extend(op.sessions.iter().map(|sessions| ("op.sessions.ok", &sessions.ok)));
    lists.extend(op.refusals.iter().map(|refusals| ("op.refusals.ok", &refusals.ok)));
    let changes = [("op.disable", &op.disable), ("op.enable", &op.enable), ("op.revoke", &op.revoke)];
    for (path, change) in changes.iter().filter_map(|(path, change)| Some((*path, change.as_ref()?))) {
        lists.extend([(path, &change.ok), (path, &change.already)]);
    }
    if let Some(end) = &op.end_session {
        lists.extend([("op.end_session.ok", &end.ok), ("op.end_session.already", &end.already)]);
        lists.push(("op.end_session.busy", &end.busy));
    }
    for (path, matchers) in lists {
        require(!(matchers.is_empty() && path.ends_with(".ok")), path, "`ok` needs a case")?;
        matchers.iter().try_for_each(|matcher| settling(matcher, path))?;
    }
    Ok(())
}

/// Of a leaked secret only the value is known: `op.verify` may need nothing else.
fn linked(document: &Document) -> Checked {
    let verify = &document.op.verify;
    let path = "op.verify.rules";
    let alone = verify.rules.is_empty() || document.sole_field().is_some();
    require(alone, path, "`rules` is allowed only if `op.verify` needs one secret field and nothing else")?;
    let named = verify.rules.iter().all(|id| !id.is_empty());
    require(named, path, "a rule is named by its id")?;
    let said = verify.elsewhere.as_ref().is_none_or(|who| !who.is_empty() && !verify.rules.is_empty());
    require(said, "op.verify.elsewhere", "`elsewhere` says who, and goes with `rules`")
}

/// One operation's request with what it may mention.
struct Place<'a> {
    path: &'static str,
    caller: As,
    request: &'a Request,
    slots: &'static [PlaceholderKind],
    needs: &'static [PlaceholderKind],
}

/// Kinds of placeholders, as operations are allowed them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlaceholderKind {
    Label,
    Id,
    Field,
    CurrentId,
    CurrentField,
    Copy,
    Since,
    Handle,
    Force,
    Jwt,
}

fn kind(slot: &Slot) -> Option<PlaceholderKind> {
    Some(match slot {
        Slot::Label => PlaceholderKind::Label,
        Slot::Admin(_) | Slot::Token | Slot::Hmac | Slot::Time | Slot::CredPart(..) => return None,
        Slot::Jwt => PlaceholderKind::Jwt,
        Slot::CredId => PlaceholderKind::Id,
        Slot::CredField(_) => PlaceholderKind::Field,
        Slot::CurrentId => PlaceholderKind::CurrentId,
        Slot::CurrentField(_) => PlaceholderKind::CurrentField,
        Slot::Copy(_) => PlaceholderKind::Copy,
        Slot::Since => PlaceholderKind::Since,
        Slot::SessionHandle => PlaceholderKind::Handle,
        Slot::SessionForce => PlaceholderKind::Force,
    })
}

fn places(document: &Document) -> Vec<Place<'_>> {
    use PlaceholderKind::{Copy, CurrentField, CurrentId, Field, Force, Handle, Id, Jwt, Label, Since};
    let op = &document.op;
    let place = |path, caller, request, slots, needs| Place { path, caller, request, slots, needs };
    let mine: &[PlaceholderKind] = if document.auth.own.jwt.is_some() { &[Field, Jwt] } else { &[Field] };
    let mut places = vec![place("op.verify", As::Own, &op.verify.request, mine, &[][..])];
    places.extend(
        op.get.iter().map(|op| place("op.get", op.caller, &op.request, &[CurrentId, CurrentField], &[])),
    );
    let minting: &[PlaceholderKind] = if document.minted_by == MintedBy::Us {
        &[Label, Field, CurrentId, CurrentField, Copy]
    } else {
        &[Label, CurrentId, CurrentField, Copy]
    };
    places.extend(op.mint.iter().map(|op| place("op.mint", op.caller, &op.request, minting, &[])));
    places.extend(
        op.list.iter().map(|op| place("op.list", op.caller, &op.request, &[CurrentId, CurrentField], &[])),
    );
    places.extend(op.identify.iter().map(|op| place("op.identify", As::Own, &op.request, mine, &[])));
    places.extend(op.rights.iter().map(|op| place("op.rights", As::Admin, &op.request, &[], &[])));
    let changes = [("op.disable", &op.disable), ("op.enable", &op.enable), ("op.revoke", &op.revoke)];
    for (path, change) in changes {
        places
            .extend(change.iter().map(|op| place(path, As::Admin, &op.request, &[Id, CurrentField], &[Id])));
    }
    places.extend(op.sessions.iter().map(|op| place("op.sessions", As::Admin, &op.request, &[Id], &[Id])));
    let refusals = op.refusals.iter();
    places.extend(refusals.map(|op| place("op.refusals", As::Admin, &op.request, &[Id, Since], &[])));
    let end = op.end_session.iter();
    places.extend(
        end.map(|op| place("op.end_session", As::Admin, &op.request, &[Id, Handle, Force], &[Handle])),
    );
    places
}

impl Place<'_> {
    fn check(&self, document: &Document) -> Checked {
        let (caller, name) = match self.caller {
            As::Admin => (document.auth.admin.as_ref(), "auth.admin"),
            As::Own => (Some(&document.auth.own), "auth.self"),
        };
        let Some(caller) = caller else {
            return Err(fault(self.path, "this operation is the admin's: it needs [auth.admin]"));
        };
        sendable(self.request, caller, name, self.path)?;
        self.slots(document)
    }

    fn slots(&self, document: &Document) -> Checked {
        let mut seen = Vec::new();
        for slot in self.request.templates().iter().flat_map(|template| template.slots()) {
            let Some(kind) = kind(slot) else {
                return Err(fault(self.path, "this placeholder is allowed in [auth] only"));
            };
            require(
                self.slots.contains(&kind),
                self.path,
                "a placeholder here has no value in this operation",
            )?;
            if let Slot::CredField(name) | Slot::CurrentField(name) = slot {
                require(
                    document.fields.contains_key(name),
                    self.path,
                    "this field is not declared in [fields]",
                )?;
            }
            if let Slot::CurrentField(name) = slot
                && ["op.disable", "op.enable", "op.revoke"].contains(&self.path)
            {
                let public = document.fields.get(name).is_some_and(|field| !field.secret);
                require(public, self.path, "only a field that is not secret is allowed here")?;
            }
            if let Slot::Copy(name) = slot {
                let read = document.op.get.as_ref().is_some_and(|get| get.copy.contains_key(name));
                require(read, self.path, "{copy.NAME} needs NAME in op.get's `copy`")?;
            }
            seen.push(kind);
        }
        let missing = self.needs.iter().find(|need| !seen.contains(need));
        require(
            missing.is_none(),
            self.path,
            "this request does not say which credential or session it is about",
        )?;
        let named: BTreeSet<_> = self.request.header.keys().map(|name| name.to_ascii_lowercase()).collect();
        require(named.len() == self.request.header.len(), self.path, "a header stands here twice")
    }
}
