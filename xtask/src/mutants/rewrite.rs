//! Writes a file with all of its mutants in it.

use std::ops::Range;

use super::mutation::{Mutation, Shape};

/// A mutated file, and where each mutant stands in it.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    pub(super) text: String,
    pub(super) places: Vec<Place>,
}

/// Where a mutant stands in a mutated file.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) number: u32,
    /// The mutant together with the original code.
    pub(super) whole: Range<usize>,
    /// The mutant's own code.
    pub(super) own: Range<usize>,
    /// The bytes of the source that are mutated.
    pub(super) source: Range<usize>,
    /// The mutant goes on where the original code leaves.
    pub(super) goes_on: bool,
}

/// Writes a file with these mutants in it, without the code in `erased`.
pub(super) fn rewrite<'a>(
    source: &str,
    mutations: impl Iterator<Item = &'a Mutation>,
    erased: &[Range<usize>],
) -> Rewritten {
    let mut edits: Vec<Edit<'_>> = mutations.map(|it| (it.range.clone(), Some(it))).collect();
    edits.extend(erased.iter().map(|range| (range.clone(), None)));
    // Outer ones first, and insertions before what begins at the same byte.
    edits.sort_by_key(|(range, mutation)| {
        let outer_first = if range.is_empty() { 0 } else { usize::MAX - range.end };
        (range.start, outer_first, mutation.map_or(0, |it| it.number))
    });
    let mut writer = Writer { source, edits, next: 0, result: Rewritten::default() };
    writer.fill(0..source.len());
    writer.result
}

/// Statements after which the next one is not reached.
const LEAVING: [&str; 3] = ["return", "break", "continue"];

/// The code of a source between two bytes.
pub(super) fn part(source: &str, range: Range<usize>) -> &str {
    source.get(range).unwrap_or_default()
}

/// A mutant, or code that is left out, with its place in the source.
type Edit<'a> = (Range<usize>, Option<&'a Mutation>);

struct Writer<'a> {
    source: &'a str,
    edits: Vec<Edit<'a>>,
    next: usize,
    result: Rewritten,
}

impl Writer<'_> {
    /// Writes a part of the source with everything that is mutated in it.
    fn fill(&mut self, range: Range<usize>) {
        let mut at = range.start;
        while let Some((place, mutation)) = self.edits.get(self.next).cloned() {
            if place.start >= range.end || place.end > range.end {
                break;
            }
            self.next += 1;
            self.result.text += part(self.source, at..place.start);
            at = place.end;
            if let Some(mutation) = mutation {
                self.mutate(mutation);
            }
        }
        self.result.text += part(self.source, at..range.end);
    }

    fn mutate(&mut self, mutation: &Mutation) {
        let (before, after) = mutation.around();
        let begin = self.result.text.len();
        self.result.text += &before;
        let own = begin..self.result.text.len();
        self.fill(mutation.range.clone());
        self.result.text += &after;
        let whole = begin..self.result.text.len();
        let (number, source) = (mutation.number, mutation.range.clone());
        let goes_on = matches!(mutation.shape, Shape::Omitted)
            && LEAVING.iter().any(|word| mutation.original.starts_with(word));
        self.result.places.push(Place { number, whole, own, source, goes_on });
    }
}
