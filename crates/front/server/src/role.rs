//! What the owner of a token may do.

/// The role of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads the metrics and the status; changes nothing.
    Viewer,
    /// Reads; makes plans, and begins, resumes, pauses and aborts rotations.
    Operator,
    /// Reads, and approves the end of an old key.
    Approver,
    /// Reads, and begins emergencies.
    Responder,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, with its word in the file of the tokens and in options.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Viewer, "viewer"),
        (Self::Operator, "operator"),
        (Self::Approver, "approver"),
        (Self::Responder, "responder"),
        (Self::Admin, "admin"),
    ];

    /// The role of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(role, _)| *role)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Responder => "responder",
            Self::Admin => "admin",
        }
    }

    /// Whether a token of this role may do what needs the other.
    pub fn allows(self, needed: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Viewer | Self::Operator | Self::Approver | Self::Responder => {
                needed == Self::Viewer || needed == self
            }
        }
    }

    /// The most valid tokens of this role: two, so that one can be replaced while it is in use, or those of a team.
    pub(crate) fn valid_max(self) -> usize {
        match self {
            Self::Viewer | Self::Responder | Self::Admin => 2,
            Self::Operator | Self::Approver => 8,
        }
    }

    /// What every token of this role begins with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Viewer => "keyroll_viewer_",
            Self::Operator => "keyroll_operator_",
            Self::Approver => "keyroll_approver_",
            Self::Responder => "keyroll_responder_",
            Self::Admin => "keyroll_admin_",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_look_and_do_its_own_and_an_admin_everything() {
        for (role, word) in Role::ALL {
            assert_eq!((role.word(), Role::named(word)), (word, Some(role)));
            assert_eq!(role.prefix(), format!("keyroll_{word}_"));
            for (needed, other) in Role::ALL {
                let may = role == Role::Admin || needed == Role::Viewer || needed == role;
                assert_eq!(role.allows(needed), may, "{word} does what needs {other}");
            }
        }
        assert_eq!(Role::named("Admin"), None);
    }
}
