/// The longest name that PostgreSQL keeps whole (NAMEDATALEN - 1); a longer one would be cut, and mean another role.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// A name as an SQL identifier, whatever it contains but NUL.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL string. Every connection of ours sets `standard_conforming_strings`, so a backslash is itself.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a role can have this name, and keep it whole.
pub(crate) fn is_role_name(name: &str) -> bool {
    let reserved = name.starts_with("pg_") || matches!(name, "none" | "public");
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0') && !reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_cannot_end_what_it_stands_in() {
        assert_eq!(identifier("a\"; DROP ROLE b; --"), "\"a\"\"; DROP ROLE b; --\"");
        assert_eq!(literal("it's \\'"), "'it''s \\'''");
    }

    #[test]
    fn names_that_postgresql_would_cut_or_refuse_are_no_role_names() {
        assert!(is_role_name("Böse \" Rolle"));
        assert!(is_role_name(&"x".repeat(63)));
        for name in ["", "pg_monitor", "none", "public", "a\0b", &"x".repeat(64)] {
            assert!(!is_role_name(name), "{name:?}");
        }
    }
}
