//! A host without a consumer of the secret is searched by fingerprints.

use std::fs;
use std::process::{Child, Command};

use keyroll_host::prints_of;
use keyroll_link::{Order, Reply, SearchFor, SearchOrder, SessionsForm, WhichForm};
use keyroll_port::Values;
use keyroll_rotation::Visibility;
use keyroll_secret::{Fields, SecretBytes};

use crate::rotation::{Scene, is_in};

/// A process that is ended with the test.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn search(value: &str, wants: SearchFor) -> Order {
    let old = Fields::single(SecretBytes::from(value.to_owned()));
    let made = prints_of(Values { old: &old, new: None, old_ended: false }).unwrap();
    assert!(made.missed.is_empty(), "{:?}", made.missed);
    let prints = String::from_utf8(made.set.to_bytes().to_vec()).unwrap();
    let sessions = SessionsForm { old: None, new: None };
    Order::Search(Box::new(SearchOrder { prints, sessions, wants }))
}

#[test]
fn a_forgotten_process_and_a_copy_are_found_on_a_host_that_knows_no_value() {
    let value = keyroll_testkit::alphanumeric(60);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::write(root.join("left.env"), format!("ACME_KEY={value}\n")).unwrap();
    let holder = Holder(Command::new("sleep").arg("1000").env("ACME_KEY", &value).spawn().unwrap());
    let scene = Scene::new();
    let mut host = scene.connect();
    host.open.changes = false;
    let roots = root.display();
    host.open.config = format!(
        "version = 1\n[search]\nroots = [\"{roots}\"]\n[secrets.acme]\nissuer = \"file:./acme.toml\"\n\
         admin = \"file:./admin.key\"\n"
    );
    // Only consumers need the folder.
    host.open.folder.push_str("/none");
    assert_eq!(host.opens(), Reply::Opened { files: Vec::new() });
    let Reply::Looked(looked) = host.driver.order(search(&value, SearchFor::Look(WhichForm::New))) else {
        panic!("it does not look")
    };
    let looked = looked.into_port().unwrap();
    let found = looked.enumeration.instances.iter().find(|one| one.who.pid() == Some(holder.0.id())).unwrap();
    assert_eq!((found.consumer, found.old), (None, Visibility::Yes));
    assert!(looked.enumeration.files.is_empty());
    let copy = root.join("left.env").display().to_string();
    assert!(looked.names.iter().any(|named| named.name == copy), "{:?}", looked.names);

    let Reply::Surveyed(survey) = host.driver.order(search(&value, SearchFor::Plan)) else {
        panic!("it does not survey")
    };
    let survey = survey.into_port().unwrap();
    assert!(survey.holders.iter().any(|one| one.pid == Some(holder.0.id())), "{:?}", survey.holders);
    let Reply::Swept(swept) = host.driver.order(search(&value, SearchFor::Sweep)) else {
        panic!("it does not sweep")
    };
    assert!(swept.into_port().unwrap().residues.iter().any(|one| one.place == copy));
    let other = search(&keyroll_testkit::alphanumeric(60), SearchFor::Look(WhichForm::New));
    let Reply::Looked(looked) = host.driver.order(other) else { panic!("it does not look") };
    assert!(looked.names.is_empty() && looked.enumeration.instances.is_empty(), "{looked:?}");
    let said = host.driver.end();
    assert!(!is_in(&said, &value));
}

#[test]
fn a_host_with_a_consumer_is_not_searched_by_fingerprints() {
    let scene = Scene::new();
    let mut host = scene.opened(1, 1);
    let reply = host.driver.order(search(&keyroll_testkit::alphanumeric(60), SearchFor::Sweep));
    let Reply::Failed(failure) = reply else { panic!("it is no failure: {reply:?}") };
    assert_eq!(failure.code, "K0801");
    host.driver.end();
}
