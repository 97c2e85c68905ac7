/// One part of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// Whether its bytes must be kept from sight.
    pub secret: bool,
}
