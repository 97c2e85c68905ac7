//! A persisted type beside the protocol's own, with exhaustive conversions both ways.

use std::sync::Arc;

use keyroll_rotation::{BystanderId, ConsumerId, CredId, EndpointId, FileId, HostId, Kinds};

use crate::wire::WireError;

/// The persisted form of `Own`.
pub(super) trait Form<Own>: Sized {
    /// What is written.
    fn of(own: &Own) -> Self;

    /// What was written. Errors: a number outside its range.
    fn own(self) -> Result<Own, WireError>;
}

/// Types of the same names and fields as the protocol's. A variant in brackets has names here and none there.
macro_rules! forms {
    () => {};
    (struct $name:ident { $($(#[$meta:meta])* $field:ident: $form:ty),+ $(,)? } $($rest:tt)*) => {
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$meta])* $field: $form),+
        }

        impl Form<keyroll_rotation::$name> for $name {
            fn of(own: &keyroll_rotation::$name) -> Self {
                let keyroll_rotation::$name { $($field),+ } = own;
                Self { $($field: Form::of($field)),+ }
            }

            fn own(self) -> Result<keyroll_rotation::$name, crate::wire::WireError> {
                let Self { $($field),+ } = self;
                Ok(keyroll_rotation::$name { $($field: $field.own()?),+ })
            }
        }

        forms! { $($rest)* }
    };
    (enum $name:ident { $(
        $word:ident $(($one:ident: $single:ty))? $({ $($(#[$meta:meta])* $field:ident: $form:ty),+ $(,)? })? $([$($part:ident: $piece:ty),+])?
    ),+ $(,)? } $($rest:tt)*) => {
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub(super) enum $name {
            $($word $(($single))? $({ $($(#[$meta])* $field: $form),+ })? $({ $($part: $piece),+ })?),+
        }

        impl Form<keyroll_rotation::$name> for $name {
            fn of(own: &keyroll_rotation::$name) -> Self {
                match own {
                    $(keyroll_rotation::$name::$word $(($one))? $({ $($field),+ })? $(($($part),+))? => {
                        Self::$word
                            $((Form::of($one)))?
                            $({ $($field: Form::of($field)),+ })?
                            $({ $($part: Form::of($part)),+ })?
                    })+
                }
            }

            fn own(self) -> Result<keyroll_rotation::$name, crate::wire::WireError> {
                Ok(match self {
                    $(Self::$word $(($one))? $({ $($field),+ })? $({ $($part),+ })? => {
                        keyroll_rotation::$name::$word
                            $(($one.own()?))?
                            $({ $($field: $field.own()?),+ })?
                            $(($($part.own()?),+))?
                    })+
                })
            }
        }

        forms! { $($rest)* }
    };
}
pub(super) use forms;

/// Whether a number that earlier versions did not write is absent.
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whether a choice that earlier versions did not write is absent.
pub(super) fn is_false(choice: &bool) -> bool {
    !*choice
}

/// What is written as it is.
macro_rules! plain {
    ($($plain:ty),+) => {$(
        impl Form<$plain> for $plain {
            fn of(own: &$plain) -> Self {
                *own
            }

            fn own(self) -> Result<$plain, WireError> {
                Ok(self)
            }
        }
    )+};
}
plain!(bool, u8, u16, u32, u64);

/// A number of the rotation.
macro_rules! numbers {
    ($($id:ident),+) => {$(
        impl Form<$id> for u16 {
            fn of(own: &$id) -> Self {
                own.0
            }

            fn own(self) -> Result<$id, WireError> {
                Ok($id(self))
            }
        }
    )+};
}
numbers!(ConsumerId, EndpointId, FileId, HostId);

impl Form<BystanderId> for u64 {
    fn of(own: &BystanderId) -> Self {
        own.0
    }

    fn own(self) -> Result<BystanderId, WireError> {
        Ok(BystanderId(self))
    }
}

impl Form<Arc<str>> for String {
    fn of(own: &Arc<str>) -> Self {
        own.to_string()
    }

    fn own(self) -> Result<Arc<str>, WireError> {
        Ok(self.into())
    }
}

impl Form<CredId> for String {
    fn of(own: &CredId) -> Self {
        own.as_str().to_owned()
    }

    fn own(self) -> Result<CredId, WireError> {
        Ok(CredId::new(&self))
    }
}

/// The bits of a set of kinds.
impl Form<Kinds> for u8 {
    fn of(own: &Kinds) -> Self {
        own.bits()
    }

    fn own(self) -> Result<Kinds, WireError> {
        Kinds::from_bits(self).ok_or(WireError::Unsound("a kind of evidence that does not exist"))
    }
}

impl<const COUNT: usize> Form<[Kinds; COUNT]> for [u8; COUNT] {
    fn of(own: &[Kinds; COUNT]) -> Self {
        own.map(Kinds::bits)
    }

    fn own(self) -> Result<[Kinds; COUNT], WireError> {
        let mut all = [Kinds::NONE; COUNT];
        for (kinds, bits) in all.iter_mut().zip(self) {
            *kinds = bits.own()?;
        }
        Ok(all)
    }
}

impl<Own, Each: Form<Own>> Form<Option<Own>> for Option<Each> {
    fn of(own: &Option<Own>) -> Self {
        own.as_ref().map(Each::of)
    }

    fn own(self) -> Result<Option<Own>, WireError> {
        self.map(Each::own).transpose()
    }
}

impl<Own, Each: Form<Own>> Form<Vec<Own>> for Vec<Each> {
    fn of(own: &Vec<Own>) -> Self {
        own.iter().map(Each::of).collect()
    }

    fn own(self) -> Result<Vec<Own>, WireError> {
        self.into_iter().map(Each::own).collect()
    }
}
