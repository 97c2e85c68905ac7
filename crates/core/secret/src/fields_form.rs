use crate::{Fields, SecretBytes};

/// The persisted form of fields: version, count, then name, secret flag and value of each, in the names' order.
const FIELDS_VERSION: u8 = 1;

/// Why bytes cannot be read as fields; never shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldsError {
    /// The first byte names a form that this version does not know.
    #[error("the fields have form {0}, which this version does not read")]
    UnknownVersion(u8),
    /// The bytes end inside a field, or before the first byte.
    #[error("the fields are cut short")]
    Truncated,
    /// Bytes follow the last field.
    #[error("bytes follow the last field")]
    Trailing,
    /// A name is not UTF-8, names are not in order, or a flag is neither 0 nor 1: `encode` never writes that.
    #[error("the fields are malformed")]
    Malformed,
}

impl Fields {
    /// The fields as bytes, ready to be sealed whole. Equal fields give equal bytes.
    pub fn encode(&self) -> SecretBytes {
        let length = self.iter().map(|(name, field)| name.len() + field.value.len() + 17).sum::<usize>() + 9;
        // The whole buffer is allocated at once: a buffer that grows leaves copies of values behind.
        let mut out = Vec::with_capacity(length);
        out.push(FIELDS_VERSION);
        out.extend_from_slice(&(self.iter().count() as u64).to_le_bytes());
        for (name, field) in self.iter() {
            out.extend_from_slice(&(name.len() as u64).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            out.push(u8::from(field.secret));
            out.extend_from_slice(&(field.value.len() as u64).to_le_bytes());
            out.extend_from_slice(field.value.expose());
        }
        SecretBytes::new(out)
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else; memory is bounded by the input's length.
    pub fn decode(bytes: &[u8]) -> Result<Self, FieldsError> {
        let (version, mut rest) = bytes.split_first().ok_or(FieldsError::Truncated)?;
        if *version != FIELDS_VERSION {
            return Err(FieldsError::UnknownVersion(*version));
        }
        let count = take_length(&mut rest)?;
        let mut fields = Self::new();
        let mut before: Option<&str> = None;
        for _ in 0..count {
            let name = std::str::from_utf8(take_block(&mut rest)?).map_err(|_| FieldsError::Malformed)?;
            if before.is_some_and(|before| before >= name) {
                return Err(FieldsError::Malformed);
            }
            before = Some(name);
            let secret = match take(&mut rest, 1)? {
                [0] => false,
                [1] => true,
                _ => return Err(FieldsError::Malformed),
            };
            let value = take_block(&mut rest)?.to_vec();
            fields.insert(name, SecretBytes::new(value), secret);
        }
        if rest.is_empty() { Ok(fields) } else { Err(FieldsError::Trailing) }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], FieldsError> {
    let (taken, left) = rest.split_at_checked(length).ok_or(FieldsError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn take_length(rest: &mut &[u8]) -> Result<usize, FieldsError> {
    let (taken, left) = rest.split_first_chunk::<8>().ok_or(FieldsError::Truncated)?;
    *rest = left;
    usize::try_from(u64::from_le_bytes(*taken)).map_err(|_| FieldsError::Truncated)
}

fn take_block<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], FieldsError> {
    let length = take_length(rest)?;
    take(rest, length)
}
