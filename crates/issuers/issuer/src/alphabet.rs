use schemars::JsonSchema;
use serde::Deserialize;

/// The characters that a value may contain, as ranges and single characters: `A-Za-z0-9_-`. A `-` at the end is literal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct Alphabet(Vec<u8>);

impl Alphabet {
    /// Every byte of it, sorted.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it holds this byte.
    pub(crate) fn holds(&self, byte: u8) -> bool {
        self.0.binary_search(&byte).is_ok()
    }
}

impl TryFrom<String> for Alphabet {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const FORM: &str = "an alphabet is ranges and characters of printable ASCII, such as A-Za-z0-9_-";
        if text.is_empty() || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(FORM);
        }
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            if let [b'-', last, after @ ..] = tail {
                if *last < first {
                    return Err(FORM);
                }
                bytes.extend(first..=*last);
                rest = after;
            } else {
                bytes.push(first);
                rest = tail;
            }
        }
        bytes.sort_unstable();
        bytes.dedup();
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_singles() {
        let alphabet = |text: &str| Alphabet::try_from(text.to_owned());
        let hex = alphabet("0-9a-f").unwrap();
        assert_eq!(hex.bytes(), b"0123456789abcdef");
        assert!(alphabet("A-Za-z0-9_-").unwrap().holds(b'-'));
        assert!(!hex.holds(b'g'));
        for wrong in ["", "z-a", "a\n", "é"] {
            assert!(alphabet(wrong).is_err(), "{wrong}");
        }
    }
}
