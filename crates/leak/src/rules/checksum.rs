use serde::Deserialize;

/// How the end of a token follows from the rest of it: what was made up, or mistyped, does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Checksum {
    /// Six digits of base 62, the CRC-32 of what stands between the last `_` and them. GitHub, npm.
    /// Source: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
    Crc32Base62,
    /// Eight hex digits behind the last `_`, the CRC-32 of everything before it, low byte first. Grafana.
    /// Source: https://github.com/grafana/grafana, pkg/components/satokengen
    Crc32HexLe,
    /// Seven digits of base 36, the CRC-32 of everything before them. GitLab's routable tokens.
    /// Source: https://handbook.gitlab.com/handbook/engineering/architecture/design-documents/cells/routable_tokens/
    GitlabRoutable,
    /// Bech32 (BIP 173). age.
    Bech32,
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

impl Checksum {
    /// Whether the end of the value is what the rest of it says.
    pub(crate) fn fits(self, value: &[u8]) -> bool {
        match self {
            Self::Bech32 => bech32(&value.to_ascii_lowercase()) == Some(1),
            Self::Crc32Base62 | Self::Crc32HexLe | Self::GitlabRoutable => {
                self.end(value).is_some_and(|end| value.ends_with(&end))
            }
        }
    }

    /// How a value of this form must end; `None` = it is not of this form.
    fn end(self, value: &[u8]) -> Option<Vec<u8>> {
        let behind = || value.iter().rposition(|byte| *byte == b'_').map(|at| at + 1);
        match self {
            Self::Crc32Base62 => {
                let body = value.get(behind()?..value.len().checked_sub(6)?)?;
                Some(digits(crc32(body), BASE62, 6))
            }
            Self::Crc32HexLe => {
                let body = value.get(..behind()?.checked_sub(1)?)?;
                Some(
                    crc32(body)
                        .to_le_bytes()
                        .iter()
                        .flat_map(|byte| format!("{byte:02x}").into_bytes())
                        .collect(),
                )
            }
            Self::GitlabRoutable => Some(digits(crc32(value.get(..value.len().checked_sub(7)?)?), BASE36, 7)),
            Self::Bech32 => None,
        }
    }

    /// The value with the end that it must have; of test values.
    #[cfg(test)]
    pub(crate) fn fitted(self, value: &[u8]) -> Vec<u8> {
        if let Some(end) = self.end(value) {
            let mut fitted = value.to_vec();
            let from = fitted.len() - end.len();
            fitted[from..].copy_from_slice(&end);
            return fitted;
        }
        // The six digits for which the whole comes to one: what it comes to with the six lowest, taken from that.
        let mut text = value.to_ascii_lowercase();
        let from = text.len() - 6;
        text[from..].fill(BECH32[0]);
        let rest = bech32(&text).unwrap() ^ 1;
        for (digit, at) in (from..text.len()).rev().enumerate() {
            text[at] = BECH32[(rest >> (5 * digit) & 31) as usize];
        }
        if value.first().is_some_and(u8::is_ascii_uppercase) { text.to_ascii_uppercase() } else { text }
    }
}

fn digits(mut number: u32, alphabet: &[u8], count: usize) -> Vec<u8> {
    let mut all = vec![*alphabet.first().unwrap_or(&b'0'); count];
    for place in all.iter_mut().rev() {
        let base = u32::try_from(alphabet.len()).unwrap_or(1);
        *place = alphabet.get((number % base) as usize).copied().unwrap_or(b'0');
        number /= base;
    }
    all
}

/// CRC-32 of ISO 3309, as zlib has it. Bit by bit: a few dozen bytes, once in a found token.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

/// What the whole comes to; 1 where it is right.
fn bech32(text: &[u8]) -> Option<u32> {
    const FACTORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let part = text.iter().rposition(|byte| *byte == b'1')?;
    let (name, data) = (text.get(..part)?, text.get(part + 1..)?);
    let digit =
        |byte: &u8| BECH32.iter().position(|digit| digit == byte).and_then(|digit| u32::try_from(digit).ok());
    let data: Vec<u32> = data.iter().map(digit).collect::<Option<_>>()?;
    let upper = name.iter().map(|byte| u32::from(byte >> 5));
    let lower = name.iter().map(|byte| u32::from(byte & 31));
    let sum = upper.chain([0]).chain(lower).chain(data).fold(1_u32, |sum, digit| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ digit;
        FACTORS
            .iter()
            .enumerate()
            .fold(next, |next, (bit, factor)| if top >> bit & 1 == 1 { next ^ factor } else { next })
    });
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_that_others_compute() {
        // The check value of the CRC's definition.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(digits(u32::MAX, BASE62, 6), b"4gfFC3");
        assert_eq!(digits(35, BASE36, 7), b"000000z");
        // From BIP 173.
        for text in ["A12UEL5L", "a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"] {
            assert!(Checksum::Bech32.fits(text.as_bytes()), "{text}");
        }
        for text in ["A12UEL5M", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxx", "nothing"] {
            assert!(!Checksum::Bech32.fits(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn one_changed_letter_does_not_fit() {
        for (sum, value) in [
            (Checksum::Crc32Base62, "abc_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000"),
            (Checksum::Crc32HexLe, "abc_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_00000000"),
            (Checksum::GitlabRoutable, "abc-aaaaaaaaaaaaaaaaaaaaaaaaaaa.01.000000000"),
            (Checksum::Bech32, "ABC-1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L000000"),
        ] {
            let fitted = sum.fitted(value.as_bytes());
            assert!(sum.fits(&fitted), "{sum:?}");
            let mut other = fitted.clone();
            other[12] = if other[12] == b'Z' { b'Y' } else { b'Z' };
            assert!(!sum.fits(&other), "{sum:?}");
        }
    }
}
