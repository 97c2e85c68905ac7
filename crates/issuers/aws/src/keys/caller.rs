use std::fmt;

/// The IAM user whose access keys are rotated. Another account may have a user of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    /// The number of the account.
    pub(super) account: String,
    /// The name, without its path.
    pub(super) name: String,
}

impl User {
    /// Whether a principal is this user, whatever path the user has.
    pub(super) fn is(&self, arn: &Arn) -> bool {
        let path = arn.resource.strip_prefix("user/");
        arn.account == self.account
            && path.is_some_and(|path| path.rsplit('/').next() == Some(self.name.as_str()))
    }
}

/// Whom AWS takes the sender of a request for.
pub(super) enum Caller {
    /// This principal.
    Is(Arn),
    /// The key does not exist, or is inactive.
    Refused,
    /// The answer does not show it, and why.
    Unclear(String),
}

/// The ARN of a principal: `arn:aws:iam::123456789012:user/app`. Source:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arn {
    partition: String,
    account: String,
    /// `user/app`, `user/division/app`, `assumed-role/ROLE/SESSION`, `root`.
    resource: String,
    text: String,
}

impl Arn {
    /// `None` for a text that is no ARN of a principal.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (head, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if head != "arn" || !matches!(service, "iam" | "sts") || !plain || account.is_empty() {
            return None;
        }
        Some(Self {
            partition: partition.to_owned(),
            account: account.to_owned(),
            resource: resource.to_owned(),
            text: text.to_owned(),
        })
    }

    /// The number of the account.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Whether it is the session of a role.
    pub(super) fn is_session(&self) -> bool {
        self.resource.starts_with("assumed-role/")
    }

    /// The ARN of the user of this name in the same account, as it is without a path.
    pub(super) fn user_beside(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:user/{name}", self.partition, self.account)
    }

    /// Whose policies decide what it may do: the user itself, or the role of a session, as it is named without a path.
    /// `None` where no policy does.
    pub(super) fn policy_source(&self) -> Option<String> {
        if self.resource.starts_with("user/") {
            return Some(self.text.clone());
        }
        let role = self.resource.strip_prefix("assumed-role/")?.split('/').next()?;
        Some(format!("arn:{}:iam::{}:role/{role}", self.partition, self.account))
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(text: &str) -> Arn {
        Arn::parse(text).unwrap()
    }

    #[test]
    fn a_user_is_known_by_the_account_and_the_name_behind_its_path() {
        let user = |name: &str| User { account: "123456789012".to_owned(), name: name.to_owned() };
        let found = arn("arn:aws:iam::123456789012:user/division/app");
        assert!(user("app").is(&found) && user("app").is(&arn("arn:aws:iam::123456789012:user/app")));
        assert!(!user("division").is(&found) && !user("division/app").is(&found));
        for other in [
            "arn:aws:iam::210987654321:user/app",
            "arn:aws:iam::123456789012:role/app",
            "arn:aws:sts::123456789012:assumed-role/app/app",
        ] {
            assert!(!user("app").is(&arn(other)), "{other}");
        }
        assert_eq!(found.user_beside("app"), "arn:aws:iam::123456789012:user/app");
    }

    #[test]
    fn the_policies_of_a_session_are_those_of_its_role() {
        let session = arn("arn:aws-cn:sts::123456789012:assumed-role/rotator/host-1");
        assert!(session.is_session());
        assert_eq!(session.policy_source().as_deref(), Some("arn:aws-cn:iam::123456789012:role/rotator"));
        assert_eq!(arn("arn:aws:iam::123456789012:root").policy_source(), None);
        assert_eq!(
            arn("arn:aws:iam::123456789012:user/a/b").policy_source().as_deref(),
            Some("arn:aws:iam::123456789012:user/a/b")
        );
    }

    #[test]
    fn what_is_no_principal_is_none() {
        for text in ["", "arn:aws:s3:::bucket", "arn:aws:iam:::user/app", "arn:aws:iam::1:user/a\nb", "app"] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }
}
