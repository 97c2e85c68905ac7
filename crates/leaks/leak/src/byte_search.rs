/// The positions of a short word in a line. Building a searcher for each line would take longer than the search.
pub(crate) fn places<'t>(line: &'t [u8], word: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let first = word.first().copied().unwrap_or_default();
    memchr::memchr_iter(first, line)
        .filter(move |at| line.get(*at..).is_some_and(|rest| rest.starts_with(word)))
}

/// The positions of `://` in a line. Colons are more common than slashes.
pub(crate) fn addresses(line: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'/', line).filter_map(|slash| {
        let colon = slash.checked_sub(1)?;
        line.get(colon..).is_some_and(|rest| rest.starts_with(b"://")).then_some(colon)
    })
}
