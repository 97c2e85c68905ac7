/// One part of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// Whether its bytes are secret.
    pub secret: bool,
}
