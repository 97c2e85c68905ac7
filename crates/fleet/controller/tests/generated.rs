//! The definition that is shipped is the one of the types. `cargo xtask codegen` writes it anew.

use std::path::Path;

use keyroll_controller::crd;
use serde_json::Value;

/// The longest file: the API server takes an object of 1 MiB, and `kubectl apply` notes the whole object in an annotation of
/// 256 KiB.
const BYTES_MAX: usize = 200 * 1_024;

#[test]
#[expect(clippy::disallowed_methods, reason = "a generated file is written anew if that is asked for")]
fn the_definition_is_current() {
    let head = "# Generated from crates/fleet/controller/src/crd.rs: cargo xtask codegen\n";
    let wanted = format!("{head}{}", serde_saphyr::to_string(&crd()).unwrap());
    assert!(wanted.len() < BYTES_MAX, "{} bytes", wanted.len());
    let read: Value = serde_saphyr::from_str(&wanted).unwrap();
    assert!(read == crd(), "the YAML says something else");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/kubernetes/base/crd.yaml");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "deploy/kubernetes/base/crd.yaml is not current: cargo xtask codegen");
}
