use std::ops::Range;

use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

/// The length of a piece of a word, bytes.
const PIECE_BYTES: usize = 4;

/// The hash of a piece's first three bytes selects one of these slots of one byte: 32 KiB. The last byte selects the
/// bit, so that a short word needs one slot, whatever follows it.
const PLACES_LOG2: u32 = 15;
const PLACES: usize = 1 << PLACES_LOG2;

/// Pieces with the same upper bits of their hash form a group.
const GROUPS_LOG2: u32 = 13;

/// The first bytes of a match of an expression, for a word of two bytes.
pub(crate) type MatchStart = [u8; PIECE_BYTES - 1];

/// The most such starts of one expression.
const STARTS_MAX: usize = 1_000;

/// Folds ASCII case in a piece: rare enough with four bytes.
const SMALL: u32 = 0x2020_2020;

/// The bytes that one step tests, one piece at each.
const STEP: usize = 8;

/// A word where a search begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) word: Vec<u8>,
    /// The caller's number.
    pub(crate) number: u32,
    /// Case-insensitive.
    pub(crate) any_case: bool,
    /// For a word of two bytes: the possible starts of a match. Empty if unknown.
    pub(crate) starts: Vec<MatchStart>,
}

/// Finds many short words in a text at once.
///
/// Keeps one bit for the rarest piece of four bytes of each word. Tests the text piece by piece with independent
/// loads, not with dependent ones as an automaton does; the few pieces that pass are compared.
pub(crate) struct Anchors {
    words: Vec<AnchorWord>,
    places: Box<[u8; PLACES]>,
    /// By group.
    entries: Vec<AnchorPiece>,
    /// The start of each group in `entries`.
    groups: Vec<u32>,
    /// Words shorter than a piece, by first letter, for the end of a text.
    short: Vec<(u8, u32)>,
}

/// A piece of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AnchorPiece {
    /// In lower case.
    piece: u32,
    /// The significant bits: without the last byte for a short word.
    counts: u32,
    /// The word's number.
    number: u32,
}

/// A word, compact so that most comparisons need one load.
struct AnchorWord {
    anchor: Anchor,
    /// The offset of its piece.
    offset: u32,
    /// Its first eight bytes, the significant bits of these, and the bits that fold case.
    first: u64,
    counts: u64,
    small: u64,
}

impl Anchors {
    pub(crate) fn new(anchors: Vec<Anchor>) -> Self {
        let mut entries = Vec::with_capacity(4 * anchors.len());
        let (mut words, mut short) = (Vec::with_capacity(anchors.len()), Vec::new());
        for (number, anchor) in (0..).zip(anchors) {
            let mut offset = 0;
            if let Some((at, piece)) = rarest(&anchor.word) {
                offset = at;
                entries.push(AnchorPiece { piece: small(piece), counts: u32::MAX, number });
            } else {
                let counts = u32::MAX >> u8::BITS;
                entries.extend(starts_of(&anchor).map(|[first, second, third]| AnchorPiece {
                    piece: small([first, second, third, 0]) & counts,
                    counts,
                    number,
                }));
                short.extend(anchor.word.first().map(|first| (first.to_ascii_lowercase(), number)));
            }
            words.push(AnchorWord::new(anchor, offset));
        }
        short.sort_unstable();
        entries.sort_unstable_by_key(|entry| (group(entry.piece), entry.piece, entry.number));
        // Two may differ only in case.
        entries.dedup();
        let mut places = Box::new([0; PLACES]);
        let mut groups = vec![0; (1 << GROUPS_LOG2) + 1];
        for entry in &entries {
            if let Some(place) = places.get_mut(place(entry.piece) as usize) {
                *place |= if entry.counts == u32::MAX { 1 << bit(entry.piece) } else { u8::MAX };
            }
            if let Some(behind) = groups.get_mut(group(entry.piece) + 1) {
                *behind += 1;
            }
        }
        let mut before = 0;
        for place in &mut groups {
            before += *place;
            *place = before;
        }
        Self { words, places, entries, groups, short }
    }

    /// Reports every occurrence of every word, ordered by their pieces. A short word with known starts is found only
    /// where one of them, or the end of the text, follows.
    pub(crate) fn find(&self, text: &[u8], found: &mut dyn FnMut(u32, Range<usize>)) {
        let mut at = 0;
        let capitals = u64::from(SMALL) << 32 | u64::from(SMALL);
        // Two loads for eight pieces.
        while let Some(step) = text.get(at..).and_then(|rest| rest.first_chunk::<{ STEP + PIECE_BYTES }>()) {
            let first = step.first_chunk().map_or(0, |half| u64::from_le_bytes(*half) | capitals);
            let second = step.last_chunk().map_or(0, |half| u64::from_le_bytes(*half) | capitals);
            let mut passed = 0_u32;
            for number in 0..4 {
                let early = self.passes((first >> (8 * number)) as u32);
                let late = self.passes((second >> (8 * number)) as u32);
                passed |= (early | late << 4) << number;
            }
            while passed != 0 {
                let number = passed.trailing_zeros() as usize;
                let half = if number < 4 { first } else { second };
                self.compare(text, at + number, (half >> (8 * (number % 4))) as u32, found);
                passed &= passed - 1;
            }
            at += STEP;
        }
        for at in at..text.len() {
            let rest = text.get(at..).unwrap_or_default();
            match rest.first_chunk() {
                Some(piece) if self.passes(small(*piece)) == 0 => {}
                Some(piece) => self.compare(text, at, small(*piece), found),
                None => self.compare_short(text, at, found),
            }
        }
    }

    fn compare_short(&self, text: &[u8], at: usize, found: &mut dyn FnMut(u32, Range<usize>)) {
        let first = text.get(at).map(u8::to_ascii_lowercase).unwrap_or_default();
        let from = self.short.partition_point(|(letter, _)| *letter < first);
        let same = self.short.iter().skip(from).take_while(|(letter, _)| *letter == first);
        same.for_each(|(_, number)| self.compare_word(*number, text, at, found));
    }

    /// 1 if a piece with this hash is indexed.
    #[inline]
    fn passes(&self, piece: u32) -> u32 {
        let place = self.places.get(place(piece) as usize).copied().unwrap_or_default();
        u32::from(place) >> bit(piece) & 1
    }

    #[inline(never)]
    fn compare(&self, text: &[u8], at: usize, piece: u32, found: &mut dyn FnMut(u32, Range<usize>)) {
        let group = group(piece);
        let group = match self.groups.get(group..group + 2) {
            Some(&[from, to]) => self.entries.get(from as usize..to as usize).unwrap_or_default(),
            _ => &[],
        };
        for entry in group.iter().filter(|entry| piece & entry.counts == entry.piece) {
            self.compare_word(entry.number, text, at, found);
        }
    }

    #[inline]
    fn compare_word(&self, number: u32, text: &[u8], at: usize, found: &mut dyn FnMut(u32, Range<usize>)) {
        if let Some(word) = self.words.get(number as usize)
            && let Some(start) = at.checked_sub(word.offset as usize)
            && word.stands(text, start)
        {
            found(word.anchor.number, start..start + word.anchor.word.len());
        }
    }
}

impl AnchorWord {
    fn new(anchor: Anchor, offset: u32) -> Self {
        let (mut first, mut counts, mut small) = (0, 0, 0);
        for (shift, byte) in (0..u64::BITS).step_by(8).zip(&anchor.word) {
            let letter = anchor.any_case && byte.is_ascii_alphabetic();
            let byte = if letter { byte.to_ascii_lowercase() } else { *byte };
            first |= u64::from(byte) << shift;
            counts |= 0xFF << shift;
            small |= u64::from(letter) << (shift + 5);
        }
        Self { anchor, offset, first, counts, small }
    }

    #[inline]
    fn stands(&self, text: &[u8], start: usize) -> bool {
        let word = &self.anchor.word;
        let same = |there: &[u8], word: &[u8]| match self.anchor.any_case {
            true => there.eq_ignore_ascii_case(word),
            false => there == word,
        };
        let rest = text.get(start..).unwrap_or_default();
        match rest.first_chunk::<8>() {
            Some(there) if (u64::from_le_bytes(*there) | self.small) & self.counts != self.first => false,
            Some(_) if word.len() <= 8 => true,
            _ => rest.get(..word.len()).is_some_and(|there| same(there, word)),
        }
    }
}

/// Pieces that are common in texts: a word is indexed by another piece if possible.
const COMMON: [&[u8; PIECE_BYTES]; 40] = [
    b"code", b"test", b"data", b"path", b"main", b"link", b"from", b"impl", b"meta", b"pack", b"view",
    b"hash", b"base", b"book", b"skip", b"docu", b"cons", b"pars", b"func", b"bloc", b"sect", b"serv",
    b"prot", b"conf", b"type", b"name", b"self", b"this", b"with", b"tion", b"ment", b"stri", b"ring",
    b"publ", b"retu", b"inde", b"clas", b".com", b"com/", b"est_",
];

/// The rarest piece of a word, with its offset; `None` if the word is shorter than a piece.
fn rarest(word: &[u8]) -> Option<(u32, [u8; PIECE_BYTES])> {
    let pieces = (0..).map_while(|at: usize| Some((at, *word.get(at..)?.first_chunk()?)));
    let common = |piece: &[u8; PIECE_BYTES]| {
        let known = COMMON.contains(&&piece.map(|byte| byte.to_ascii_lowercase()));
        piece.iter().copied().map(frequency).sum::<u32>() + if known { 100 } else { 0 }
    };
    let (at, piece) = pieces.min_by_key(|(_, piece)| common(piece))?;
    Some((u32::try_from(at).ok()?, piece))
}

/// The possible starts of a match at a short word.
fn starts_of(anchor: &Anchor) -> impl Iterator<Item = MatchStart> {
    let all: Vec<MatchStart> = match *anchor.word.as_slice() {
        [first, second] if anchor.starts.is_empty() => {
            (0..=u8::MAX).map(|third| [first, second, third]).collect()
        }
        [first, second, third] => vec![[first, second, third]],
        _ => anchor.starts.clone(),
    };
    all.into_iter()
}

/// The starts of an expression's matches; empty if there are too many, or they may be shorter.
pub(crate) fn starts(expression: &Hir) -> Vec<MatchStart> {
    let mut extractor = Extractor::new();
    let bytes = size_of::<MatchStart>();
    extractor.limit_class(1 << 8).limit_repeat(bytes).limit_literal_len(bytes).limit_total(STARTS_MAX);
    let mut found = extractor.extract(expression);
    found.keep_first_bytes(bytes);
    let all = found.literals().unwrap_or_default();
    all.iter().map(|literal| literal.as_bytes().try_into().ok()).collect::<Option<_>>().unwrap_or_default()
}

fn small(piece: [u8; PIECE_BYTES]) -> u32 {
    u32::from_le_bytes(piece) | SMALL
}

fn group(piece: u32) -> usize {
    (place(piece) >> (PLACES_LOG2 - GROUPS_LOG2)) as usize
}

/// The slot, from the lower three bytes. Fibonacci hashing: the upper bits are well mixed.
#[inline]
fn place(piece: u32) -> u32 {
    piece.wrapping_mul(0x9E37_79B1 << 8) >> (u32::BITS - PLACES_LOG2)
}

/// The bit, from the upper byte.
#[inline]
fn bit(piece: u32) -> u32 {
    piece >> 24 & 7
}

/// The approximate frequency of a byte in source code and settings: English letters first, then separators.
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
                let any_case = *any_case && word.len() > 2;
                Anchor { word: word.clone().into_bytes(), number, any_case, starts: Vec::new() }
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
