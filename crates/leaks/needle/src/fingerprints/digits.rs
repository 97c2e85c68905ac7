use std::ops::Range;

use zeroize::Zeroizing;

use crate::Encoding;

/// Digits are decoded in blocks of this size, plus four times the longest value, bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// The number of a byte that is no digit.
const NONE: u8 = u8::MAX;

/// An encoding of bytes as digits.
pub(crate) struct Digits {
    /// Its name; another name if the text contains certain digits; and the test for those.
    encoding: (Encoding, Encoding, fn(&u8) -> bool),
    values: [u8; 256],
    /// The bits of one digit.
    bits: usize,
}

/// Both alphabets: a run of digits uses one of them, and each digit has the same number in both.
static BASE64: Digits = Digits {
    encoding: (Encoding::Base64, Encoding::Base64Url, |digit| matches!(digit, b'-' | b'_')),
    values: values(&[
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    ]),
    bits: 6,
};
static HEX: Digits = Digits {
    encoding: (Encoding::HexLower, Encoding::HexUpper, u8::is_ascii_uppercase),
    values: values(&[b"0123456789abcdef", b"0123456789ABCDEF"]),
    bits: 4,
};
static BASE32: Digits = Digits {
    encoding: (Encoding::Base32, Encoding::Base32, |_| false),
    values: values(&[b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"]),
    bits: 5,
};

/// The number of each byte as a digit.
#[expect(clippy::indexing_slicing, reason = "computed when this is compiled: a bad index fails the build")]
const fn values(alphabets: &[&[u8]]) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut alphabet = 0;
    while alphabet < alphabets.len() {
        let mut digit = 0;
        while digit < alphabets[alphabet].len() {
            values[alphabets[alphabet][digit] as usize] = digit as u8;
            digit += 1;
        }
        alphabet += 1;
    }
    values
}

/// Digits that were decoded from one bit offset.
pub(crate) struct DecodedDigits<'d> {
    digits: &'static Digits,
    text: &'d [u8],
    /// The location of the first digit in the text.
    first: usize,
    /// The bits before the first byte.
    shift: usize,
    pub(crate) bytes: &'d [u8],
}

impl DecodedDigits<'_> {
    /// The digits that have a bit of these bytes.
    pub(crate) fn in_text(&self, bytes: Range<usize>) -> Range<usize> {
        let bit = |byte: usize| self.shift + 8 * byte;
        let (first, end) = (bit(bytes.start) / self.digits.bits, bit(bytes.end).div_ceil(self.digits.bits));
        self.first + first..self.first + end
    }

    /// The digits that have only bits of these bytes: those that a value determines by itself.
    pub(crate) fn own_in_text(&self, bytes: Range<usize>) -> Range<usize> {
        let bit = |byte: usize| self.shift + 8 * byte;
        let (first, end) = (bit(bytes.start).div_ceil(self.digits.bits), bit(bytes.end) / self.digits.bits);
        self.first + first..self.first + end
    }

    /// The encoding of digits, by its alphabet.
    pub(crate) fn encoding(&self, place: Range<usize>) -> Encoding {
        let digits = self.text.get(place).unwrap_or_default();
        let (usual, other, is_other) = self.digits.encoding;
        if digits.iter().any(is_other) { other } else { usual }
    }
}

/// Decodes everything in a text that may be digits of values of these lengths, once for each bit offset of a byte.
pub(crate) fn each(
    text: &[u8],
    shortest: usize,
    longest: usize,
    on_decoded: &mut dyn FnMut(&DecodedDigits<'_>),
) {
    let (mut whole, mut shifted) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
    let mut decode = |digits: &'static Digits, run: Range<usize>| {
        let overlap = digits.fewest(longest) + 1;
        let mut from = run.start;
        loop {
            let to = run.end.min(from + BLOCK_BYTES + 4 * overlap);
            digits.decode(text.get(from..to).unwrap_or_default(), &mut whole);
            // The bit offset repeats after so many bits.
            for shift in (0..8).step_by(1 << digits.bits.trailing_zeros()) {
                shift_left(&whole, shift, &mut shifted);
                let bytes = shifted.get(..((to - from) * digits.bits - shift) / 8).unwrap_or_default();
                on_decoded(&DecodedDigits { digits, text, first: from, shift, bytes });
            }
            if to == run.end {
                return;
            }
            from = to - overlap;
        }
    };
    // Base64 contains every other alphabet.
    BASE64.runs(text, 0..text.len(), BASE64.fewest(shortest), &mut |run| {
        decode(&BASE64, run.clone());
        for digits in [&HEX, &BASE32] {
            digits.runs(text, run.clone(), digits.fewest(shortest), &mut |run| decode(digits, run));
        }
    });
}

/// Shifts bytes left by fewer than 8 bits, filling with zeros.
fn shift_left(bytes: &[u8], by: usize, out: &mut Zeroizing<Vec<u8>>) {
    reserve(bytes.len(), out);
    let pair = |(byte, next): (&u8, &u8)| (u16::from(*byte) << 8 | u16::from(*next)) >> (8 - by);
    let behind = bytes.get(1..).unwrap_or_default();
    out.extend(bytes.iter().zip(behind).map(pair).map(|pair| pair as u8));
    out.extend(bytes.last().map(|last| last << by));
}

/// Empties a buffer and allocates at once: a buffer that grows leaves copies behind.
fn reserve(room: usize, out: &mut Zeroizing<Vec<u8>>) {
    if out.capacity() < room {
        *out = Zeroizing::new(Vec::with_capacity(room));
    }
    out.clear();
}

impl Digits {
    /// The fewest digits that contain so many bytes.
    fn fewest(&self, bytes: usize) -> usize {
        (8 * bytes).div_ceil(self.bits)
    }

    fn holds(&self, byte: Option<&u8>) -> bool {
        byte.is_some_and(|byte| self.values.get(usize::from(*byte)).is_some_and(|value| *value != NONE))
    }

    /// Finds the runs of at least `fewest` digits in a part of a text. Tests only one byte in `fewest` of other text.
    fn runs(&self, text: &[u8], within: Range<usize>, fewest: usize, on_run: &mut dyn FnMut(Range<usize>)) {
        let text = text.get(..within.end).unwrap_or_default();
        let mut seen = within.start;
        let mut at = within.start + fewest - 1;
        while at < text.len() {
            if !self.holds(text.get(at)) {
                seen = at + 1;
                at += fewest;
                continue;
            }
            let before = text.get(seen..at).unwrap_or_default();
            let before = before.iter().rev().take_while(|byte| self.holds(Some(byte))).count();
            let behind = text.get(at..).unwrap_or_default();
            let end = at + behind.iter().take_while(|byte| self.holds(Some(byte))).count();
            if end - (at - before) >= fewest {
                on_run(at - before..end);
            }
            seen = end;
            at = end + fewest;
        }
    }

    /// Decodes digits. The last byte is filled with zeros.
    fn decode(&self, digits: &[u8], out: &mut Zeroizing<Vec<u8>>) {
        match self.bits {
            6 => self.decode_groups::<4, 3>(digits, out),
            4 => self.decode_groups::<2, 1>(digits, out),
            _ => self.decode_groups::<8, 5>(digits, out),
        }
    }

    /// Decodes groups of digits that make whole bytes.
    fn decode_groups<const DIGITS: usize, const BYTES: usize>(
        &self,
        digits: &[u8],
        out: &mut Zeroizing<Vec<u8>>,
    ) {
        reserve(digits.len().div_ceil(DIGITS) * BYTES, out);
        let (groups, rest) = digits.as_chunks::<DIGITS>();
        let number = |digits: &[u8]| {
            digits.iter().fold(0_u64, |number, digit| {
                let value = self.values.get(usize::from(*digit)).copied().unwrap_or(0);
                number << self.bits | u64::from(value)
            })
        };
        for group in groups {
            let bytes = number(group).to_be_bytes();
            out.extend_from_slice(bytes.last_chunk::<BYTES>().map_or(&[], |bytes| bytes));
        }
        let bits = rest.len() * self.bits;
        let bytes = (number(rest) << (DIGITS * self.bits - bits)).to_be_bytes();
        out.extend_from_slice(
            bytes.last_chunk::<BYTES>().and_then(|bytes| bytes.get(..bits.div_ceil(8))).unwrap_or_default(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_whole_and_once() {
        for text in
            ["", "ab", "abc", "-ab-abc-", "abcdef", "--abcd--abc", "a-b-c-abcabcabcabc-ab", "-----abc"]
        {
            let digits = Digits { values: values(&[b"abcdef"]), ..HEX };
            let mut found = Vec::new();
            digits.runs(text.as_bytes(), 0..text.len(), 3, &mut |run| found.push(run));
            let mut expected = Vec::new();
            let mut at = 0;
            for run in text.split('-') {
                if run.len() >= 3 {
                    expected.push(at..at + run.len());
                }
                at += run.len() + 1;
            }
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn digits_read_as_their_bytes() {
        let decoded = |digits: &Digits, text: &str| {
            let mut out = Zeroizing::new(Vec::new());
            digits.decode(text.as_bytes(), &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        // RFC 4648 §10.
        assert_eq!(decoded(&BASE64, "Zm9vYmFy"), "foobar");
        assert_eq!(decoded(&BASE64, "Zm9vYmE"), "fooba\0");
        assert_eq!(decoded(&BASE32, "MZXW6YTBOI"), "foobar\0");
        assert_eq!(decoded(&HEX, "666F6f62617"), "foobap");
        let mut out = Zeroizing::new(Vec::new());
        shift_left(b"\x12\x34\x56", 4, &mut out);
        assert_eq!(out.as_slice(), b"\x23\x45\x60");
    }
}
