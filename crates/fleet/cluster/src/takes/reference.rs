//! `$(NAME)` in a variable or an argument: the kubelet puts the value of the variable there.
//!
//! `$$` stands for one `$`, so `$$(NAME)` is no reference; nor is a `$(` that nothing closes. Source:
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>.

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// It stays as it is. It is not empty.
    Text(&'a str),
    /// The name of a variable.
    Variable(&'a str),
}

/// Cuts a text at its references.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let (piece, left) = match reference {
            Some((name, left)) => (Piece::Variable(name), left),
            None => (Piece::Text("$"), after.strip_prefix('$').unwrap_or(after)),
        };
        pieces.push(piece);
        rest = left;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_found_within_a_text() {
        let expected = [Piece::Text("postgres://app:"), Piece::Variable("PASSWORD"), Piece::Text("@db")];
        assert_eq!(pieces("postgres://app:$(PASSWORD)@db"), expected);
        assert_eq!(pieces("$(A)$(B)"), [Piece::Variable("A"), Piece::Variable("B")]);
    }

    #[test]
    fn an_escaped_reference_is_text() {
        assert_eq!(pieces("$$(A)"), [Piece::Text("$"), Piece::Text("(A)")]);
        assert_eq!(pieces("$$$(A)"), [Piece::Text("$"), Piece::Variable("A")]);
    }

    #[test]
    fn a_dollar_that_begins_no_reference_is_text() {
        assert_eq!(pieces("$A"), [Piece::Text("$"), Piece::Text("A")]);
        assert_eq!(pieces("$(A"), [Piece::Text("$"), Piece::Text("(A")]);
        assert_eq!(pieces("a$"), [Piece::Text("a"), Piece::Text("$")]);
        assert!(pieces("").is_empty());
    }
}
