//! A list whose copies share what is the same in both.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// So many elements are copied when one of them changes.
const PART_LEN: usize = 128;

/// A list of a state. A state that changes one element copies the part in which that element is, and shares the others with
/// the state before.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedList<T> {
    /// Each part but the last one has [`PART_LEN`] elements; none is empty.
    parts: Arc<Vec<Arc<Vec<T>>>>,
}

impl<T> SharedList<T> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, |last| (self.parts.len() - 1) * PART_LEN + last.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The element at this place.
    pub fn get(&self, at: usize) -> Option<&T> {
        self.parts.get(at / PART_LEN)?.get(at % PART_LEN)
    }

    /// The elements in their order.
    pub fn iter(&self) -> SharedListIter<'_, T> {
        SharedListIter { list: self, from: 0, to: self.len() }
    }
}

impl<T: Clone> SharedList<T> {
    /// So many times the same element.
    pub(crate) fn filled(element: &T, len: usize) -> Self {
        let part = |len| Arc::new(vec![element.clone(); len]);
        let mut parts = vec![part(PART_LEN); len / PART_LEN];
        if !len.is_multiple_of(PART_LEN) {
            parts.push(part(len % PART_LEN));
        }
        Self { parts: Arc::new(parts) }
    }

    /// Adds an element at the end.
    pub(crate) fn push(&mut self, element: T) {
        let parts = Arc::make_mut(&mut self.parts);
        if parts.last().is_none_or(|last| last.len() >= PART_LEN) {
            parts.push(Arc::default());
        }
        if let Some(last) = parts.last_mut() {
            Arc::make_mut(last).push(element);
        }
    }

    /// The element at this place, to change it.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        let part = Arc::make_mut(&mut self.parts).get_mut(at / PART_LEN)?;
        Arc::make_mut(part).get_mut(at % PART_LEN)
    }

    /// All elements, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        Arc::make_mut(&mut self.parts).iter_mut().flat_map(|part| Arc::make_mut(part).iter_mut())
    }
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        Self { parts: Arc::default() }
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T> Index<usize> for SharedList<T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "as with a slice, the caller knows how long the list is")]
    fn index(&self, at: usize) -> &T {
        &self.parts[at / PART_LEN][at % PART_LEN]
    }
}

impl<'a, T> IntoIterator for &'a SharedList<T> {
    type Item = &'a T;
    type IntoIter = SharedListIter<'a, T>;

    fn into_iter(self) -> SharedListIter<'a, T> {
        self.iter()
    }
}

/// The elements of a [`SharedList`] in their order.
#[derive(Debug)]
pub struct SharedListIter<'a, T> {
    list: &'a SharedList<T>,
    /// The next element.
    from: usize,
    /// The place after the last element.
    to: usize,
}

impl<'a, T> Iterator for SharedListIter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.from >= self.to {
            return None;
        }
        self.from += 1;
        self.list.get(self.from - 1)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.to - self.from, Some(self.to - self.from))
    }
}

impl<T> DoubleEndedIterator for SharedListIter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        self.to -= 1;
        self.list.get(self.to)
    }
}

impl<T> ExactSizeIterator for SharedListIter<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether two lists have the same part in memory, for each part.
    fn shared(one: &SharedList<usize>, other: &SharedList<usize>) -> Vec<bool> {
        one.parts.iter().zip(other.parts.iter()).map(|(one, other)| Arc::ptr_eq(one, other)).collect()
    }

    #[test]
    fn a_change_copies_one_part_and_leaves_the_list_before_as_it_was() {
        let mut before = SharedList::filled(&0, 2 * PART_LEN + 3);
        before.iter_mut().enumerate().for_each(|(at, element)| *element = at);
        let mut after = before.clone();
        *after.get_mut(PART_LEN).unwrap() = 7;
        assert_eq!((before[PART_LEN], after[PART_LEN]), (PART_LEN, 7));
        assert_eq!(shared(&before, &after), [true, false, true]);
        assert_ne!(before, after);
        *after.get_mut(PART_LEN).unwrap() = PART_LEN;
        assert_eq!(before, after);
    }

    #[test]
    fn it_is_walked_from_both_ends_and_grows_at_its_end() {
        let mut list = SharedList::default();
        assert!(list.is_empty() && list.iter().next().is_none());
        (0..PART_LEN + 2).for_each(|at| list.push(at));
        assert_eq!(list.len(), PART_LEN + 2);
        assert!(list.iter().copied().eq(0..PART_LEN + 2));
        assert!(list.iter().rev().copied().eq((0..PART_LEN + 2).rev()));
        assert_eq!((list.get(PART_LEN + 1), list.get(PART_LEN + 2)), (Some(&(PART_LEN + 1)), None));
        assert_eq!(list.get_mut(PART_LEN + 2), None);
        assert_eq!(SharedList::filled(&1, PART_LEN).len(), PART_LEN);
    }
}
