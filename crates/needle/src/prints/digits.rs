use std::ops::Range;

use zeroize::Zeroizing;

use crate::Encoding;

/// So many digits are decoded at once, and what the longest value takes, four times.
const BLOCK_BYTES: usize = 64 * 1024;
/// What is no digit.
const NONE: u8 = u8::MAX;

/// Bytes written in digits.
pub(crate) struct Digits {
    /// What they are called, and with certain digits.
    encoding: (Encoding, Encoding, fn(&u8) -> bool),
    values: [u8; 256],
    /// The bits of one digit.
    bits: usize,
    /// So many digits make whole bytes together.
    group: usize,
}

/// Both alphabets: a run is of one of them, and a digit is the same number in both.
static BASE64: Digits = Digits {
    encoding: (Encoding::Base64, Encoding::Base64Url, |digit| matches!(digit, b'-' | b'_')),
    values: values(&[
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    ]),
    bits: 6,
    group: 4,
};
static HEX: Digits = Digits {
    encoding: (Encoding::HexLower, Encoding::HexUpper, u8::is_ascii_uppercase),
    values: values(&[b"0123456789abcdef", b"0123456789ABCDEF"]),
    bits: 4,
    group: 2,
};
static BASE32: Digits = Digits {
    encoding: (Encoding::Base32, Encoding::Base32, |_| false),
    values: values(&[b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"]),
    bits: 5,
    group: 8,
};

/// The number that each byte stands for.
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

/// Digits as they read behind others that are not there.
pub(crate) struct Decoded<'d> {
    digits: &'static Digits,
    text: &'d [u8],
    /// Where in the text the first digit stands.
    first: usize,
    /// How many digits of the first group are not there: zeros in their place.
    before: usize,
    /// What they read.
    pub(crate) bytes: &'d [u8],
}

impl Decoded<'_> {
    /// The digits that hold a bit of these bytes.
    pub(crate) fn in_text(&self, bytes: Range<usize>) -> Range<usize> {
        let digit = |bits: usize| self.first + (bits / self.digits.bits).saturating_sub(self.before);
        digit(8 * bytes.start)..digit(8 * bytes.end + self.digits.bits - 1)
    }

    /// What such digits are called.
    pub(crate) fn encoding(&self, place: Range<usize>) -> Encoding {
        let digits = self.text.get(place).unwrap_or_default();
        let (usual, other, is_other) = self.digits.encoding;
        if digits.iter().any(is_other) { other } else { usual }
    }
}

/// Decodes everything in a text that may be digits of values of these lengths, once for each place in its group that the first
/// digit may have.
pub(crate) fn each(text: &[u8], shortest: usize, longest: usize, on_decoded: &mut dyn FnMut(&Decoded<'_>)) {
    let mut out = Zeroizing::new(Vec::new());
    let mut decode = |digits: &'static Digits, run: Range<usize>| {
        let (overlap, block) =
            (digits.fewest(longest) + digits.group, BLOCK_BYTES + 4 * digits.fewest(longest));
        let mut from = run.start;
        loop {
            let to = run.end.min(from + block);
            for before in 0..digits.group {
                digits.decode(before, text.get(from..to).unwrap_or_default(), &mut out);
                on_decoded(&Decoded { digits, text, first: from, before, bytes: &out });
            }
            if to == run.end {
                return;
            }
            from = to - overlap;
        }
    };
    // Every other alphabet is a part of base64's.
    BASE64.runs(text, 0..text.len(), BASE64.fewest(shortest), &mut |run| {
        decode(&BASE64, run.clone());
        for digits in [&HEX, &BASE32] {
            digits.runs(text, run.clone(), digits.fewest(shortest), &mut |run| decode(digits, run));
        }
    });
}

impl Digits {
    /// The fewest digits that so many bytes stand in.
    fn fewest(&self, bytes: usize) -> usize {
        (8 * bytes).div_ceil(self.bits)
    }

    fn holds(&self, byte: Option<&u8>) -> bool {
        byte.is_some_and(|byte| self.values.get(usize::from(*byte)).is_some_and(|value| *value != NONE))
    }

    /// The runs of at least so many digits in a part of a text. Only one byte in as many is looked at where there are none.
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

    /// Only digits are given. The bits behind the last whole byte are left out.
    fn decode(&self, before: usize, digits: &[u8], out: &mut Zeroizing<Vec<u8>>) {
        let room = (before + digits.len()) * self.bits / 8;
        if out.capacity() < room {
            // A buffer that grows leaves copies behind.
            *out = Zeroizing::new(Vec::with_capacity(room));
        }
        out.clear();
        let (first, rest) = digits.split_at((self.group - before).min(digits.len()));
        self.decode_group(before, first, out);
        rest.chunks(self.group).for_each(|digits| self.decode_group(0, digits, out));
    }

    #[inline]
    fn decode_group(&self, before: usize, digits: &[u8], out: &mut Vec<u8>) {
        let number = digits.iter().fold(0_u64, |number, digit| {
            let value = self.values.get(usize::from(*digit)).copied().unwrap_or(0);
            number << self.bits | u64::from(value)
        });
        let bits = (before + digits.len()) * self.bits;
        let whole = (number << (u64::BITS as usize - bits)).to_be_bytes();
        out.extend_from_slice(whole.get(..bits / 8).unwrap_or_default());
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
            digits.decode(0, text.as_bytes(), &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        // RFC 4648 §10.
        assert_eq!(decoded(&BASE64, "Zm9vYmFy"), "foobar");
        assert_eq!(decoded(&BASE64, "Zm9vYmE"), "fooba");
        assert_eq!(decoded(&BASE32, "MZXW6YTBOI"), "foobar");
        assert_eq!(decoded(&HEX, "666F6f62617"), "fooba");
        let mut out = Zeroizing::new(Vec::new());
        BASE64.decode(2, b"9vYmFy", &mut out);
        assert_eq!(out.as_slice(), b"\x00\x0fobar");
    }
}
