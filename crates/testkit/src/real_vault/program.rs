use std::path::PathBuf;

use crate::go_program::GoProgram;

/// The program that is Vault.
const PROGRAM: GoProgram = GoProgram {
    name: "vault",
    module: None,
    sources: &[
        ("main.go", include_str!("../vault/server/main.go")),
        ("go.mod", include_str!("../vault/server/go.mod")),
        ("go.sum", include_str!("../vault/server/go.sum")),
    ],
    linked: "",
    package: None,
    beside: None,
};

/// The file of that program, built where it is not there yet.
pub(super) fn built() -> Result<PathBuf, String> {
    PROGRAM.built()
}
