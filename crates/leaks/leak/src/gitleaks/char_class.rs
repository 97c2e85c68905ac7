use std::fmt::Write;

/// The last character.
const LAST: u32 = 0x10_FFFF;
/// Stands for invalid UTF-8: an expression that matches it matches such bytes.
const REPLACEMENT: u32 = 0xFFFD;
/// The most non-ASCII characters of a class whose other case is looked up.
const FOLDED_MAX: u32 = 1024;
/// The most states of a non-ASCII range, and of one that extends to the last character.
const STATES_OF_HIGH: (usize, usize) = (32, 16);

/// A set of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CharClass {
    /// First and last, inclusive; sorted, not overlapping.
    ranges: Vec<(u32, u32)>,
}

impl CharClass {
    pub(super) fn of(ranges: &[(char, char)]) -> Self {
        let ranges = ranges.iter().map(|(from, to)| (u32::from(*from), u32::from(*to))).collect();
        Self { ranges }.in_order()
    }

    pub(super) fn all() -> Self {
        Self { ranges: vec![(0, LAST)] }
    }

    /// The union of two sets.
    pub(super) fn or(mut self, other: Self) -> Self {
        self.ranges.extend(other.ranges);
        self.in_order()
    }

    /// The complement.
    pub(super) fn negated(self) -> Self {
        let mut from = 0;
        let mut ranges = Vec::new();
        for (start, end) in self.ranges {
            if from < start {
                ranges.push((from, start - 1));
            }
            from = end + 1;
        }
        if from <= LAST {
            ranges.push((from, LAST));
        }
        Self { ranges }
    }

    /// The set in both cases. ASCII letters have no non-ASCII case here.
    ///
    /// # Errors Too many non-ASCII letters.
    pub(super) fn in_any_case(self) -> Result<Self, String> {
        let mut more = Vec::new();
        for (start, end) in &self.ranges {
            for (small, large) in [(b'a', b'A'), (b'A', b'a')] {
                let (first, last) = (u32::from(small), u32::from(small) + 25);
                let (from, to) = ((*start).max(first), (*end).min(last));
                if from <= to {
                    more.push((from - first + u32::from(large), to - first + u32::from(large)));
                }
            }
            let from = (*start).max(0x80);
            // A range to the last character is a complement, and has both cases of the rest.
            if from > *end || *end == LAST {
                continue;
            }
            if end - from >= FOLDED_MAX {
                return Err("asks for either case of a class of letters beyond ASCII".to_owned());
            }
            more.extend((from..=*end).filter_map(char::from_u32).flat_map(cases).map(|other| (other, other)));
        }
        Ok(self.or(Self { ranges: more }))
    }

    /// The most states that it needs.
    pub(super) fn states(&self) -> usize {
        let (some, rest) = STATES_OF_HIGH;
        let high = self.ranges.iter().filter(|(_, end)| *end > 0x7F);
        1 + high.map(|(_, end)| if *end == LAST { rest } else { some }).sum::<usize>()
    }

    /// The class in the engine's syntax, for UTF-8 or for any bytes.
    pub(super) fn written(&self, wide: bool) -> String {
        let ascii = self.part(0, 0x7F);
        let high = self.part(0x80, LAST);
        let any_byte = self.ranges.iter().any(|(start, end)| (*start..=*end).contains(&REPLACEMENT));
        match (ascii.is_empty(), high.is_empty()) {
            (true, true) => r"[^\x00-\xFF]".to_owned(),
            (false, true) => format!("[{ascii}]"),
            (_, false) if wide => format!("(?u:[{ascii}{high}])"),
            (_, false) if any_byte => format!(r"[{ascii}\x80-\xFF]"),
            (true, false) => format!("(?u:[{high}])"),
            (false, false) => format!("(?:[{ascii}]|(?u:[{high}]))"),
        }
    }

    /// The characters between two others.
    fn part(&self, first: u32, last: u32) -> String {
        let mut written = String::new();
        for (start, end) in &self.ranges {
            let (from, to) = ((*start).max(first), (*end).min(last));
            // Surrogates are no characters.
            let from = if (0xD800..=0xDFFF).contains(&from) { 0xE000 } else { from };
            let to = if (0xD800..=0xDFFF).contains(&to) { 0xD7FF } else { to };
            if from <= to {
                // Writing to a string cannot fail.
                let _ = write!(written, r"\x{{{from:X}}}-\x{{{to:X}}}");
            }
        }
        written
    }

    fn in_order(mut self) -> Self {
        self.ranges.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (start, end) in self.ranges {
            match ranges.last_mut() {
                Some((_, last)) if start <= last.saturating_add(1) => *last = (*last).max(end),
                _ => ranges.push((start, end)),
            }
        }
        Self { ranges }
    }
}

/// The other cases of a character that are single characters.
fn cases(letter: char) -> Vec<u32> {
    let mut small = letter.to_lowercase();
    let mut large = letter.to_uppercase();
    let one = |mut all: Vec<char>| if all.len() == 1 { all.pop() } else { None };
    let all = [one(small.by_ref().collect()), one(large.by_ref().collect())];
    all.into_iter().flatten().map(u32::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_in_order_and_its_negation_is_the_rest() {
        let class = CharClass::of(&[('x', 'z'), ('a', 'c'), ('b', 'f')]);
        assert_eq!(class.ranges, [(97, 102), (120, 122)]);
        assert_eq!(class.clone().negated().negated(), class);
        assert_eq!(CharClass::all().negated().written(true), r"[^\x00-\xFF]");
        assert_eq!(CharClass::of(&[('\n', '\n')]).negated().ranges, [(0, 9), (11, LAST)]);
    }

    #[test]
    fn either_case_is_that_of_ascii_and_of_single_letters() {
        let folded = |from, to| CharClass::of(&[(from, to)]).in_any_case().map(|class| class.ranges);
        assert_eq!(folded('b', 'd'), Ok(vec![(66, 68), (98, 100)]));
        assert_eq!(folded('ä', 'ä'), Ok(vec![(0xC4, 0xC4), (0xE4, 0xE4)]));
        assert!(folded('\u{4e00}', '\u{9fff}').is_err());
    }
}
