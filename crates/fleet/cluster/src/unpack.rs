//! Secrets that stand within other objects: in the annotation of `kubectl apply`, and in a release of Helm.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_copy::{Entry, Format, Slot};
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use zlib_rs::{Inflate, InflateFlush, Status};

/// The largest release that is read, bytes.
const RELEASE_BYTES_MAX: usize = 32 << 20;

/// The header of a gzip file without a name or other fields (RFC 1952), as Helm writes it, bytes.
const GZIP_HEAD_BYTES: usize = 10;

/// What begins such a file: its mark, the method, no flags.
const GZIP: [u8; 4] = [0x1f, 0x8b, 8, 0];

/// A manifest of a Secret.
pub(crate) struct Manifest {
    /// The name of the Secret.
    pub(crate) name: String,
    /// Its values by their keys.
    pub(crate) data: Vec<(String, SecretBytes)>,
}

/// The parts of a release of Helm that may have values.
#[derive(Deserialize)]
struct Release {
    #[serde(default)]
    manifest: String,
    #[serde(default)]
    config: serde_json::Value,
}

/// The manifest of a Secret in a text; `None` if it is another object, or is not read.
pub(crate) fn manifest(text: &[u8], format: Format) -> Option<Manifest> {
    let entries = format.entries(text).ok()?;
    let at = |entry: &Entry| match &entry.slot {
        Slot::At(pointer) => pointer.steps().to_vec(),
        Slot::Whole | Slot::Variable(_) | Slot::Entry { .. } => Vec::new(),
    };
    let named = |wanted: &[&str]| {
        let entry = entries.iter().find(|entry| at(entry) == wanted)?;
        String::from_utf8(entry.value.as_ref().ok()?.expose().to_vec()).ok()
    };
    let name = named(&["kind"]).filter(|kind| kind == "Secret").and_then(|_| named(&["metadata", "name"]))?;
    let value = |entry: &Entry| {
        let steps = at(entry);
        let [field, key] = steps.as_slice() else { return None };
        let value = entry.value.as_ref().ok()?;
        match field.as_str() {
            "stringData" => Some((key.clone(), value.duplicate())),
            "data" => {
                Some((key.clone(), SecretBytes::new(STANDARD.decode(value.expose().trim_ascii()).ok()?)))
            }
            _ => None,
        }
    };
    Some(Manifest { name, data: entries.iter().filter_map(value).collect() })
}

/// The texts of a release of Helm that may have values: its manifests, and the values that it was given.
///
/// # Errors
/// Why it is not read.
pub(crate) fn release(data: &SecretBytes) -> Result<(SecretBytes, SecretBytes), &'static str> {
    let packed = STANDARD.decode(data.expose().trim_ascii()).map_err(|_| "it is not in base64")?;
    let text = SecretBytes::new(inflated(&packed)?);
    let Release { manifest, config } =
        serde_json::from_slice(text.expose()).map_err(|_| "it is not a release of Helm 3")?;
    Ok((SecretBytes::from(manifest), SecretBytes::from(config.to_string())))
}

/// The documents of a release's manifests.
pub(crate) fn documents(manifests: &SecretBytes) -> impl Iterator<Item = &str> {
    std::str::from_utf8(manifests.expose())
        .unwrap_or_default()
        .split("\n---")
        .map(|one| one.trim_start_matches("---"))
}

/// The name of a release, by that of its Secret: `shop v3` for `sh.helm.release.v1.shop.v3`.
pub(crate) fn release_name(secret: &str) -> String {
    let name = secret.strip_prefix("sh.helm.release.v1.").unwrap_or(secret);
    let numbered =
        Path::new(name).extension().and_then(|end| end.to_str()).filter(|end| end.starts_with('v'));
    match numbered.and_then(|end| name.strip_suffix(end)) {
        Some(before) => format!("{} {}", before.trim_end_matches('.'), numbered.unwrap_or_default()),
        None => name.to_owned(),
    }
}

fn inflated(packed: &[u8]) -> Result<Vec<u8>, &'static str> {
    let body = packed.strip_prefix(&GZIP).and_then(|_| packed.get(GZIP_HEAD_BYTES..));
    let mut rest = body.ok_or("it is not packed as Helm 3 does it")?;
    let mut inflate = Inflate::new(false, 15);
    let mut text = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(rest, &mut piece, InflateFlush::NoFlush)
            .map_err(|_| "its packed data are broken")?;
        let count = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
        let (read, written) = (count(inflate.total_in(), read), count(inflate.total_out(), written));
        text.extend_from_slice(piece.get(..written).unwrap_or_default());
        rest = rest.get(read..).unwrap_or_default();
        if status == Status::StreamEnd {
            return Ok(text);
        }
        if text.len() > RELEASE_BYTES_MAX {
            return Err("it is too large");
        }
        if read == 0 && written == 0 {
            return Err("its packed data are broken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gzip file with one stored block (RFC 1951), which needs no packing.
    fn stored(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        let mut all = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
        all.extend(length.to_le_bytes());
        all.extend((!length).to_le_bytes());
        all.extend(text.as_bytes());
        // The checksum and the length behind it are not needed.
        all.extend([0; 8]);
        all
    }

    #[test]
    fn the_values_of_a_manifest_are_read_in_both_spellings() {
        let value = keyroll_testkit::alphanumeric(20);
        let coded = STANDARD.encode(&value);
        let json = format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{{\"name\":\"x\"}},\"data\":{{\"k\":\"{coded}\"}}}}"
        );
        let yaml = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\nstringData:\n  k: {value}\n");
        for (text, format) in [(json, Format::Json), (yaml, Format::Yaml)] {
            let read = manifest(text.as_bytes(), format).unwrap();
            assert_eq!(read.name, "x");
            let data: Vec<_> = read.data.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
            assert_eq!(data, [("k", value.as_bytes())]);
        }
        assert!(manifest(b"kind: ConfigMap\nmetadata:\n  name: x\n", Format::Yaml).is_none());
    }

    #[test]
    fn a_release_is_unpacked_and_what_is_none_says_why() {
        let json = "{\"name\":\"shop\",\"manifest\":\"---\\nkind: Secret\\n\",\"config\":{\"a\":\"b\"},\"chart\":{}}";
        let packed = SecretBytes::from(STANDARD.encode(stored(json)));
        let (manifests, config) = release(&packed).ok().unwrap();
        assert_eq!(documents(&manifests).last().unwrap().trim(), "kind: Secret");
        assert_eq!(config.expose(), b"{\"a\":\"b\"}");
        for (bytes, why) in [
            (b"{}".to_vec(), "it is not packed as Helm 3 does it"),
            (stored("7"), "it is not a release of Helm 3"),
            (stored(json)[..30].to_vec(), "its packed data are broken"),
        ] {
            assert_eq!(release(&SecretBytes::from(STANDARD.encode(bytes))).err(), Some(why));
        }
        assert_eq!(release_name("sh.helm.release.v1.shop.v3"), "shop v3");
    }
}
