//! The names of things in a Kubernetes cluster. Source:
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.

/// The longest name of a context, bytes.
pub(crate) const CONTEXT_BYTES_MAX: usize = 512;
/// The longest label of a DNS name, bytes (RFC 1123).
pub(crate) const LABEL_BYTES_MAX: usize = 63;
/// The longest name of a workload or a Secret, and the longest key of a Secret, bytes.
pub(crate) const NAME_BYTES_MAX: usize = 253;

/// Whether it is a label of a DNS name (RFC 1123), as the names of namespaces and containers are.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= LABEL_BYTES_MAX && is_part(text)
}

/// A DNS subdomain (RFC 1123), as the names of workloads and Secrets are.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX && text.split('.').all(is_part)
}

/// A key of a Secret, as the API of a cluster takes it: it becomes the name of a file. Source:
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data>.
pub(crate) fn is_key(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
    fits && text != "." && !text.starts_with("..")
}

/// Whether it has lower-case letters, digits and `-`, and neither begins nor ends with `-`.
fn is_part(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(allowed)
}
