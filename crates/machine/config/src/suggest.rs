/// How many single edits a mistyped name may differ from the name that was meant.
const EDITS_MAX: usize = 3;

/// The candidate nearest to the written name, if one is near enough.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = EDITS_MAX.min(written.chars().count().div_ceil(3).max(1));
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("reeds", ["runs", "reads", "check"]), Some("reads"));
        assert_eq!(nearest("rotate_evry", ["rotate_every", "owner"]), Some("rotate_every"));
        assert_eq!(nearest("colour", ["runs", "reads"]), None);
    }
}
