use aws_lc_rs::digest::{Context, SHA256};
use keyroll_port::MadeBy;

/// The id of the version that an intent makes from a base. Whoever repeats the attempt, and whoever looks for its
/// outcome, finds the same version: AWS takes the client's token as the id.
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>, `ClientRequestToken`.
pub(super) fn version_id(by: &MadeBy, base: &str) -> String {
    let intent = by.intent.to_string();
    let mut digest = Context::new(&SHA256);
    for part in ["keyroll", &by.rotation.0, &intent, base] {
        // With its length: no two lists of parts give one text.
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let digest = digest.finish();
    let bytes = digest.as_ref().first_chunk::<16>().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keyroll_port::RotationId;

    use super::*;

    #[test]
    fn each_intent_and_base_has_an_id_of_its_own() {
        let by = |rotation: &str, intent| MadeBy { rotation: RotationId(rotation.to_owned()), intent };
        let ids = BTreeSet::from([
            version_id(&by("0190-1", 4), "base"),
            version_id(&by("0190-1", 5), "base"),
            version_id(&by("0190-2", 4), "base"),
            version_id(&by("0190-1", 4), "base2"),
            version_id(&by("0190-14", 4), "base"),
            version_id(&by("0190-1", 44), "base"),
        ]);
        assert_eq!(ids.len(), 6);
        assert_eq!(version_id(&by("0190-1", 4), "base"), version_id(&by("0190-1", 4), "base"));
        // AWS takes tokens of 32 to 64 characters.
        assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
    }
}
