//! Sets of places in a list, one bit each: what each step looks for is found without a walk over the list.

/// The bits of a word.
const WORD: usize = 64;

/// How many classes there are.
const CLASSES: usize = 8;

/// A set of places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PlaceSet {
    words: Vec<u64>,
}

impl PlaceSet {
    pub(super) fn insert(&mut self, at: usize) {
        let row = at / WORD;
        if self.words.len() <= row {
            self.words.resize(row + 1, 0);
        }
        if let Some(word) = self.words.get_mut(row) {
            *word |= bit(at);
        }
    }

    /// The places in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        ones(self.words.iter().copied())
    }
}

/// The class of each place of a list. A set of classes is given as one bit for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Classes {
    /// The members of each class, for each 64 places.
    rows: Vec<[u64; CLASSES]>,
    counts: [usize; CLASSES],
}

impl Classes {
    /// The classes of the places, in their order.
    pub(super) fn of(all: impl Iterator<Item = usize>) -> Self {
        let mut classes = Self { rows: Vec::new(), counts: [0; CLASSES] };
        all.enumerate().for_each(|(at, class)| classes.put(at, class));
        classes
    }

    /// A place is in another class from now on.
    pub(super) fn change(&mut self, at: usize, from: usize, to: usize) {
        if let Some(word) = self.rows.get_mut(at / WORD).and_then(|row| row.get_mut(from)) {
            *word &= !bit(at);
        }
        if let Some(count) = self.counts.get_mut(from) {
            *count = count.saturating_sub(1);
        }
        self.put(at, to);
    }

    fn put(&mut self, at: usize, class: usize) {
        let row = at / WORD;
        if self.rows.len() <= row {
            self.rows.resize(row + 1, [0; CLASSES]);
        }
        if let Some(word) = self.rows.get_mut(row).and_then(|row| row.get_mut(class)) {
            *word |= bit(at);
        }
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
    }

    /// How many places are in these classes.
    pub(super) fn count(&self, classes: u8) -> usize {
        let counts = self.counts.iter().enumerate().filter(|(class, _)| has(classes, *class));
        counts.map(|(_, count)| count).sum()
    }

    /// The places in these classes, in their order.
    pub(super) fn places(&self, classes: u8) -> impl Iterator<Item = usize> {
        ones(self.words(classes)).take(self.count(classes))
    }

    /// The places of a set that are in these classes, in their order.
    pub(super) fn places_of<'a>(
        &'a self,
        classes: u8,
        set: &'a PlaceSet,
    ) -> impl Iterator<Item = usize> + 'a {
        let both = self.words(classes).zip(&set.words).map(|(word, of)| word & of);
        ones(both).take(self.count(classes))
    }

    fn words(&self, classes: u8) -> impl Iterator<Item = u64> {
        let masks: [u64; CLASSES] =
            std::array::from_fn(|class| if has(classes, class) { u64::MAX } else { 0 });
        self.rows
            .iter()
            .map(move |row| row.iter().zip(&masks).fold(0u64, |all, (word, mask)| all | (word & mask)))
    }
}

fn has(classes: u8, class: usize) -> bool {
    (classes >> class) & 1 == 1
}

fn bit(at: usize) -> u64 {
    1 << (at % WORD)
}

/// The places of the bits that are set.
fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = usize> {
    words.enumerate().flat_map(|(row, left)| Ones { left, first: row * WORD })
}

/// The places of the bits of one word.
struct Ones {
    left: u64,
    first: usize,
}

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        let lowest = usize::try_from(self.left.trailing_zeros()).ok()?;
        self.left &= self.left - 1;
        Some(self.first + lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_one_class_and_found_there() {
        let mut classes = Classes::of((0..200).map(|at| at % 3));
        let thirds: Vec<usize> = (0..200).filter(|at| at % 3 == 2).collect();
        assert_eq!(classes.places(0b100).collect::<Vec<_>>(), thirds);
        assert_eq!(classes.places(0b111).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
        classes.change(130, 1, 7);
        assert_eq!((classes.count(0b10), classes.count(0b1000_0000)), (66, 1));
        assert_eq!(classes.places(0b1000_0000).collect::<Vec<_>>(), [130]);
        assert!(!classes.places(0b10).any(|at| at == 130));
        assert_eq!(classes, Classes::of((0..200).map(|at| if at == 130 { 7 } else { at % 3 })));
    }

    #[test]
    fn of_a_set_only_the_places_in_a_class_are_found() {
        let classes = Classes::of((0..200).map(|at| usize::from(at >= 100)));
        let mut set = PlaceSet::default();
        [3, 63, 64, 128].into_iter().for_each(|at| set.insert(at));
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 63, 64, 128]);
        assert_eq!(classes.places_of(0b01, &set).collect::<Vec<_>>(), [3, 63, 64]);
        assert_eq!(classes.places_of(0b10, &set).collect::<Vec<_>>(), [128]);
        assert_eq!(classes.places_of(0b100, &set).next(), None);
    }
}
