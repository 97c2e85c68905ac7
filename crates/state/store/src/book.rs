//! All rows of one secret, in memory, and the bytes that the sealing key vouches for.

use keyroll_port::{Label, MadeBy, RotationId, VersionInfo};
use keyroll_secret::CredentialId;

use crate::payload::Fingerprints;

/// One version with its sealed values.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) label: Label,
    pub(crate) credential: Option<String>,
    pub(crate) fingerprints: Fingerprints,
    /// `None` once retired.
    pub(crate) sealed: Option<Vec<u8>>,
    /// The value of a retired version, where the owner wants to search for it: sealed for searching alone.
    pub(crate) needle: Option<Vec<u8>>,
    /// The intent that made it; `None` for a version that was imported.
    pub(crate) from: Option<(String, u64)>,
    pub(crate) unix_ms: u64,
}

impl Version {
    pub(crate) fn info(&self) -> VersionInfo {
        VersionInfo {
            number: self.number,
            label: self.label,
            credential: self.credential.as_deref().map(CredentialId::new),
            fingerprints: self.fingerprints.clone(),
            made_by: self
                .from
                .as_ref()
                .map(|(rotation, intent)| MadeBy { rotation: RotationId(rotation.clone()), intent: *intent }),
            unix_ms: self.unix_ms,
        }
    }
}

/// A credential that was sealed under an intent.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) rotation: String,
    pub(crate) intent: u64,
    pub(crate) credential: Option<String>,
    pub(crate) fingerprints: Fingerprints,
    /// `None` once its version is retired: the row itself stays, so that a late repetition cannot bring the value back.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// Everything of one secret.
pub(crate) struct Book {
    pub(crate) name: String,
    /// Oldest first.
    pub(crate) versions: Vec<Version>,
    /// In the order of rotation and intent.
    pub(crate) kept: Vec<Kept>,
}

impl Book {
    pub(crate) fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    pub(crate) fn current(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.label == Label::Current)
    }

    pub(crate) fn kept(&self, rotation: &str, intent: u64) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.rotation == rotation && kept.intent == intent)
    }

    pub(crate) fn from(&self, rotation: &str, intent: u64) -> Option<&Version> {
        let from = |version: &&Version| {
            version.from.as_ref().is_some_and(|(its, number)| its == rotation && *number == intent)
        };
        self.versions.iter().find(from)
    }

    /// Whether one of these values is still sealed here.
    pub(crate) fn holds_any(&self, fingerprints: &Fingerprints) -> bool {
        let of_versions = self.versions.iter().filter(|it| it.sealed.is_some()).map(|it| &it.fingerprints);
        let of_kept = self.kept.iter().filter(|it| it.sealed.is_some()).map(|it| &it.fingerprints);
        let mut here = of_versions.chain(of_kept).flatten();
        here.any(|(_, here)| fingerprints.iter().any(|(_, wanted)| wanted == here))
    }

    /// All rows as bytes. Each part follows its own length, so that no two books give the same bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Parts(Vec::new());
        out.text("keyroll book v1").text(&self.name).number(self.versions.len() as u64);
        for version in &self.versions {
            let Version { number, label, credential, fingerprints, sealed, needle: _, from, unix_ms } =
                version;
            out.number(u64::from(*number)).text(label_word(*label)).optional(credential.as_deref());
            out.fingerprints(fingerprints).bytes_or_none(sealed.as_deref());
            let (rotation, intent) = from.as_ref().map_or(("", 0), |(its, intent)| (its.as_str(), *intent));
            out.number(u64::from(from.is_some())).text(rotation).number(intent).number(*unix_ms);
        }
        out.number(self.kept.len() as u64);
        for kept in &self.kept {
            let Kept { rotation, intent, credential, fingerprints, sealed } = kept;
            out.text(rotation).number(*intent).optional(credential.as_deref());
            out.fingerprints(fingerprints).bytes_or_none(sealed.as_deref());
        }
        // A book without needles has the same bytes as before needles existed.
        let needles = self.versions.iter().filter_map(|it| Some((it.number, it.needle.as_ref()?)));
        for (number, needle) in needles {
            out.text("needle").number(u64::from(number)).bytes(needle);
        }
        out.0
    }
}

/// The word for a label in the database.
pub(crate) fn label_word(label: Label) -> &'static str {
    match label {
        Label::Pending => "pending",
        Label::Current => "current",
        Label::Previous => "previous",
        Label::Retired => "retired",
    }
}

/// The label for a word.
pub(crate) fn label_of(word: &str) -> Option<Label> {
    [Label::Pending, Label::Current, Label::Previous, Label::Retired]
        .into_iter()
        .find(|label| label_word(*label) == word)
}

/// Bytes that are joined without ambiguity.
pub(crate) struct Parts(pub(crate) Vec<u8>);

impl Parts {
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn optional(&mut self, text: Option<&str>) -> &mut Self {
        self.bytes_or_none(text.map(str::as_bytes))
    }

    fn bytes_or_none(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        self.number(u64::from(bytes.is_some())).bytes(bytes.unwrap_or_default())
    }

    fn fingerprints(&mut self, fingerprints: &Fingerprints) -> &mut Self {
        self.number(fingerprints.len() as u64);
        for (name, fingerprint) in fingerprints {
            self.text(name).bytes(fingerprint.as_bytes());
        }
        self
    }
}
