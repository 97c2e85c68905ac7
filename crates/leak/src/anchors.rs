use std::ops::Range;

/// The bytes of a piece of a long word, and of a short one.
const LONG_BYTES: usize = 4;
const SHORT_BYTES: usize = 3;

/// Pieces are hashed to so many bits: 32 KiB of them for the long ones, and 16 KiB for those of the few short words, of which
/// some stand for two bytes and any third one.
const LONG_BITS_LOG2: u32 = 18;
const SHORT_BITS_LOG2: u32 = 17;

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
/// Of each word the piece of four bytes that is rarest in texts is kept as one bit. A text is gone over piece by piece, each
/// loaded by itself, so that no load waits for another's answer as an automaton's do; few pieces pass, and they are compared.
pub(crate) struct Anchors {
    /// The words, each with the place of its piece.
    words: Vec<(Anchor, u32)>,
    long: Pieces,
    short: Pieces,
}

/// Pieces of one length.
struct Pieces {
    bits: Vec<u64>,
    bits_log2: u32,
    /// Their hashes, each with the number of a word; in order.
    entries: Vec<(u32, u32)>,
    /// Where the entries of a hash begin.
    directory: Vec<u32>,
}

impl Anchors {
    /// Words of two bytes get a bit for every byte that may stand behind them.
    pub(crate) fn new(words: Vec<Anchor>) -> Self {
        let (mut long, mut short) = (Vec::with_capacity(16 * words.len()), Vec::new());
        let mut placed = Vec::with_capacity(words.len());
        for (number, anchor) in (0..).zip(words) {
            let mut offset = 0;
            if let Some((at, piece)) = rarest::<LONG_BYTES>(&anchor.word) {
                offset = at;
                long.push((hash_long(piece), number));
            } else if let Some((at, piece)) = rarest::<SHORT_BYTES>(&anchor.word) {
                offset = at;
                short.extend(cases(piece, anchor.any_case).map(|piece| (hash_short(piece), number)));
            } else if let &[first, second] = anchor.word.as_slice() {
                short.extend((0..=u8::MAX).map(|third| (hash_short([first, second, third]), number)));
            }
            placed.push((anchor, offset));
        }
        let (long, short) = (Pieces::new(long, LONG_BITS_LOG2), Pieces::new(short, SHORT_BITS_LOG2));
        Self { words: placed, long, short }
    }

    /// Every place of every word, in the order of the text but for what stands before a word's piece.
    pub(crate) fn find(&self, text: &[u8], found: &mut dyn FnMut(u32, Range<usize>)) {
        let mut at = 0;
        // Eight bytes are loaded for five pieces.
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let block = u64::from_le_bytes(*block);
            let piece = |number: u32| (block >> (8 * number)) as u32;
            let mut passed = 0_u32;
            for number in 0..5 {
                let long = self.long.passes(mixed_long(piece(number)));
                let short = self.short.passes(mixed_short(piece(number)));
                passed |= u32::from(long | short) << number;
            }
            while passed != 0 {
                let number = passed.trailing_zeros();
                let place = at + number as usize;
                for (of, hash) in
                    [(&self.long, mixed_long(piece(number))), (&self.short, mixed_short(piece(number)))]
                {
                    if of.passes(hash) {
                        self.compare(of, text, place, hash, found);
                    }
                }
                passed &= passed - 1;
            }
            at += 5;
        }
        for at in at..text.len() {
            let rest = text.get(at..).unwrap_or_default();
            if let Some(piece) = rest.first_chunk() {
                self.compare(&self.long, text, at, hash_long(*piece), found);
            }
            match rest {
                [a, b, c, ..] => self.compare(&self.short, text, at, hash_short([*a, *b, *c]), found),
                // A word of two bytes at the very end has nothing behind it.
                [a, b] => self.compare(&self.short, text, at, hash_short([*a, *b, 0]), found),
                _ => {}
            }
        }
    }

    #[inline(never)]
    fn compare(
        &self,
        of: &Pieces,
        text: &[u8],
        at: usize,
        hash: u32,
        found: &mut dyn FnMut(u32, Range<usize>),
    ) {
        for (_, number) in of.with(hash) {
            let Some((anchor, offset)) = self.words.get(*number as usize) else { continue };
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

impl Pieces {
    fn new(mut entries: Vec<(u32, u32)>, bits_log2: u32) -> Self {
        // Digits have no capitals, and other pieces may share a hash.
        entries.sort_unstable();
        entries.dedup();
        let mut bits = vec![0_u64; 1 << (bits_log2 - u64::BITS.ilog2())];
        let mut directory = vec![0; (1 << bits_log2) + 1];
        for (hash, _) in &entries {
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
        Self { bits, bits_log2, entries, directory }
    }

    #[inline]
    fn passes(&self, hash: u32) -> bool {
        debug_assert!(hash >> self.bits_log2 == 0);
        self.bits.get((hash / u64::BITS) as usize).is_some_and(|word| word >> (hash % u64::BITS) & 1 != 0)
    }

    #[inline]
    fn with(&self, hash: u32) -> &[(u32, u32)] {
        match self.directory.get(hash as usize..hash as usize + 2) {
            Some(&[from, to]) => self.entries.get(from as usize..to as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// The piece of a word that is rarest in texts, and where it stands; none in one that is shorter than a piece.
fn rarest<const BYTES: usize>(word: &[u8]) -> Option<(u32, [u8; BYTES])> {
    let pieces = (0..).map_while(|at: usize| Some((at, *word.get(at..)?.first_chunk()?)));
    let common = |piece: &[u8; BYTES]| piece.iter().copied().map(frequency).sum::<u32>();
    let (at, piece) = pieces.min_by_key(|(_, piece)| common(piece))?;
    Some((u32::try_from(at).ok()?, piece))
}

/// A piece, and where capitals are as good with each of its letters small and capital.
fn cases<const BYTES: usize>(piece: [u8; BYTES], any: bool) -> impl Iterator<Item = [u8; BYTES]> {
    let all = if any { 1_u8 << BYTES } else { 1 };
    (0..all).map(move |capitals| {
        let mut cased = piece;
        for (at, byte) in cased.iter_mut().enumerate().filter(|_| any) {
            *byte =
                if capitals >> at & 1 == 1 { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        }
        cased
    })
}

fn hash_long(piece: [u8; LONG_BYTES]) -> u32 {
    mixed_long(u32::from_le_bytes(piece))
}

fn hash_short([a, b, c]: [u8; SHORT_BYTES]) -> u32 {
    mixed_short(u32::from_le_bytes([a, b, c, 0]))
}

/// Small and capital letters alike: so many bytes are rare enough. Fibonacci hashing: the upper bits are the good ones.
#[inline]
fn mixed_long(piece: u32) -> u32 {
    (piece | 0x2020_2020).wrapping_mul(0x9E37_79B1) >> (u32::BITS - LONG_BITS_LOG2)
}

/// Of the lower three bytes.
#[inline]
fn mixed_short(piece: u32) -> u32 {
    (piece << 8).wrapping_mul(0x9E37_79B1) >> (u32::BITS - SHORT_BITS_LOG2)
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
