//! Words by which a driver decides. In a frame each is a small number; a number is never given another meaning.

use keyroll_port::{Back, Class};
use keyroll_rotation::{FoundBy, Holds, Reconciled, SearchLimit, Visibility, Which};
use serde::{Deserialize, Serialize};

use super::limits::FormError;

/// Makes the enum and its numbers from one table.
macro_rules! numbered {
    ($(#[$doc:meta])* $form:ident { $($(#[$of:meta])* $variant:ident = $number:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(into = "u8", try_from = "u8")]
        pub enum $form {
            $($(#[$of])* $variant,)+
        }

        impl From<$form> for u8 {
            fn from(form: $form) -> Self {
                match form {
                    $($form::$variant => $number,)+
                }
            }
        }

        impl TryFrom<u8> for $form {
            type Error = FormError;

            fn try_from(number: u8) -> Result<Self, FormError> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    _ => Err(FormError::UnknownNumber),
                }
            }
        }
    };
}

/// The same with the type that it stands for, whose variants have the same names.
macro_rules! mirrored {
    ($(#[$doc:meta])* $form:ident of $port:ident { $($(#[$of:meta])* $variant:ident = $number:literal;)+ }) => {
        numbered! { $(#[$doc])* $form { $($(#[$of])* $variant = $number;)+ } }

        impl From<$port> for $form {
            fn from(port: $port) -> Self {
                match port {
                    $($port::$variant => Self::$variant,)+
                }
            }
        }

        impl From<$form> for $port {
            fn from(form: $form) -> Self {
                match form {
                    $($form::$variant => Self::$variant,)+
                }
            }
        }
    };
}

mirrored! {
    /// The two versions of a rotation.
    WhichForm of Which {
        /// The version that is being replaced.
        Old = 0;
        /// The version that replaces it.
        New = 1;
    }
}

mirrored! {
    /// What a file holds now.
    HoldsForm of Holds {
        /// The old version.
        Old = 0;
        /// The new version.
        New = 1;
        /// Neither, or both.
        Other = 2;
        /// It could not be read.
        Unreadable = 3;
    }
}

mirrored! {
    /// What is known about the effect of an attempt that did not succeed.
    ClassForm of Class {
        /// It certainly had none, and may succeed later.
        Retryable = 0;
        /// It certainly had none, and another attempt will not help.
        Permanent = 1;
        /// It may have had its effect.
        Unknown = 2;
    }
}

mirrored! {
    /// What is known about something that may not be visible.
    VisibilityForm of Visibility {
        /// It was seen.
        Yes = 0;
        /// Looked at and not found.
        No = 1;
        /// Could not be looked at.
        NotVisible = 2;
    }
}

mirrored! {
    /// How a holder was found.
    FoundByForm of FoundBy {
        /// The configuration names it.
        Configured = 0;
        /// Its environment holds the value.
        Environment = 1;
        /// Its memory holds the value.
        Memory = 2;
        /// A session at the issuer leads to its socket.
        Session = 3;
    }
}

mirrored! {
    /// Why the memory of a process was not searched completely.
    SearchLimitForm of SearchLimit {
        /// It is larger than a search may read.
        Size = 0;
        /// The time of the search was over.
        Time = 1;
    }
}

mirrored! {
    /// What showed that a process serves again.
    BackForm of Back {
        /// Its address answered.
        Ready = 0;
        /// An instance was seen using the value.
        Proven = 1;
    }
}

numbered! {
    /// The outcome of a delivery.
    ReconciledForm {
        /// The file holds what was to be written.
        Executed = 0;
        /// The file is as it was before.
        Absent = 1;
        /// The outcome is still unknown.
        Unclear = 2;
        /// The file holds another party's content.
        Foreign = 3;
    }
}

impl From<&Reconciled> for ReconciledForm {
    fn from(found: &Reconciled) -> Self {
        match found {
            Reconciled::Executed(None) => Self::Executed,
            Reconciled::Absent => Self::Absent,
            Reconciled::Foreign => Self::Foreign,
            // Only a mint has a credential, and a host does not mint.
            Reconciled::Executed(Some(_)) | Reconciled::ValueLost(_) | Reconciled::Unclear => Self::Unclear,
        }
    }
}

impl ReconciledForm {
    /// The outcome.
    pub fn into_port(self) -> Reconciled {
        match self {
            Self::Executed => Reconciled::Executed(None),
            Self::Absent => Reconciled::Absent,
            Self::Unclear => Reconciled::Unclear,
            Self::Foreign => Reconciled::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::CredId;

    use super::*;

    #[test]
    fn each_word_is_a_small_number_and_comes_back_as_the_same_word() {
        for which in [Which::Old, Which::New] {
            assert_eq!(Which::from(WhichForm::from(which)), which);
        }
        for holds in [Holds::Old, Holds::New, Holds::Other, Holds::Unreadable] {
            assert_eq!(Holds::from(HoldsForm::from(holds)), holds);
        }
        for class in [Class::Retryable, Class::Permanent, Class::Unknown] {
            assert_eq!(Class::from(ClassForm::from(class)), class);
        }
        for seen in [Visibility::Yes, Visibility::No, Visibility::NotVisible] {
            assert_eq!(Visibility::from(VisibilityForm::from(seen)), seen);
        }
        for by in [FoundBy::Configured, FoundBy::Environment, FoundBy::Memory, FoundBy::Session] {
            assert_eq!(FoundBy::from(FoundByForm::from(by)), by);
        }
        assert_eq!(serde_json::to_string(&[HoldsForm::Old, HoldsForm::Unreadable]).unwrap(), "[0,3]");
        assert_eq!(serde_json::from_str::<WhichForm>("1").unwrap(), WhichForm::New);
        for other in ["2", "256", "-1", "\"old\"", "null"] {
            assert!(serde_json::from_str::<WhichForm>(other).is_err(), "{other}");
        }
    }

    #[test]
    fn an_outcome_with_a_credential_is_unclear_on_a_host() {
        let all = [Reconciled::Executed(None), Reconciled::Absent, Reconciled::Unclear, Reconciled::Foreign];
        for found in all {
            assert_eq!(ReconciledForm::from(&found).into_port(), found);
        }
        for found in [Reconciled::Executed(Some(CredId::new("k1"))), Reconciled::ValueLost(CredId::new("k1"))]
        {
            assert_eq!(ReconciledForm::from(&found).into_port(), Reconciled::Unclear);
        }
    }
}
