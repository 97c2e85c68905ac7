use keyroll_port::{Failure, Identity, Listing};
use keyroll_secret::{Credential, CredentialId};

use crate::call::Call;
use crate::document::Document;
use crate::operation::Identify;
use crate::render::Values;

/// How many characters of the value, beside its prefix, a hint must show to bind it to an id.
const HINT_CHARS_MIN: usize = 4;

/// Asks the issuer which id the credential has.
pub(crate) async fn whoami(call: &Call<'_>, op: &Identify, values: &Values<'_>) -> Result<Identity, Failure> {
    let answer = call.succeed(values, &op.ok).await?;
    let text =
        |pointer: Option<&crate::pointer::Pointer>| pointer.zip(answer.json()).and_then(|(p, j)| p.text(j));
    let id = text(op.id.as_ref()).map(|id| call.document.id_form.id(id));
    if op.id.is_some() && id.is_none() {
        return Err(call.nonsense(&answer, "the id is not where the spec says"));
    }
    Ok(Identity { id: id.map(CredentialId::new), principal: text(op.principal.as_ref()) })
}

/// The one listed credential whose hint fits the value. None if the list is incomplete or two hints fit.
pub(crate) fn by_hint(document: &Document, listing: &Listing, credential: &Credential) -> Identity {
    let fits = |hint: &str| {
        credential.fields.secrets().any(|(name, secret)| {
            let prefix = document.fields.get(name).map(|form| form.prefix.as_str()).unwrap_or_default();
            shows(hint, secret.expose(), prefix)
        })
    };
    let mut found = listing.entries.iter().filter(|entry| entry.hint.as_deref().is_some_and(fits));
    let (first, second) = (found.next(), found.next());
    let only = first.filter(|_| second.is_none() && listing.complete);
    Identity { id: only.map(|entry| entry.id.clone()), principal: None }
}

/// Whether a hint such as `sk-or-v1-0e6...1c96` is a preview of this value, and shows enough of it.
pub(crate) fn shows(hint: &str, value: &[u8], prefix: &str) -> bool {
    let cut = ["...", "…", "***"].iter().find_map(|cut| hint.split_once(cut));
    let Some((start, end)) = cut else { return false };
    let end = end.trim_start_matches(['.', '*', '…']);
    let shown = start.len().saturating_sub(prefix.len()) + end.len();
    shown >= HINT_CHARS_MIN
        && start.len() + end.len() < value.len()
        && value.starts_with(start.as_bytes())
        && value.ends_with(end.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_binds_only_where_it_shows_enough() {
        let value = b"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";
        assert!(shows("sk-or-v1-0e6...1c96", value, "sk-or-v1-"));
        assert!(shows("sk-or-v1-0e6…1c96", value, "sk-or-v1-"));
        assert!(shows("****1c96", value, "sk-or-v1-"));
        assert!(!shows("sk-or-v1-0e6...1c97", value, "sk-or-v1-"));
        assert!(!shows("sk-or-v1-...", value, "sk-or-v1-"));
        assert!(!shows("...c96", value, "sk-or-v1-"));
        assert!(!shows("Production API Key", value, "sk-or-v1-"));
    }
}
