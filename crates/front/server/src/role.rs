//! What the owner of a token may do.

/// The role of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads the metrics and the status; changes nothing.
    Viewer,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, with its word in the file of the tokens and in options.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Viewer, "viewer"), (Self::Admin, "admin")];

    /// The role of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(role, _)| *role)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    /// Whether a token of this role may do what needs the other.
    pub fn allows(self, needed: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Viewer => needed == Self::Viewer,
        }
    }

    /// What every token of this role begins with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Viewer => "keyroll_viewer_",
            Self::Admin => "keyroll_admin_",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_may_only_look() {
        for (role, word) in Role::ALL {
            assert_eq!((role.word(), Role::named(word)), (word, Some(role)));
            assert!(role.allows(Role::Viewer) && role.allows(role) && Role::Admin.allows(role), "{word}");
        }
        assert!(!Role::Viewer.allows(Role::Admin));
        assert_eq!(Role::named("Admin"), None);
    }
}
