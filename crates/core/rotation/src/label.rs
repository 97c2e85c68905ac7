//! The label that a credential carries at its issuer: it names the intent that made the credential.

use crate::Seq;

/// Every label of keyroll begins so.
const BEGIN: &str = "keyroll/";

/// The intent that a label names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// The id of the rotation.
    pub rotation: &'a str,
    /// The number of the intent in that rotation's journal.
    pub intent: Seq,
}

impl<'a> Label<'a> {
    /// The label in this text; `None` for any other text.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (rotation, intent) = text.strip_prefix(BEGIN)?.rsplit_once('/')?;
        Some(Self { rotation, intent: intent.parse().ok()? })
    }

    /// The text of the label.
    pub fn text(&self) -> String {
        format!("{BEGIN}{}/{}", self.rotation, self.intent)
    }

    /// The intent as the rotation `own` sees it. The label of another rotation in the journal is none of its business. A
    /// label of a rotation that the journal does not have names an intent that cannot exist, which freezes the secret:
    /// another keyroll rotates the same account, or the journal lost a rotation.
    pub fn seen_by(&self, own: &str, in_journal: bool) -> Option<Seq> {
        if self.rotation == own { Some(self.intent) } else { (!in_journal).then_some(Seq::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_an_intent_of_one_rotation() {
        let label = Label { rotation: "0192", intent: 7 };
        assert_eq!(label.text(), "keyroll/0192/7");
        assert_eq!(Label::parse("keyroll/0192/7"), Some(label));
        assert_eq!(Label::parse("keyroll/a/b/7"), Some(Label { rotation: "a/b", intent: 7 }));
        for other in
            ["", "keyroll/", "keyroll/7", "keyroll/0192/", "keyroll/0192/x", "revoked keyroll/0192/7"]
        {
            assert_eq!(Label::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_a_rotation_that_the_journal_does_not_have_is_of_concern() {
        let label = Label { rotation: "0192", intent: 7 };
        assert_eq!([true, false].map(|known| label.seen_by("0192", known)), [Some(7); 2]);
        assert_eq!([true, false].map(|known| label.seen_by("0193", known)), [None, Some(Seq::MAX)]);
    }
}
