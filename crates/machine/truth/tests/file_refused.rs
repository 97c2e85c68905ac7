//! Files that are not used, and writes of others at the same moment.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::Credential;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};

use crate::file_sample::{ENV, FORMS, Scene, try_open};
use crate::sample::{by, credential, failed, shown};

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}

/// The failure of each call, which is the same, and leaves nothing behind.
async fn refused(scene: &Scene) -> (Failure, Credential) {
    let (truth, new) = (scene.truth(), credential());
    let before = scene.names();
    let known = [&scene.old, &new];
    let read = failed(truth.current().await, &known);
    let staged = failed(truth.stage(&by(3), &scene.old, &new).await, &known);
    let given = failed(truth.give_out(&by(4), &scene.old, &new).await, &known);
    for other in [&staged, &given] {
        assert_eq!((other.code, other.class), (read.code, read.class), "{}", shown(other));
    }
    assert_eq!(scene.names(), before, "nothing was made");
    (read, new)
}

#[tokio::test]
async fn a_file_that_others_may_read_or_change_is_refused_before_anything_is_made() {
    for bits in [0o640, 0o604, 0o620, 0o602, 0o610, 0o666] {
        let scene = Scene::new(ENV);
        mode(&scene.path(), bits);
        let (failure, _) = refused(&scene).await;
        assert_eq!((failure.code.as_str(), failure.class), ("K0641", Class::Permanent), "{bits:o}");
        let help = format!("chmod 600 {}", scene.path().display());
        assert_eq!(failure.help.as_deref(), Some(help.as_str()));
        mode(&scene.path(), 0o600);
        scene.truth().current().await.unwrap();
    }
    let scene = Scene::new(ENV);
    mode(&scene.path(), 0o400);
    let new = credential();
    scene.truth().give_out(&by(3), &scene.old, &new).await.unwrap();
    assert_eq!(fs::metadata(scene.path()).unwrap().mode() & 0o7777, 0o400, "it keeps its mode");
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let fifo = Scene::new(ENV);
    fs::remove_file(fifo.path()).unwrap();
    mknodat(CWD, fifo.path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let folder = Scene::new(ENV);
    fs::remove_file(folder.path()).unwrap();
    fs::create_dir(folder.path()).unwrap();
    let absent = Scene::new(ENV);
    fs::remove_file(absent.path()).unwrap();
    let dangling = Scene::new(ENV);
    fs::remove_file(dangling.path()).unwrap();
    symlink("nowhere", dangling.path()).unwrap();
    for (scene, what) in [(fifo, "FIFO"), (folder, "directory"), (absent, "No such"), (dangling, "No such")] {
        let (failure, _) = refused(&scene).await;
        assert_eq!((failure.code.as_str(), failure.class), ("K0642", Class::Permanent), "{what}");
        assert!(shown(&failure).contains(what), "{}", shown(&failure));
    }
}

#[tokio::test]
async fn a_place_that_the_file_does_not_have_once_is_refused() {
    for (form, text) in [
        (ENV, "OTHER=canary0017\n"),
        (FORMS[3], "{\"a\": {\"KEY\": 7}}"),
        (FORMS[3], "{\"a\": {\"KEY\": \"canary0017\", \"KEY\": \"x\"}}"),
        (FORMS[3], "canary0017"),
        (FORMS[6], "[a]\nKEY = 7\n"),
    ] {
        let scene = Scene::new(form);
        scene.becomes(text);
        let (failure, _) = refused(&scene).await;
        assert_eq!((failure.code.as_str(), failure.class), ("K0642", Class::Permanent), "{text}");
        assert!(failure.help.is_some() && !shown(&failure).contains("canary001"), "{}", shown(&failure));
    }
    let scene = Scene::new(FORMS[3]);
    for (path, at) in [
        (scene.path().with_extension("ini"), Some("KEY")),
        (Path::new("agents.json").to_owned(), Some("/KEY")),
    ] {
        let failure = try_open(&path, at).err().unwrap();
        assert_eq!((failure.code.as_str(), failure.class), ("K0642", Class::Permanent), "{at:?}");
    }
}

#[tokio::test]
async fn a_link_stays_and_one_that_was_changed_is_refused() {
    let scene = Scene::new(ENV);
    let (real, other) = (scene.folder.path().join("real.env"), scene.folder.path().join("other.env"));
    fs::rename(scene.path(), &real).unwrap();
    symlink("real.env", scene.path()).unwrap();
    let (truth, new) = (scene.truth(), credential());
    assert!(truth.name().contains("real.env"), "a plan records where the link leads: {}", truth.name());
    truth.give_out(&by(3), &scene.old, &new).await.unwrap();
    assert!(fs::symlink_metadata(scene.path()).unwrap().is_symlink() && scene.gives(&new));
    fs::copy(&real, &other).unwrap();
    fs::remove_file(scene.path()).unwrap();
    symlink("other.env", scene.path()).unwrap();
    let failure = failed(truth.give_out(&by(4), &new, &scene.old).await, &[&scene.old, &new]);
    assert_eq!((failure.code.as_str(), failure.class), ("K0642", Class::Permanent));
    assert!(scene.gives(&new), "nothing was written by the other way");
    assert_ne!(scene.truth().name(), truth.name(), "a later process notices it by the plan");
}

#[tokio::test]
async fn each_content_has_an_id_of_its_own_that_says_nothing_about_the_value() {
    let scene = Scene::new(ENV);
    let (truth, new) = (scene.truth(), credential());
    let first = truth.current().await.unwrap();
    truth.give_out(&by(3), &scene.old, &new).await.unwrap();
    let second = truth.current().await.unwrap();
    truth.give_out(&by(3), &new, &scene.old).await.unwrap();
    let third = truth.current().await.unwrap();
    assert!(first.id != second.id && second.id != third.id, "{} {} {}", first.id, second.id, third.id);
    let listed = truth.versions().await.unwrap();
    assert_eq!(
        (listed.len(), &listed[0].id, listed[0].labels.join(" ")),
        (1, &third.id, "current".to_owned())
    );
    assert!(third.unix_ms >= first.unix_ms && third.unix_ms.is_some());
}

#[tokio::test]
async fn a_folder_in_which_nothing_can_be_made_is_refused_before_anything_is_made() {
    let scene = Scene::new(ENV);
    let elsewhere = scene.folder.path().join("second name");
    fs::hard_link(scene.path(), &elsewhere).unwrap();
    let (truth, new) = (scene.truth(), credential());
    let failure = failed(truth.stage(&by(3), &scene.old, &new).await, &[&scene.old, &new]);
    assert_eq!((failure.code.as_str(), failure.class), ("K0642", Class::Permanent));
    assert!(!shown(&failure).contains("in_place"), "a store has no such setting: {}", shown(&failure));
    fs::remove_file(elsewhere).unwrap();
    truth.stage(&by(3), &scene.old, &new).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_write_left_beside_the_file_is_removed() {
    let left = ".keyroll-0190-7-truth";
    let scene = Scene::new(ENV);
    let (truth, new) = (scene.truth(), credential());
    let leaves = || fs::write(scene.folder.path().join(left), "KEY=canary0017").unwrap();
    let is_left = || scene.names().iter().any(|name| name == left);
    leaves();
    truth.give_out(&by(3), &scene.old, &new).await.unwrap();
    assert!(!is_left() && scene.gives(&new), "by the write");
    leaves();
    truth.give_out(&by(3), &scene.old, &new).await.unwrap();
    assert!(!is_left(), "by the repetition");
    leaves();
    truth.withdraw(&by(9)).await.unwrap();
    assert!(!is_left(), "by the withdrawal, which another step asks for");
    assert_eq!(scene.names().len(), 1);
}

#[tokio::test]
async fn two_do_not_write_into_one_file_at_once() {
    let scene = Scene::new(ENV);
    let (truth, new) = (scene.truth(), credential());
    let file = fs::File::open(scene.path()).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    for outcome in
        [truth.stage(&by(3), &scene.old, &new).await, truth.give_out(&by(3), &scene.old, &new).await]
    {
        let failure = failed(outcome, &[&scene.old, &new]);
        assert_eq!((failure.code.as_str(), failure.class), ("K0640", Class::Retryable));
    }
    flock(&file, FlockOperation::Unlock).unwrap();
    truth.give_out(&by(3), &scene.old, &new).await.unwrap();
    assert!(scene.gives(&new));
}

#[tokio::test]
async fn a_value_that_others_wrote_meanwhile_stays() {
    let scene = Scene::new(ENV);
    let (truth, new, theirs) = (scene.truth(), credential(), credential());
    truth.stage(&by(3), &scene.old, &new).await.unwrap();
    scene.holds(&theirs);
    let failure = failed(truth.give_out(&by(4), &scene.old, &new).await, &[&scene.old, &new, &theirs]);
    assert_eq!((failure.class, failure.kind), (Class::Permanent, FailureKind::ChangedElsewhere));
    assert!(scene.gives(&theirs));
}
