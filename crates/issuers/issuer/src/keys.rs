use crate::document::Document;

/// The keys that a source can state, each with whether this spec has it.
pub(crate) fn keys(document: &Document) -> Vec<(&'static str, bool)> {
    let op = &document.op;
    vec![
        ("overlap", true),
        ("fields", true),
        ("auth", true),
        ("op.verify", true),
        ("op.verify.alive", true),
        ("op.verify.denied", !op.verify.denied.is_empty()),
        ("op.verify.dead", true),
        ("op.get", op.get.is_some()),
        ("op.mint", op.mint.is_some()),
        ("op.list", op.list.is_some()),
        ("op.identify", op.identify.is_some()),
        ("op.rights", op.rights.is_some()),
        ("op.disable", op.disable.is_some()),
        ("op.enable", op.enable.is_some()),
        ("op.revoke", op.revoke.is_some()),
        ("op.sessions", op.sessions.is_some()),
        ("op.end_session", op.end_session.is_some()),
        ("op.refusals", op.refusals.is_some()),
        ("last_used", document.last_used.is_some()),
        ("propagation", true),
        // A page may state that a revocation affects nothing else, and then the spec has no `[effects]`.
        ("effects", true),
        ("human", document.human.is_some()),
    ]
}

/// The key that a sentence of `assumed` begins with: `propagation: a new key works within a minute`.
pub(crate) fn key_of(sentence: &str) -> Option<&str> {
    let (key, _) = sentence.split_once(": ")?;
    (!key.is_empty() && !key.contains(char::is_whitespace)).then_some(key)
}
