//! How much of a reply is used. A host may send anything that a frame can carry.

/// The most entries of a list.
pub const LIST_MAX: usize = 10_000;

/// The longest text of a form, bytes.
pub const TEXT_BYTES_MAX: usize = 8 << 10;

/// The longest text that a host puts into a form, bytes. What the cleaner writes instead of a value may be longer than
/// the value.
const SENT_BYTES_MAX: usize = TEXT_BYTES_MAX / 2;

/// Why a form cannot be used. Nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A list is too long.
    #[error("a list has more than {LIST_MAX} entries")]
    TooMany,
    /// A text is too long.
    #[error("a text has more than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// A number has no meaning here.
    #[error("a number stands for nothing that this version knows")]
    UnknownNumber,
}

/// The forms of all of these.
pub(super) fn forms<'a, Port, Form: From<&'a Port>>(all: &'a [Port]) -> Vec<Form> {
    all.iter().map(Form::from).collect()
}

/// A list of a form, within its limit.
pub(super) fn list<Form, Port>(
    all: Vec<Form>,
    port: impl FnMut(Form) -> Result<Port, FormError>,
) -> Result<Vec<Port>, FormError> {
    match all.len() > LIST_MAX {
        true => Err(FormError::TooMany),
        false => all.into_iter().map(port).collect(),
    }
}

/// A text of a form, within its limit.
pub(super) fn text(text: String) -> Result<String, FormError> {
    match text.len() > TEXT_BYTES_MAX {
        true => Err(FormError::TooLong),
        false => Ok(text),
    }
}

/// Texts of a form, within their limits.
pub(super) fn texts(all: Vec<String>) -> Result<Vec<String>, FormError> {
    list(all, text)
}

/// A text for people as a host sends it.
pub(super) fn sent(text: &str) -> String {
    cut(text, SENT_BYTES_MAX)
}

/// Texts for people as a host sends them.
pub(super) fn all_sent(all: &[String]) -> Vec<String> {
    all.iter().map(|text| sent(text)).collect()
}

/// A text for people that was heard, cut to its limit: what failed is reported although its report is too long.
pub(super) fn heard(text: &str) -> String {
    cut(text, TEXT_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> String {
    match text.len() > bytes_max {
        true => format!("{}…", text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_a_form_may_be_is_refused_and_not_repeated() {
        assert_eq!(text("x".repeat(TEXT_BYTES_MAX)).map(|text| text.len()), Ok(TEXT_BYTES_MAX));
        assert_eq!(text("x".repeat(TEXT_BYTES_MAX + 1)), Err(FormError::TooLong));
        assert_eq!(texts(vec![String::new(); LIST_MAX]).map(|all| all.len()), Ok(LIST_MAX));
        assert_eq!(texts(vec![String::new(); LIST_MAX + 1]), Err(FormError::TooMany));
        assert_eq!(texts(vec!["x".repeat(TEXT_BYTES_MAX + 1)]), Err(FormError::TooLong));
    }

    #[test]
    fn a_text_for_people_is_cut_between_two_characters() {
        assert_eq!(sent("é"), "é");
        let long = format!("x{}", "é".repeat(TEXT_BYTES_MAX));
        for cut in [sent(&long), heard(&long)] {
            assert!(long.starts_with(cut.strip_suffix('…').unwrap()), "{} bytes", cut.len());
        }
        assert!(text(sent(&long)).is_ok());
    }
}
