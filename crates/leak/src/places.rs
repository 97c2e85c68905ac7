/// Where a word of a few bytes stands in a line. To make a searcher for each line takes longer than to look.
pub(crate) fn places<'t>(line: &'t [u8], word: &'static [u8]) -> impl Iterator<Item = usize> + 't {
    let first = word.first().copied().unwrap_or_default();
    memchr::memchr_iter(first, line)
        .filter(move |at| line.get(*at..).is_some_and(|rest| rest.starts_with(word)))
}
