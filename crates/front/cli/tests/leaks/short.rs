//! Values that are too short to be searched for.

use std::fs;

use keyroll_port::{RotationId, Staging as _, Store as _};
use keyroll_secret::{Credential, CredentialId, Fields, KeyFile, SecretBytes};
use keyroll_store::SealedStore;
use keyroll_testkit::alphanumeric;
use tokio::runtime::Runtime;

use crate::kept::{err, kept, out, run};

/// Replaces the value that a folder keeps by this one, and retires it as its owner wants it to be known.
fn replaced(folder: &std::path::Path, keep: bool, value: &str) {
    let KeyFile::Bare(key) = KeyFile::load(&folder.join("s.keys/sealing.key")).unwrap() else {
        panic!("bare")
    };
    let store = SealedStore::open(&folder.join("s"), key).unwrap();
    let store = if keep { store.keeping("acme") } else { store };
    let mut fields = Fields::new();
    fields.insert("value", SecretBytes::from(value.to_owned()), true);
    let next = Credential { id: Some(CredentialId::new("key-2")), fields };
    let rotation = RotationId("0190-1".to_owned());
    Runtime::new().unwrap().block_on(async {
        store.keep("acme", &rotation, 1, &next).await.unwrap();
        let number = store.put_pending("acme", &rotation, 1, &next).await.unwrap();
        store.promote("acme", 1, number).await.unwrap();
        store.retire("acme", 1).await.unwrap();
    });
}

#[test]
fn one_that_was_retired_is_known_again_where_a_rule_finds_it_kept_or_not() {
    for keep in [false, true] {
        let (first, second) = (alphanumeric(6), alphanumeric(7));
        let folder = kept(&first);
        let path = folder.path();
        replaced(path, keep, &second);
        fs::create_dir(path.join("tree")).unwrap();
        fs::write(path.join("tree/a"), format!("pin={first}\npin={second}\n")).unwrap();
        let rule = "[[rules]]\nid = 'pin'\nregex = 'pin=([A-Za-z0-9]{6,7})'\nkeywords = ['pin=']\n";
        fs::write(path.join("rules.toml"), rule).unwrap();
        let found = run(path, &["leaks", "--rules", "rules.toml", "tree"], b"");
        let line = |with: &str| {
            let shown = out(&found);
            let line = shown.lines().find(|line| line.contains(with)).map(str::to_owned);
            line.unwrap_or_else(|| panic!("{keep}: {with}: {shown}{}", err(&found)))
        };
        let (retired, live) = (line("acme v1 (retired)"), line("acme v2 (current)"));
        assert!(retired.contains("tree/a:1:5"), "{retired}");
        assert!(live.contains("live") && live.contains("tree/a:2:5"), "{live}");
        assert!(err(&found).contains("so it is not searched for"), "{}", err(&found));
    }
}
