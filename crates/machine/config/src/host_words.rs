//! Words that name machines: a host, a group, or a pattern.

use crate::Host;

/// The hosts that a word names: the host with this name, else the hosts of this group, else those whose names the pattern
/// fits. They keep the order of `every`.
pub fn hosts_meant<'h>(word: &str, every: &[&'h Host]) -> Vec<&'h Host> {
    let having =
        |is: &dyn Fn(&Host) -> bool| every.iter().copied().filter(|host| is(host)).collect::<Vec<_>>();
    let named = having(&|host| host.name.as_str() == word);
    let grouped = having(&|host| host.group.as_ref().is_some_and(|group| group.as_str() == word));
    let fitting = having(&|host| fits(word, host.name.as_str()));
    [named, grouped, fitting].into_iter().find(|all| !all.is_empty()).unwrap_or_default()
}

/// Whether a word is a pattern.
pub(crate) fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// Whether the pattern stands for the name: `*` is any text, `?` any letter.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    // Behind the last `*`: the rest of the pattern, and what of the name it was last compared with.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, name));
                pattern = rest;
            }
            (Some((letter, rest)), Some((own, left))) if *letter == b'?' || letter == own => {
                (pattern, name) = (rest, left);
            }
            (Some(_) | None, Some(_) | None) => {
                // The `*` stands for one letter more.
                let Some((rest, from)) = retry else { return false };
                let Some((_, from)) = from.split_first() else { return false };
                retry = Some((rest, from));
                (pattern, name) = (rest, from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_pattern_stands_for_whole_names() {
        for (pattern, name) in [
            ("web-*", "web-1"),
            ("web-*", "web-"),
            ("*", "a"),
            ("?b-1", "db-1"),
            ("*-1", "web-1-1"),
            ("w*-?", "web-front-2"),
            ("**1", "11"),
            ("*a*b", "aabab"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web-?", "web-"),
            ("web-?", "web-10"),
            ("web", "web-1"),
            ("*-1", "web-1-2"),
            ("", "a"),
            ("?", ""),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_decided_at_once() {
        assert!(!fits(&"*a".repeat(500), &("a".repeat(63) + "b")));
        assert!(fits(&("*a".repeat(63) + "*b"), &("a".repeat(63) + "b")));
    }
}
