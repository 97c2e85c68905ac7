use crate::Holder;

/// How a description begins in the journal. A path is absolute, or begins with the name of its host and `:`.
const MARK: &str = "process\t";

/// The longest name that is remembered, characters: a container has the names of its pod, itself and its host.
const NAME_CHARS_MAX: usize = 400;

/// The longest clause that is remembered about how it was found, characters.
const FOUND_BY_CHARS_MAX: usize = 240;

/// An undeclared process as the journal remembers it, by [`keyroll_rotation::digest_of_life`]. A process on another host
/// cannot be looked at when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The name of its program; never arguments.
    pub name: String,
    /// How it was found, as a clause.
    pub found_by: String,
}

impl Described {
    /// The description of a process, each part on one line and of a limited length.
    pub fn of(holder: &Holder) -> Self {
        Self {
            name: line(&holder.name, NAME_CHARS_MAX),
            found_by: line(&holder.found_by, FOUND_BY_CHARS_MAX),
        }
    }

    /// As the journal remembers it.
    pub fn text(&self) -> String {
        format!("{MARK}{}\t{}", self.name, self.found_by)
    }

    /// Reads what the journal remembered; `None` for the name of a place.
    pub fn read(text: &str) -> Option<Self> {
        let (name, found_by) = text.strip_prefix(MARK)?.split_once('\t')?;
        Some(Self { name: name.to_owned(), found_by: found_by.to_owned() })
    }
}

fn line(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::HostId;

    use super::*;

    fn holder(name: &str, found_by: &str) -> Holder {
        let (name, found_by) = (name.to_owned(), found_by.to_owned());
        Holder { host: HostId(1), pid: Some(4711), name, found_by, how_to_move: String::new() }
    }

    #[test]
    fn a_description_is_read_as_it_was_remembered() {
        let described = Described::of(&holder("mailer on web-2", "found in its environment: 1 copy"));
        assert_eq!(described.name, "mailer on web-2");
        assert_eq!(Described::read(&described.text()), Some(described));
    }

    #[test]
    fn the_longest_name_of_a_container_is_remembered_whole() {
        let name = format!("pod/{}/{} on prod", "p".repeat(253), "c".repeat(63));
        let described = Described::of(&holder(&name, "it takes the key `token` of Secret agent"));
        assert_eq!(Described::read(&described.text()).map(|it| it.name), Some(name));
    }

    #[test]
    fn the_name_of_a_place_is_no_description() {
        for place in ["/srv/old.env", "web-2:/srv/old.env", "process:/srv/old.env", "process mailer", ""] {
            assert_eq!(Described::read(place), None, "{place}");
        }
    }

    #[test]
    fn what_a_process_calls_itself_is_one_part_of_limited_length() {
        let described = Described::of(&holder("a\tb\nc", &"x".repeat(9_000)));
        assert_eq!(described.name, "a b c");
        assert_eq!(described.found_by.len(), FOUND_BY_CHARS_MAX);
        assert_eq!(Described::read(&described.text()), Some(described));
    }
}
