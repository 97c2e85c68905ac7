use std::ops::Range;

/// The bytes of a piece.
const PIECE_BYTES: usize = 3;

/// A piece is hashed to so many bits: 32 KiB of them stay in the first cache.
const BITS_LOG2: u32 = 18;

/// A word that a search begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) word: Vec<u8>,
    /// The caller's number for it.
    pub(crate) number: u32,
    /// Capitals are as good as small letters.
    pub(crate) any_case: bool,
}

/// Finds many short words in a text at once.
///
/// Of each word the piece of three bytes that is rarest in texts is kept as one bit. A text is gone over piece by piece, each
/// loaded by itself, so that no load waits for another's answer as an automaton's do; few pieces pass, and they are compared.
pub(crate) struct Anchors {
    bits: Vec<u64>,
    /// The words by the hash of their piece, each with the place of the piece in it.
    entries: Vec<(u32, u32, Anchor)>,
    /// Where the entries of a hash begin.
    directory: Vec<u32>,
}

impl Anchors {
    /// Words of fewer than three bytes get a bit for every byte that may stand behind them.
    pub(crate) fn new(words: Vec<Anchor>) -> Self {
        let mut entries = Vec::with_capacity(words.len());
        for anchor in words {
            let mut hashes: Vec<u32> = Vec::new();
            let offset = match rarest(&anchor.word) {
                Some((offset, piece)) if anchor.any_case => {
                    hashes.extend(cases(piece).map(hash));
                    offset
                }
                Some((offset, piece)) => {
                    hashes.push(hash(piece));
                    offset
                }
                None => {
                    let &[first, second] = anchor.word.as_slice() else { continue };
                    hashes.extend((0..=u8::MAX).map(|third| hash([first, second, third])));
                    0
                }
            };
            hashes.sort_unstable();
            hashes.dedup();
            entries.extend(hashes.into_iter().map(|hash| (hash, offset, anchor.clone())));
        }
        entries.sort_by_key(|(hash, ..)| *hash);
        let mut bits = vec![0_u64; 1 << (BITS_LOG2 - u64::BITS.ilog2())];
        let mut directory = vec![0; (1 << BITS_LOG2) + 1];
        for (hash, ..) in &entries {
            if let Some(word) = bits.get_mut((hash / u64::BITS) as usize) {
                *word |= 1 << (hash % u64::BITS);
            }
            if let Some(behind) = directory.get_mut(*hash as usize + 1) {
                *behind += 1;
            }
        }
        let mut before = 0;
        for place in &mut directory {
            before += *place;
            *place = before;
        }
        Self { bits, entries, directory }
    }

    /// Every place of every word, in the order of the text but for the words that end in a piece.
    pub(crate) fn find(&self, text: &[u8], found: &mut dyn FnMut(u32, Range<usize>)) {
        let mut at = 0;
        // Eight bytes are loaded for six pieces.
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let block = u64::from_le_bytes(*block);
            let mut passed = 0_u32;
            for piece in 0..6 {
                passed |= u32::from(self.passes(mixed((block >> (8 * piece)) as u32))) << piece;
            }
            while passed != 0 {
                let piece = passed.trailing_zeros();
                self.compare(text, at + piece as usize, mixed((block >> (8 * piece)) as u32), found);
                passed &= passed - 1;
            }
            at += 6;
        }
        while let Some(piece) = text.get(at..).and_then(|rest| rest.first_chunk::<PIECE_BYTES>()) {
            let hash = hash(*piece);
            if self.passes(hash) {
                self.compare(text, at, hash, found);
            }
            at += 1;
        }
        // A word of two bytes at the very end has nothing behind it.
        if let Some(&[first, second]) = text.len().checked_sub(2).and_then(|last| text.get(last..)) {
            self.compare(text, text.len() - 2, hash([first, second, 0]), found);
        }
    }

    #[inline]
    fn passes(&self, hash: u32) -> bool {
        self.bits.get((hash / u64::BITS) as usize).is_some_and(|word| word >> (hash % u64::BITS) & 1 != 0)
    }

    #[inline(never)]
    fn compare(&self, text: &[u8], at: usize, hash: u32, found: &mut dyn FnMut(u32, Range<usize>)) {
        let Some(&[from, to]) = self.directory.get(hash as usize..hash as usize + 2) else { return };
        for (_, offset, anchor) in self.entries.get(from as usize..to as usize).unwrap_or_default() {
            let Some(start) = at.checked_sub(*offset as usize) else { continue };
            let span = start..start + anchor.word.len();
            let there = text.get(span.clone()).is_some_and(|there| match anchor.any_case {
                true => there.eq_ignore_ascii_case(&anchor.word),
                false => there == anchor.word,
            });
            if there {
                found(anchor.number, span);
            }
        }
    }
}

/// The piece of a word that is rarest in texts, and where it stands; none in one that is shorter than a piece.
fn rarest(word: &[u8]) -> Option<(u32, [u8; PIECE_BYTES])> {
    let pieces = (0..).map_while(|at: usize| Some((at, *word.get(at..)?.first_chunk()?)));
    let common = |piece: &[u8; PIECE_BYTES]| piece.iter().copied().map(frequency).sum::<u32>();
    let (at, piece) = pieces.min_by_key(|(_, piece)| common(piece))?;
    Some((u32::try_from(at).ok()?, piece))
}

/// A piece in small letters, with each of them small and capital.
fn cases(piece: [u8; PIECE_BYTES]) -> impl Iterator<Item = [u8; PIECE_BYTES]> {
    (0..1_u8 << PIECE_BYTES).map(move |capitals| {
        let mut cased = piece;
        for (at, byte) in cased.iter_mut().enumerate() {
            *byte =
                if capitals >> at & 1 == 1 { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        }
        cased
    })
}

fn hash([a, b, c]: [u8; PIECE_BYTES]) -> u32 {
    mixed(u32::from_le_bytes([a, b, c, 0]))
}

/// Of the lower three bytes. Fibonacci hashing: the upper bits are the good ones.
#[inline]
fn mixed(piece: u32) -> u32 {
    (piece << 8).wrapping_mul(0x9E37_79B1) >> (u32::BITS - BITS_LOG2)
}

/// How often a byte stands in source and settings, roughly: letters of English most, then what parts words.
fn frequency(byte: u8) -> u32 {
    match byte {
        b' ' | b'e' => 24,
        b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 16,
        b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'_' | b'.' | b'"' | b'-' | b'=' => 10,
        b'f' | b'g' | b'h' | b'b' | b'y' | b'v' | b'w' | b'/' | b'0' | b'1' | b':' => 6,
        b'k' | b'x' | b'2'..=b'9' | b'A'..=b'Z' => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_word_is_found_at_each_of_its_places(
            words in prop::collection::vec(("[abAB_]{2,6}", any::<bool>()), 1..6),
            text in "[abAB_ ]{0,60}",
        ) {
            let anchors = words.iter().zip(0..).map(|((word, any_case), number)| {
                Anchor { word: word.clone().into_bytes(), number, any_case: *any_case && word.len() > 2 }
            });
            let mut found = Vec::new();
            Anchors::new(anchors.collect()).find(text.as_bytes(), &mut |number, span| found.push((number, span.start)));
            found.sort_unstable();
            found.dedup();
            let mut wanted = Vec::new();
            for ((word, any_case), number) in words.iter().zip(0..) {
                for at in 0..text.len() {
                    let there = text[at..].get(..word.len());
                    let same = |there: &str| if *any_case && word.len() > 2 { there.eq_ignore_ascii_case(word) } else { there == word };
                    wanted.extend(there.filter(|there| same(there)).map(|_| (number, at)));
                }
            }
            wanted.sort_unstable();
            prop_assert_eq!(found, wanted);
        }
    }
}
