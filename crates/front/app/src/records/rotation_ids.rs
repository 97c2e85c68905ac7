//! The form of ids of rotations and plans; finds an id by its beginning.

use keyroll_codes::Code;

use crate::problem::Problem;

/// The most ids with the same beginning that are listed.
const IDS_SHOWN_MAX: usize = 8;

/// The longest id of a plan or a rotation, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Refuses what cannot be the id of a plan or a rotation, without repeating it.
pub fn rotation_id(id: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    match (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain) {
        true => Ok(()),
        false => Err(Problem::new(Code::NameNotFound, "find the rotation")
            .because("an id has only letters, digits and -")
            .help("keyroll status shows the ids of open rotations")),
    }
}

/// The id that begins with `given`, if there is only one. The given text is not repeated in errors.
///
/// Errors: the problem that is given, with what was found in its place.
pub fn chosen_id<'a>(
    given: &str,
    ids: impl Iterator<Item = &'a str>,
    problem: Problem,
) -> Result<String, Problem> {
    let all: Vec<&str> = ids.collect();
    let begin: Vec<&str> = all.iter().copied().filter(|id| id.starts_with(given)).collect();
    let exact = begin.iter().find(|id| **id == given);
    if let (Some(id), _) | (None, [id]) = (exact, begin.as_slice()) {
        return Ok((*id).to_owned());
    }
    let beginning = |id: &str| id.get(..given.len().min(id.len())).map(str::to_owned).unwrap_or_default();
    let near = |id: &&&str| keyroll_config::nearest(given, [beginning(id).as_str()]).is_some();
    let near: Vec<&str> = all.iter().filter(near).copied().take(IDS_SHOWN_MAX).collect();
    Err(match (begin.len(), near.is_empty()) {
        (0, true) => problem.because("no rotation or plan has this id"),
        (0, false) => problem
            .because("no rotation or plan has this id")
            .help(format!("did you mean {}?", near.join(" or "))),
        (count, _) => {
            let shown: Vec<&str> = begin.into_iter().take(IDS_SHOWN_MAX).collect();
            problem
                .because(format!("{count} ids begin with these characters: {}", shown.join(", ")))
                .help("run the same command with more characters of the id")
        }
    })
}

/// The problem of a rotation that was not found.
pub fn no_rotation() -> Problem {
    Problem::new(Code::NameNotFound, "find the rotation").help("keyroll status shows all ids")
}

#[cfg(test)]
mod tests {
    use super::{chosen_id, no_rotation};

    #[test]
    fn an_id_is_found_by_its_beginning_and_a_mistyped_one_by_what_is_near() {
        const ALL: [&str; 3] = ["01a1fc41e35771d0", "01a1fc41ffff0000", "01a1fc41e35771d0ff"];
        let find = |given: &str| chosen_id(given, ALL.into_iter(), no_rotation());
        assert_eq!(find("01a1fc41f").unwrap(), ALL[1]);
        // An exact match wins over longer ids.
        assert_eq!(find(ALL[0]).unwrap(), ALL[0]);
        let said = |given: &str| {
            let problem = find(given).unwrap_err();
            (problem.causes.join(" "), problem.help.unwrap())
        };
        let (why, _) = said("01a1fc41e");
        assert!(why.starts_with("2 ids") && why.contains(ALL[0]) && why.contains(ALL[2]), "{why}");
        let (_, help) = said("01a1fc41fffe0000");
        assert_eq!(help, format!("did you mean {}?", ALL[1]));
        assert_eq!(said("77").1, "keyroll status shows all ids");
    }
}
