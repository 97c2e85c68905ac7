use std::ops::Range;

use crate::encoded_forms::decoded_text::{DecodedText, ENCODED_BYTES_MAX};
use crate::encoded_forms::escapes::pair;

/// The shortest run of digits that is decoded: 18 bytes, of the shortest credentials with a format.
const RUN_BYTES_MIN: usize = 24;

/// A run of that length contains an aligned step of these bytes, at this distance from the one before; and the same
/// number of bytes before or after it.
const STEP: usize = 8;
const DISTANCE: usize = 16;
const _: () = assert!(RUN_BYTES_MIN >= STEP + DISTANCE);

/// How many first bytes must be text before the others are decoded: random ones are in one of 6,000 cases.
const FIRST_BYTES: usize = 9;

/// The shortest decoded text, bytes.
const TEXT_BYTES_MIN: usize = 16;

/// The shortest line of base64 that goes on in the next one, bytes. OpenSSL and PEM wrap after 64, coreutils and MIME
/// after 76.
const LINE_BYTES_MIN: usize = 60;

/// The number of a byte that is no digit.
const NONE: u8 = u8::MAX;

/// The digits of base64 in both alphabets (RFC 4648, sections 4 and 5).
static DIGITS: [u8; 256] = numbers(&[
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
]);

/// The number of each byte as a digit.
#[expect(clippy::indexing_slicing, reason = "computed when this is compiled: a bad index fails the build")]
const fn numbers(alphabets: &[&[u8]]) -> [u8; 256] {
    let mut numbers = [NONE; 256];
    let mut alphabet = 0;
    while alphabet < alphabets.len() {
        let mut digit = 0;
        while digit < alphabets[alphabet].len() {
            numbers[alphabets[alphabet][digit] as usize] = digit as u8;
            digit += 1;
        }
        alphabet += 1;
    }
    numbers
}

fn digit(byte: u8) -> Option<u8> {
    DIGITS.get(usize::from(byte)).copied().filter(|number| *number != NONE)
}

/// Decodes every text in base64 or hex. A program's names and hashes are recognised by their first bytes, which are
/// no text.
pub(crate) fn each_digits(text: &[u8], take: &mut dyn FnMut(&DecodedText)) {
    let mut at = 0;
    let mut done = 0;
    while let Some(step) = text.get(at..).and_then(|rest| rest.first_chunk::<STEP>()) {
        // Most words that a step hits are shorter than two of them.
        let near =
            |at: usize| text.get(at..).and_then(|rest| rest.first_chunk::<STEP>()).is_some_and(are_digits);
        if !are_digits(step) || !near(at + STEP) && !at.checked_sub(STEP).is_some_and(near) {
            at += DISTANCE;
            continue;
        }
        let (before, behind) = text.split_at_checked(at).unwrap_or_default();
        let early = before.get(done..).unwrap_or_default();
        let early = early.iter().rev().take_while(|byte| digit(**byte).is_some()).count();
        let late = leading_digits(behind);
        let run = at - early..at + late;
        done = run.end;
        if (RUN_BYTES_MIN..=ENCODED_BYTES_MAX).contains(&run.len())
            && let Some((plain, end)) = decoded(text, run)
        {
            done = end;
            take(&plain);
        }
        at = done;
    }
}

/// How many digits are at the beginning of a text. Pictures have many thousands.
fn leading_digits(text: &[u8]) -> usize {
    let (steps, _) = text.as_chunks::<STEP>();
    let whole = STEP * steps.iter().take_while(|step| are_digits(step)).count();
    let rest = text.get(whole..).unwrap_or_default();
    whole + rest.iter().take_while(|byte| digit(**byte).is_some()).count()
}

fn are_digits(step: &[u8; STEP]) -> bool {
    may_be_digits(u64::from_le_bytes(*step)) && step.iter().all(|byte| digit(*byte).is_some())
}

/// Whether eight bytes may be digits: all between `+` and `z`. Most steps of a text are not.
fn may_be_digits(step: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let low = step.wrapping_sub(ONES * b'+' as u64) & !step & HIGH;
    let high = (step.wrapping_add(ONES * (0x7f - b'z' as u64)) | step) & HIGH;
    low | high == 0
}

/// The text of a run of digits, and where its digits end.
fn decoded(text: &[u8], run: Range<usize>) -> Option<(DecodedText, usize)> {
    let digits = text.get(run.clone())?;
    if digits.iter().take(2 * FIRST_BYTES).all(u8::is_ascii_hexdigit) || digits.starts_with(b"0x") {
        return of_hex(text, run);
    }
    // Something may stand directly before the first digit, such as a folder.
    let offset = (0..4).find(|offset| begins_text(digits.get(*offset..).unwrap_or_default()))?;
    let places = places(text, run.start + offset..run.end);
    let mut plain = DecodedText::new("base64", places.len());
    for four in places.chunks(4) {
        let number = |at: usize| four.get(at).and_then(|at| digit(*text.get(*at)?)).unwrap_or_default();
        let bits = (0..4).fold(0_u32, |bits, at| bits << 6 | u32::from(number(at)));
        for byte in 0..four.len().saturating_sub(1) {
            let (Some(first), Some(last)) = (four.get(byte), four.get(byte + 1)) else { break };
            plain.push((bits >> (16 - 8 * byte)) as u8, *first..*last + 1);
        }
    }
    let end = places.last().map_or(run.end, |last| last + 1);
    let padding =
        text.get(end..).unwrap_or_default().iter().take(2).take_while(|byte| **byte == b'=').count();
    plain.end_at(end + padding);
    is_text(&plain).then_some((plain, end))
}

/// Whether the first digits are the beginning of a text in base64.
fn begins_text(digits: &[u8]) -> bool {
    // The first bit of a byte of ASCII is not set.
    if digits.first().and_then(|first| digit(*first)).is_none_or(|first| first >= 32) {
        return false;
    }
    let mut rest = digits.iter().map(|byte| digit(*byte).unwrap_or_default());
    (0..FIRST_BYTES / 3).all(|_| {
        let bits = (0..4).fold(0_u32, |bits, _| bits << 6 | u32::from(rest.next().unwrap_or_default()));
        [16, 8, 0].iter().all(|shift| is_written((bits >> shift) as u8))
    })
}

fn is_written(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')
}

/// Whether decoded bytes are a text, in UTF-8 or an older encoding.
fn is_text(plain: &DecodedText) -> bool {
    plain.bytes.len() >= TEXT_BYTES_MIN && plain.bytes.iter().all(|byte| is_written(*byte) || *byte >= 0x80)
}

/// The positions of all digits: of the run, and of the lines after it, if the text is wrapped.
fn places(text: &[u8], run: Range<usize>) -> Vec<usize> {
    let mut all: Vec<usize> = run.clone().collect();
    let (mut length, mut end) = (run.len(), run.end);
    while length >= LINE_BYTES_MIN && length.is_multiple_of(4) && all.len() < ENCODED_BYTES_MAX {
        let rest = text.get(end..).unwrap_or_default();
        let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        let Some(rest) = rest.strip_prefix(b"\n") else { break };
        let lead = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let start = text.len() - rest.len() + lead;
        let line = text.get(start..).unwrap_or_default();
        let next = line.iter().take_while(|byte| digit(**byte).is_some()).count();
        let ends = matches!(line.get(next), None | Some(b'\n' | b'\r' | b'=' | b'"' | b'\''));
        if next == 0 || next > length || !ends {
            break;
        }
        all.extend(start..start + next);
        (length, end) = (next, start + next);
    }
    all
}

/// The text of a run of hexadecimal digits, perhaps after `0x`.
fn of_hex(text: &[u8], run: Range<usize>) -> Option<(DecodedText, usize)> {
    let digits = text.get(run.clone())?;
    let start = run.start + if digits.starts_with(b"0x") { 2 } else { 0 };
    let digits = text.get(start..run.end)?;
    let length = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let byte = |two: &[u8]| match two {
        [high, low] => pair(*high, *low).filter(|byte| is_written(*byte)),
        _ => None,
    };
    let pairs = digits.get(..length)?.chunks_exact(2);
    // Most are hashes and other numbers, and need no room.
    if !pairs.clone().take(FIRST_BYTES).all(|pair| byte(pair).is_some()) {
        return None;
    }
    let mut plain = DecodedText::new("hex", length / 2);
    for (at, pair) in pairs.enumerate() {
        plain.push(byte(pair)?, start + 2 * at..start + 2 * at + 2);
    }
    is_text(&plain).then_some((plain, start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_digits_is_told_from_others() {
        for digits in [b"abcdefgh", b"ABCDxyz0", b"0189+/AZ", b"a-b_c-d_"] {
            assert!(may_be_digits(u64::from_le_bytes(*digits)), "{digits:?}");
        }
        for other in [b"abc efgh", b"abcdefg\n", b"\x80bcdefgh", b"abcd{efg", b"(bcdefgh", b"abcdefg\xff"] {
            assert!(!may_be_digits(u64::from_le_bytes(*other)), "{other:?}");
        }
    }

    #[test]
    fn a_run_is_found_wherever_it_begins() {
        // "The quick brown f", in base64.
        let run = "VGhlIHF1aWNrIGJyb3duIGZv";
        for before in 0..40 {
            for behind in ["", " ", "\n", "==", "=\n more text of a line"] {
                let text = format!("{}{run}{behind}", " ".repeat(before));
                let mut found = Vec::new();
                each_digits(text.as_bytes(), &mut |plain| {
                    found.push((plain.bytes.to_vec(), plain.in_text(&(0..3))));
                });
                let all = [(b"The quick brown fo".to_vec(), Some(before..before + 4))];
                assert_eq!(found, all, "{text:?}");
            }
        }
    }
}
