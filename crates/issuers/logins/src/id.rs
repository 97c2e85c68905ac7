use keyroll_port::Listed;
use keyroll_secret::CredentialId;

/// What every label of ours starts with.
const LABEL_PREFIX: &str = "keyroll/";
/// The prefix that a label gets when its credential is ended: the slot is free, and the label is never minted again.
const ENDED_PREFIX: &str = "revoked ";
/// Between role and label in an id.
const SEPARATOR: &str = "#keyroll/";

/// What the mark on a login says about the credential in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// No comment, or one that is not ours.
    Foreign,
    /// The credential minted under this label.
    Ours(String),
    /// The credential minted under this label was ended.
    Ended(String),
}

impl Mark {
    /// Reads a comment as `COMMENT ON ROLE` keeps it.
    pub(crate) fn read(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default();
        match text.strip_prefix(ENDED_PREFIX) {
            Some(label) if is_label(label) => Self::Ended(label.to_owned()),
            _ if is_label(text) => Self::Ours(text.to_owned()),
            _ => Self::Foreign,
        }
    }

    /// Finds the mark among these texts. If one of them says *ended*, the credential has ended, whatever the others
    /// say.
    pub(crate) fn among<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Self::Foreign;
        for text in texts {
            match (Self::read(Some(text)), &found) {
                (ended @ Self::Ended(_), _) => found = ended,
                (ours @ Self::Ours(_), Self::Foreign) => found = ours,
                (Self::Ours(_) | Self::Foreign, _) => {}
            }
        }
        found
    }

    /// The label, ended or not.
    pub(crate) fn label(&self) -> Option<&str> {
        match self {
            Self::Foreign => None,
            Self::Ours(label) | Self::Ended(label) => Some(label),
        }
    }
}

/// The comment of an ended credential.
pub(crate) fn ended(label: &str) -> String {
    format!("{ENDED_PREFIX}{label}")
}

/// Whether a text is a label of ours.
pub(crate) fn is_label(text: &str) -> bool {
    text.strip_prefix(LABEL_PREFIX).is_some_and(|rest| !rest.is_empty() && !text.contains('\0'))
}

/// Whether a role name could be taken for an id with a label.
pub(crate) fn is_ambiguous(role: &str) -> bool {
    role.contains(SEPARATOR)
}

/// The role of an id, and the label of the credential in it: `orders_a#keyroll/0192/3`, or `orders` alone for a
/// role that carries no label of ours.
///
/// A slot is used again and again; with the label in the id, a late `revoke` of what was in it before cannot end
/// what is in it now.
pub(crate) fn make(role: &str, comment: &Mark) -> CredentialId {
    match comment.label() {
        Some(label) => CredentialId::new(format!("{role}#{label}")),
        None => CredentialId::new(role),
    }
}

/// A role as an entry of the issuer's list.
pub(crate) fn listed(role: &str, mark: &Mark, disabled: bool) -> Listed {
    let label = mark.label().map(str::to_owned);
    Listed { id: make(role, mark), label, disabled, last_used_unix_ms: None, hint: None }
}

/// The two parts of an id that [`make`] made.
pub(crate) fn split(id: &CredentialId) -> (&str, Option<&str>) {
    let text = id.as_str();
    let parts = text.find(SEPARATOR).and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)));
    parts.map_or((text, None), |(role, label)| (role, Some(label)))
}

/// Whether an id names the credential that its role carries now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The same credential.
    Same,
    /// The role carries a later credential: the one that the id names is gone.
    Gone,
    /// The comment was removed or overwritten, so this cannot be known.
    Unclear,
}

/// Compares an id's label with the comment of its role.
pub(crate) fn standing(label: Option<&str>, comment: &Mark) -> Standing {
    match (label, comment) {
        (None, Mark::Foreign) => Standing::Same,
        (None, Mark::Ours(_) | Mark::Ended(_)) => Standing::Gone,
        (Some(_), Mark::Foreign) => Standing::Unclear,
        (Some(label), Mark::Ours(now) | Mark::Ended(now)) if label == now => Standing::Same,
        (Some(_), Mark::Ours(_) | Mark::Ended(_)) => Standing::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_role_and_the_label_in_it() {
        let ours = Mark::read(Some("keyroll/r/3"));
        let id = make("orders_a", &ours);
        assert_eq!(id.as_str(), "orders_a#keyroll/r/3");
        assert_eq!(split(&id), ("orders_a", Some("keyroll/r/3")));
        assert_eq!(make("orders_a", &Mark::read(Some("revoked keyroll/r/3"))), id);
        assert_eq!(split(&CredentialId::new("a#b")), ("a#b", None));
    }

    #[test]
    fn a_comment_of_others_is_no_label() {
        for text in [None, Some(""), Some("the billing app"), Some("keyroll/"), Some("revoked by ada")] {
            assert_eq!(Mark::read(text), Mark::Foreign);
        }
    }

    #[test]
    fn a_reused_slot_is_told_from_what_was_in_it() {
        let now = Mark::read(Some("keyroll/r/9"));
        assert_eq!(standing(Some("keyroll/r/9"), &now), Standing::Same);
        assert_eq!(standing(Some("keyroll/r/3"), &now), Standing::Gone);
        assert_eq!(standing(None, &now), Standing::Gone);
        assert_eq!(standing(Some("keyroll/r/3"), &Mark::Foreign), Standing::Unclear);
        assert_eq!(standing(None, &Mark::Foreign), Standing::Same);
    }
}
