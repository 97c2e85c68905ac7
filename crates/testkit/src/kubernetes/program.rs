use std::path::PathBuf;

use crate::go_program::GoProgram;

/// The program that is Kubernetes, with etcd and kubectl: its first argument says which. Without the versions its API server
/// would say that it is 0.0.0.
const PROGRAM: GoProgram = GoProgram {
    name: "kubernetes",
    module: None,
    sources: &[
        ("main.go", include_str!("server/main.go")),
        ("go.mod", include_str!("server/go.mod")),
        ("go.sum", include_str!("server/go.sum")),
    ],
    linked: "-X k8s.io/component-base/version.gitVersion=v1.33.13 -X k8s.io/component-base/version.gitMajor=1 \
             -X k8s.io/component-base/version.gitMinor=33",
    package: None,
    beside: None,
};

/// The file of that program, built where it is not there yet.
pub(super) fn built() -> Result<PathBuf, String> {
    PROGRAM.built()
}
