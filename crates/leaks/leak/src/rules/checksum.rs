use serde::Deserialize;

/// How the end of a token is computed from the rest: made-up or mistyped tokens do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Checksum {
    /// Six base-62 digits: the CRC-32 of the text between the last `_` and them. GitHub, npm. Source:
    /// https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
    Crc32Base62,
    /// Eight hexadecimal digits after the last `_`: the CRC-32 of everything before it, little-endian. Grafana.
    /// Source: https://github.com/grafana/grafana, pkg/components/satokengen
    Crc32HexLe,
    /// Seven base-36 digits: the CRC-32 of everything before them. GitLab's routable tokens. Source:
    /// https://handbook.gitlab.com/handbook/engineering/architecture/design-documents/cells/routable_tokens/
    GitlabRoutable,
    /// Bech32 (BIP 173). age.
    Bech32,
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

impl Checksum {
    /// Whether the checksum of a value is correct.
    pub(crate) fn fits(self, value: &[u8]) -> bool {
        match self {
            Self::Bech32 => bech32(&value.to_ascii_lowercase()) == Some(1),
            Self::Crc32Base62 | Self::Crc32HexLe | Self::GitlabRoutable => {
                self.end(value).is_some_and(|end| value.ends_with(&end))
            }
        }
    }

    /// The correct end of a value; `None` if the value has another format.
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

    /// The value with a correct end, for tests.
    #[cfg(test)]
    pub(crate) fn fitted(self, value: &[u8]) -> Vec<u8> {
        if let Some(end) = self.end(value) {
            let mut fitted = value.to_vec();
            let from = fitted.len() - end.len();
            fitted[from..].copy_from_slice(&end);
            return fitted;
        }
        // The six digits that make the polymod 1: the result with zeros, corrected.
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

/// CRC-32 of ISO 3309, as in zlib. Bit by bit: it computes a few dozen bytes of each found token.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

/// The polymod; 1 if the checksum is correct.
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
