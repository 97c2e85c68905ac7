use crate::synonyms::{SYNONYMS, Synonym};

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

/// The most keys that are suggested for one.
const SUGGESTED_MAX: usize = 3;
/// A shorter word is a part of too many keys.
const PART_BYTES_MIN: usize = 3;

/// The known keys that somebody most likely meant: the same one but for its case or a hyphen, a synonym, or the nearest one.
pub(crate) fn likely<'k>(written: &str, known: &[&'k str]) -> Vec<&'k str> {
    let plain = written.to_ascii_lowercase().replace('-', "_");
    let is_synonym =
        |key: &&str| SYNONYMS.iter().any(|Synonym { written, meant }| *written == plain && meant == key);
    let same = known.iter().copied().filter(|key| *key == plain).collect::<Vec<_>>();
    let synonyms = known.iter().copied().filter(is_synonym).collect();
    let near = nearest(&plain, known.iter().copied()).into_iter().collect();
    [same, synonyms, near].into_iter().find(|all| !all.is_empty()).unwrap_or_default()
}

/// The known keys that are words of the written one, as in `unit_name`, or that it begins.
pub(crate) fn by_part<'k>(written: &str, known: &[&'k str]) -> Vec<&'k str> {
    let plain = written.to_ascii_lowercase().replace('-', "_");
    let has = |key: &&str| key.len() >= PART_BYTES_MIN && plain.split('_').any(|word| word == *key);
    let begins = |key: &&str| plain.len() >= PART_BYTES_MIN && key.starts_with(&plain);
    known.iter().copied().filter(|key| has(key) || begins(key)).take(SUGGESTED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{by_part, likely, nearest};

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("reeds", ["runs", "reads", "check"]), Some("reads"));
        assert_eq!(nearest("rotate_evry", ["rotate_every", "owner"]), Some("rotate_every"));
        assert_eq!(nearest("colour", ["runs", "reads"]), None);
    }

    #[test]
    fn what_people_type_for_a_key_leads_to_it() {
        let copy = ["env_file", "variable", "file", "format", "at", "part", "template", "field", "key"];
        for (written, meant) in [
            ("var", &["variable"][..]),
            ("env", &["env_file", "variable"][..]),
            ("path", &["file"][..]),
            ("Env-File", &["env_file"][..]),
            ("envfile", &["env_file"][..]),
        ] {
            assert_eq!(likely(written, &copy), meant, "{written}");
        }
        let runs = ["unit", "service", "restart", "pid_file", "process", "instances"];
        assert_eq!(likely("cmd", &runs), ["restart"]);
        // A synonym is only suggested where the key is known.
        assert_eq!(likely("var", &runs), [] as [&str; 0]);
        assert_eq!(by_part("unit_name", &runs), ["unit"]);
        assert_eq!(by_part("systemd-unit", &runs), ["unit"]);
        assert_eq!(by_part("inst", &runs), ["instances"]);
        assert_eq!(by_part("in", &runs), [] as [&str; 0]);
    }
}
