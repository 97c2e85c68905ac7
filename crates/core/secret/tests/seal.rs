//! Sealing: a sealed record opens in its own place under its own key, and nowhere else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use keyroll_secret::{
    Binding, Fields, FieldsError, KeyFile, KeyFileError, SealError, SealingKey, SecretBytes, WrapError,
    Wrapped, Wrapping,
};
use proptest::prelude::*;
use zeroize::Zeroizing;

fn key(byte: u8) -> SealingKey {
    SealingKey::from_bytes(Zeroizing::new([byte; SealingKey::BYTES]))
}

fn load(path: &std::path::Path) -> Result<SealingKey, KeyFileError> {
    match KeyFile::load(path)? {
        KeyFile::Bare(key) => Ok(key),
        KeyFile::Wrapped(_) => Err(KeyFileError::NotAKey(path.to_owned())),
    }
}

fn error<T>(result: Result<T, SealError>) -> SealError {
    result.err().expect("an error")
}

#[test]
fn every_altered_byte_is_refused() {
    let sealed = key(1).seal(b"place", b"a value of some length").expect("seal");
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut altered = sealed.clone();
            altered[index] ^= 1 << bit;
            let error = error(key(1).open(b"place", &altered));
            match index {
                0 => assert!(matches!(error, SealError::UnknownVersion(_))),
                1..9 => assert!(matches!(error, SealError::OtherKey { .. })),
                _ => assert_eq!(error, SealError::Altered, "byte {index}"),
            }
        }
    }
}

#[test]
fn every_cut_and_every_added_byte_is_refused() {
    let sealed = key(1).seal(b"place", b"value").expect("seal");
    for length in 0..sealed.len() {
        assert!(key(1).open(b"place", &sealed[..length]).is_err(), "cut to {length}");
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    assert_eq!(error(key(1).open(b"place", &longer)), SealError::Altered);
}

#[test]
fn a_row_moved_to_another_place_is_refused() {
    let places = [("t", "openai", "1"), ("t", "openai", "2"), ("t", "openai1", ""), ("to", "penai", "1")];
    let aads = places.map(|(tenant, secret, version)| Binding { tenant, secret, version }.to_aad());
    for (home, aad) in aads.iter().enumerate() {
        let sealed = key(1).seal(aad, b"value").expect("seal");
        for (place, aad) in aads.iter().enumerate() {
            assert_eq!(key(1).open(aad, &sealed).is_ok(), home == place, "{home} in {place}");
        }
    }
}

#[test]
fn another_key_is_named_and_refused() {
    let sealed = key(1).seal(b"", b"value").expect("seal");
    let expected =
        SealError::OtherKey { sealed_under: key(1).kid().expect("kid"), this: key(2).kid().expect("kid") };
    assert_eq!(error(key(2).open(b"", &sealed)), expected);
}

#[test]
fn another_key_under_a_forged_id_fails_the_commitment() {
    let mut sealed = key(1).seal(b"", b"value").expect("seal");
    sealed[1..9].copy_from_slice(key(2).kid().expect("kid").as_bytes());
    assert_eq!(error(key(2).open(b"", &sealed)), SealError::Altered);
}

#[test]
fn the_same_value_is_never_sealed_the_same_way_and_is_not_visible() {
    let value = b"sk-0123456789abcdef";
    let (one, two) = (key(1).seal(b"", value).expect("seal"), key(1).seal(b"", value).expect("seal"));
    assert_ne!(one, two);
    assert!(!one.windows(8).any(|window| value.windows(8).any(|part| part == window)));
}

#[test]
fn the_form_of_the_first_version_is_kept() {
    // A stored record of form 1: it must open for as long as form 1 is read.
    let sealed = include_bytes!("fixtures/sealed_v1.bin");
    assert_eq!(key(7).open(b"fixture", sealed).expect("open").expose(), b"a kept value");
}

#[test]
fn keys_of_different_uses_differ() {
    let fingerprint = key(1).fingerprint_key().expect("key").fingerprint(&SecretBytes::new(b"v".to_vec()));
    let other = key(2).fingerprint_key().expect("key").fingerprint(&SecretBytes::new(b"v".to_vec()));
    assert_ne!(fingerprint, other);
    let identity =
        |number| key(number).identity_key().expect("key").fingerprint(&SecretBytes::new(b"v".to_vec()));
    assert!(identity(1) == identity(1) && identity(1) != identity(2) && identity(1) != fingerprint);
    assert_ne!(key(1).kid().expect("kid"), key(2).kid().expect("kid"));
    assert_eq!(key(1).kid().expect("kid").to_string().len(), 16);
}

#[test]
fn a_created_key_is_private_and_loads_again() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("sealing.key");
    let created = SealingKey::create(&path).expect("create");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o7777, 0o600);
    let loaded = load(&path).expect("load");
    assert_eq!(created.kid(), loaded.kid());
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1, "no temporary file stays");
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("sealing.key");
    let first = SealingKey::create(&path).expect("create");
    assert!(matches!(SealingKey::create(&path), Err(KeyFileError::Exists(_))));
    assert_eq!(load(&path).expect("load").kid(), first.kid());
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1, "no temporary file stays");
}

#[test]
fn a_file_that_others_may_use_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("sealing.key");
    SealingKey::create(&path).expect("create");
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o660, 0o666] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        assert!(matches!(load(&path), Err(KeyFileError::Open { .. })), "{mode:o}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).expect("chmod");
    assert!(load(&path).is_ok());
}

#[test]
fn what_is_not_a_key_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    assert!(matches!(load(folder.path()), Err(KeyFileError::NotAKey(_))));
    assert!(matches!(load(&folder.path().join("none")), Err(KeyFileError::Io { .. })));
    for length in [0, 31, 33] {
        let path = folder.path().join(length.to_string());
        fs::write(&path, vec![0; length]).expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        assert!(matches!(load(&path), Err(KeyFileError::NotAKey(_))), "{length} bytes");
    }
}

#[test]
fn a_pipe_in_the_keys_place_is_refused_without_waiting() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    assert!(matches!(load(&path), Err(KeyFileError::NotAKey(_))));
}

#[test]
fn fields_in_a_foreign_form_are_refused() {
    let mut fields = Fields::new();
    fields.insert("password", SecretBytes::new(b"pw".to_vec()), true);
    fields.insert("user", SecretBytes::new(b"u".to_vec()), false);
    let encoded = fields.encode();
    let bytes = encoded.expose();
    assert_eq!(Fields::decode(&[]).err(), Some(FieldsError::Truncated));
    assert_eq!(Fields::decode(&[2]).err(), Some(FieldsError::UnknownVersion(2)));
    for length in 1..bytes.len() {
        assert_eq!(Fields::decode(&bytes[..length]).err(), Some(FieldsError::Truncated), "cut to {length}");
    }
    assert_eq!(Fields::decode(&[bytes, b"x"].concat()).err(), Some(FieldsError::Trailing));
    let flag = 1 + 8 + 8 + "password".len();
    let mut altered = bytes.to_vec();
    altered[flag] = 2;
    assert_eq!(Fields::decode(&altered).err(), Some(FieldsError::Malformed));
    let mut huge = bytes.to_vec();
    huge[1..9].fill(0xff);
    assert_eq!(Fields::decode(&huge).err(), Some(FieldsError::Truncated));
}

proptest! {
    #[test]
    fn what_was_sealed_opens(aad: Vec<u8>, value: Vec<u8>, bytes: [u8; 32]) {
        let key = SealingKey::from_bytes(Zeroizing::new(bytes));
        let sealed = key.seal(&aad, &value).expect("seal");
        let opened = key.open(&aad, &sealed).expect("open");
        prop_assert_eq!(opened.expose(), value.as_slice());
    }

    #[test]
    fn foreign_bytes_never_open(aad: Vec<u8>, mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(key(1).open(&aad, &bytes).is_err());
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        if let Some(kid) = bytes.get_mut(1..9) {
            kid.copy_from_slice(key(1).kid().expect("kid").as_bytes());
        }
        prop_assert!(key(1).open(&aad, &bytes).is_err());
    }

    #[test]
    fn fields_come_back_as_they_were(given: std::collections::BTreeMap<String, (Vec<u8>, bool)>) {
        let mut fields = Fields::new();
        for (name, (value, secret)) in &given {
            fields.insert(name.as_str(), SecretBytes::new(value.clone()), *secret);
        }
        let decoded = Fields::decode(fields.encode().expose()).expect("decode");
        let back: std::collections::BTreeMap<_, _> = decoded
            .iter()
            .map(|(name, field)| (name.to_owned(), (field.value.expose().to_vec(), field.secret)))
            .collect();
        prop_assert_eq!(back, given);
    }

    #[test]
    fn foreign_bytes_never_panic_as_fields(bytes: Vec<u8>) {
        if let Ok(fields) = Fields::decode(&bytes) {
            let encoded = fields.encode();
            prop_assert_eq!(encoded.expose(), bytes.as_slice());
        }
    }
}

fn wrapped(folder: &std::path::Path) -> Option<Wrapped> {
    match KeyFile::load(&folder.join("key")) {
        Ok(KeyFile::Wrapped(wrapped)) => Some(wrapped),
        Ok(KeyFile::Bare(_)) | Err(_) => None,
    }
}

#[test]
fn a_wrapped_key_is_the_same_key_and_opens_with_what_it_was_wrapped_with_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    let first = SealingKey::create(&path).expect("create");
    let (long, other) = (SecretBytes::new(vec![5; 40]), SecretBytes::new(vec![6; 40]));
    for (source, right, wrong) in [
        ("file:/media/stick/key", Wrapping::Key(&long), [Wrapping::Key(&other), Wrapping::Passphrase(&long)]),
        ("passphrase", Wrapping::Passphrase(&long), [Wrapping::Passphrase(&other), Wrapping::Key(&long)]),
    ] {
        let wrap = Wrapped::seal(&first, source, &right).expect("wrap");
        let staged = KeyFile::Wrapped(wrap).stage(&path).expect("stage");
        assert!(matches!(KeyFile::load(staged.path()), Ok(KeyFile::Wrapped(_))));
        staged.commit().expect("commit");
        let back = wrapped(folder.path()).expect("a wrapped key");
        assert_eq!(back.source(), source);
        let opened = back.open(&right).expect("open");
        assert_eq!(opened.kid(), first.kid());
        let (one, same) = (first.fingerprint_key().expect("key"), opened.fingerprint_key().expect("key"));
        assert!(one.fingerprint(&long) == same.fingerprint(&long), "fingerprints stay");
        for wrong in &wrong {
            assert!(matches!(back.open(wrong), Err(WrapError::Other)), "{source}");
        }
        let text = fs::read_to_string(&path).expect("the file");
        // Every byte of it is bound: an altered or truncated file is refused.
        let step = if source == "passphrase" { 53 } else { 1 };
        for index in (0..text.len()).step_by(step) {
            let mut altered = text.clone().into_bytes();
            altered[index] ^= 1;
            fs::write(&path, &altered).expect("write");
            let opened = wrapped(folder.path()).map(|wrapped| wrapped.open(&right).is_ok());
            assert!(matches!(opened, None | Some(false)), "byte {index} of {source}");
        }
        fs::write(&path, &text[..text.len() - 9]).expect("write");
        assert!(wrapped(folder.path()).is_none_or(|wrapped| wrapped.open(&right).is_err()));
        fs::write(&path, &text).expect("write");
    }
    let short = SecretBytes::new(vec![1; 31]);
    assert!(matches!(Wrapped::seal(&first, "file:/x", &Wrapping::Key(&short)), Err(WrapError::TooShort)));
    assert!(matches!(Wrapped::seal(&first, "a\nb", &Wrapping::Key(&long)), Err(WrapError::Malformed)));
}

#[test]
fn a_key_that_is_not_put_in_place_leaves_the_old_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    let first = SealingKey::create(&path).expect("create");
    let other = SealingKey::generate().expect("a key");
    fs::write(folder.path().join("key.new"), "of an attempt that died").expect("write");
    drop(KeyFile::Bare(other).stage(&path).expect("stage"));
    assert_eq!(load(&path).expect("load").kid(), first.kid());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("link");
    let wrap = Wrapped::seal(&first, "fd", &Wrapping::Key(&SecretBytes::new(vec![3; 32]))).expect("wrap");
    KeyFile::Wrapped(wrap).stage(&link).expect("stage").commit().expect("commit");
    assert!(link.is_symlink() && wrapped(folder.path()).is_some(), "the file behind the link is replaced");
}
