/// The SCRAM verifier of a password, as `ALTER ROLE … PASSWORD` takes it: neither the server nor its log sees the
/// password itself.
pub fn scram_verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}
