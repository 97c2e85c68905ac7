use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::{Encoding, NeedleId};

/// All forms of all values, in memory that is locked where it can be and wiped on drop.
pub(crate) struct Arena {
    bytes: SecretBytes,
    forms: Vec<EncodedForm>,
}

/// The location of one form in the arena.
#[derive(Clone, Copy)]
pub(crate) struct EncodedForm {
    pub(crate) id: NeedleId,
    pub(crate) encoding: Encoding,
    start: u32,
    length: u32,
}

impl EncodedForm {
    /// The length in bytes.
    pub(crate) fn len(self) -> usize {
        self.length as usize
    }
}

impl Arena {
    /// Takes the forms; `None` if they exceed 4 GiB together.
    pub(crate) fn new(variants: Vec<(NeedleId, Encoding, Zeroizing<Vec<u8>>)>) -> Option<Self> {
        let total = variants.iter().map(|(_, _, bytes)| bytes.len()).sum();
        u32::try_from(total).ok()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(total));
        let mut forms = Vec::with_capacity(variants.len());
        for (id, encoding, variant) in variants {
            let (start, length) = (u32::try_from(bytes.len()).ok()?, u32::try_from(variant.len()).ok()?);
            forms.push(EncodedForm { id, encoding, start, length });
            bytes.extend_from_slice(&variant);
        }
        Some(Self { bytes: SecretBytes::new(std::mem::take(&mut *bytes)), forms })
    }

    pub(crate) fn forms(&self) -> &[EncodedForm] {
        &self.forms
    }

    pub(crate) fn bytes(&self, form: EncodedForm) -> &[u8] {
        let start = form.start as usize;
        self.bytes.expose().get(start..start + form.len()).unwrap_or_default()
    }

    /// A form and its bytes, by number.
    pub(crate) fn get(&self, number: u32) -> Option<(EncodedForm, &[u8])> {
        let form = *self.forms.get(number as usize)?;
        Some((form, self.bytes(form)))
    }
}
