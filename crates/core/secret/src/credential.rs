use std::collections::BTreeMap;
use std::fmt;

use crate::SecretBytes;

/// The id of one credential at its issuer; an id is not a secret, but it is never guessed from a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId(String);

impl CredentialId {
    /// Wraps the issuer's own id.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One field of a credential: a password is secret, a host name is not.
pub struct Field {
    /// The field's bytes.
    pub value: SecretBytes,
    /// Whether the bytes must be kept from sight; `false` for a user or host name.
    pub secret: bool,
}

/// The named fields of one version, in the order of their names.
#[derive(Default)]
pub struct Fields(BTreeMap<String, Field>);

impl Fields {
    /// No fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fields with a single secret, named `value`.
    pub fn single(value: SecretBytes) -> Self {
        let mut fields = Self::new();
        fields.insert("value", value, true);
        fields
    }

    /// Adds or replaces one field.
    pub fn insert(&mut self, name: impl Into<String>, value: SecretBytes, secret: bool) {
        self.0.insert(name.into(), Field { value, secret });
    }

    /// One field by name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.get(name)
    }

    /// All fields by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.0.iter().map(|(name, field)| (name.as_str(), field))
    }

    /// The fields that are secret.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &SecretBytes)> {
        self.iter().filter(|(_, field)| field.secret).map(|(name, field)| (name, &field.value))
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        let copy = |field: &Field| Field { value: field.value.duplicate(), secret: field.secret };
        Self(self.0.iter().map(|(name, field)| (name.clone(), copy(field))).collect())
    }
}

/// The fields of one version, with the issuer's id where it is known.
pub struct Credential {
    /// The issuer's id; `None` until it is bound.
    pub id: Option<CredentialId>,
    /// The values.
    pub fields: Fields,
}

impl Credential {
    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self { id: self.id.clone(), fields: self.fields.duplicate() }
    }
}
