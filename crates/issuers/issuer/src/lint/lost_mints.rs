use super::remark::Remark;
use crate::document::{Document, MintedBy, OverlapKind};
use crate::template::Slot;

/// A mint whose answer may be lost, and then nothing finds the new key.
pub(crate) fn judge(document: &Document) -> Option<Remark> {
    let mint = document.op.mint.as_ref()?;
    let list = document.op.list.as_ref();
    if list.is_some_and(|list| list.label.is_some()) {
        return None;
    }
    let sends = mint.request.templates().iter().any(|text| text.slots().any(|slot| *slot == Slot::Label));
    if sends && list.is_some() {
        return Some(Remark {
            rule: "label-not-read",
            key: "op.list".to_owned(),
            message:
                "op.mint sends {label}, but op.list has no `label`: keyroll cannot find the keys that it made"
                    .to_owned(),
            help: "add the position of the name in an item: label = \"/name\"".to_owned(),
        });
    }
    // Whoever wrote the sentence has seen it.
    let said =
        document.provenance.assumed.iter().any(|sentence| sentence.starts_with("op.mint: a lost answer"));
    if said {
        return None;
    }
    // What fills the free slot and accepts our value is the new key.
    let slot = document.overlap.kind == OverlapKind::TwoSlots && list.is_some();
    let found = slot && document.minted_by == MintedBy::Us;
    (!found && !mint.idempotent).then(|| Remark {
        rule: "lost-mint",
        key: "op.mint".to_owned(),
        message: "if the answer to this call is lost, keyroll cannot find the new key".to_owned(),
        help: "send {label} in the request, as a name or a description, and read it in op.list: label = \"/name\"; \
               without both, an operator must look for the key"
            .to_owned(),
    })
}
