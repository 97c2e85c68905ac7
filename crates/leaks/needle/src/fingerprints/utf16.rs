use crate::Encoding;
use crate::fingerprints::decoded_text::DecodedText;

/// A run of ASCII text in UTF-16, decoded.
pub(crate) struct Utf16Run {
    /// The decoded text, with the location of each non-zero byte.
    pub(crate) view: DecodedText,
    /// The byte order; little-endian if both are possible.
    pub(crate) encoding: Encoding,
}

impl Utf16Run {
    /// The range in the text of the characters whose non-zero bytes are at `first` to `last`.
    pub(crate) fn place(&self, first: usize, last: usize) -> (usize, usize) {
        if self.encoding == Encoding::Utf16Be {
            (first.saturating_sub(1), last + 1)
        } else {
            (first, last + 2)
        }
    }
}

/// Finds every run of at least `fewest` characters. Tests only one pair of bytes in `fewest` of other text.
pub(crate) fn each(text: &[u8], fewest: usize, on_run: &mut dyn FnMut(&Utf16Run)) {
    // Of three consecutive characters one has a zero byte on both sides.
    let stride = 2 * fewest.saturating_sub(2).max(1);
    let (mut seen, mut at) = (0, 0);
    while let Some([first, second]) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let letter = match (*first, *second) {
            (1..=0x7f, 0) => at,
            (0, 1..=0x7f) => at + 1,
            _ => {
                at += stride;
                continue;
            }
        };
        let (from, to) = (before(text, letter, seen), behind(text, letter));
        seen = to;
        at = at.max(to) + stride;
        if (to - from).div_ceil(2) >= fewest {
            on_run(&wide(text, from, to));
        }
    }
}

/// The first character of a run, not before `seen`.
fn before(text: &[u8], letter: usize, seen: usize) -> usize {
    let pair = |at: usize| at.checked_sub(2).filter(|at| *at >= seen).and_then(|at| text.get(at..at + 2));
    let mut at = letter;
    while let Some([1..=0x7f, 0]) = pair(at) {
        at -= 2;
    }
    at
}

/// The end of a run.
fn behind(text: &[u8], letter: usize) -> usize {
    let mut at = letter + 1;
    while let Some([0, 1..=0x7f]) = text.get(at..at + 2) {
        at += 2;
    }
    at
}

fn wide(text: &[u8], from: usize, to: usize) -> Utf16Run {
    // In little-endian order a zero byte follows the last character too.
    let high_first = text.get(to) != Some(&0);
    let mut view = DecodedText::with_room_for((to - from).div_ceil(2));
    for at in (from..to).step_by(2) {
        view.push(text.get(at).copied().unwrap_or(0), at);
    }
    view.end(to);
    Utf16Run { view, encoding: if high_first { Encoding::Utf16Be } else { Encoding::Utf16Le } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_found_at_every_place() {
        for before in 0..40 {
            for letters in 3..30 {
                for order in [u16::to_le_bytes, u16::to_be_bytes] {
                    let word: String = ('a'..='z').cycle().take(letters).collect();
                    let mut text = vec![b'.'; before];
                    text.extend(word.encode_utf16().flat_map(order));
                    text.extend([b'.'; 9]);
                    let mut found = Vec::new();
                    each(&text, 8, &mut |run| found.push(run.view.bytes.to_vec()));
                    let expected = if letters >= 8 { vec![word.into_bytes()] } else { Vec::new() };
                    // A dot next to the first or last zero byte may be read as part of the run.
                    let inside = |found: &Vec<u8>| {
                        expected.iter().any(|word| found.windows(word.len()).any(|part| part == *word))
                    };
                    assert!(
                        found.len() <= 1 && (letters < 8 || found.iter().any(inside)),
                        "{before} {letters}"
                    );
                }
            }
        }
    }
}
