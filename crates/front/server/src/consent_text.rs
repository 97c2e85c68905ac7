//! The text of a consent.

/// What the consent of one who decides alone must say: the rotation, and the waivers that it counts for.
pub(crate) fn consent_text(id: &str, waived: &[String]) -> String {
    if waived.is_empty() {
        return id.to_owned();
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, waived.join(" ").as_bytes());
    let short: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{id}/{short}")
}
