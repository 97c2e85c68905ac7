//! Files are read beside each other, within limits, and one that does not answer stops none of the others.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyroll_observe::{Choice, FileLimits, Kind, Look, look_at_files, read_regular};

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn a_file_that_does_not_answer_is_left_behind_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..200 {
        std::fs::write(folder.path().join(format!("{number}")), "x").expect("a file");
    }
    let over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&over);
    // Two of them, so that every thread is stuck once.
    let look: Look<()> = Look::new(move |path, _| {
        while matches!(name(path).as_str(), "7" | "150") && !end.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let limits = FileLimits { step: Duration::from_millis(1500), ..FileLimits::default() };
    let mut seen = BTreeSet::new();
    let report =
        look_at_files(&[folder.path().into()], |_, _| Choice::Look, limits, look, &mut |path, ()| {
            assert!(seen.insert(name(path)), "each file once");
        });
    over.store(true, Ordering::SeqCst);
    let left: BTreeSet<String> = report.not_searched.iter().map(|one| name(&one.path)).collect();
    assert!(left.contains("7") && left.contains("150"), "{left:?}");
    assert_eq!((seen.len() + left.len(), report.files), (200, seen.len()), "{left:?}");
    assert!(report.not_searched.iter().all(|one| one.reason.contains("did not answer")));
}

#[test]
fn what_is_chosen_is_read_and_what_is_left_out_is_counted() {
    fn choose(path: &Path, kind: Kind) -> Choice {
        match (kind, name(path).as_str()) {
            (Kind::Folder, "installed") => Choice::LeaveOut("installed"),
            (Kind::File, "pass") => Choice::Pass,
            (Kind::File, "named") => Choice::Name("not opened"),
            (Kind::File | Kind::Folder, _) => Choice::Look,
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().canonicalize().expect("a path").join(path);
    for below in ["installed", "one/installed", "one/two"] {
        std::fs::create_dir_all(at(below)).expect("a folder");
        for file in ["pass", "named", "look"] {
            std::fs::write(at(below).join(file), below).expect("a file");
        }
    }
    // A second name of one file is a copy of its own; a root below another one is no second visit.
    std::fs::hard_link(at("one/two/look"), at("one/again")).expect("a link");
    let look: Look<Vec<u8>> = Look::new(|_, bytes| bytes.to_vec());
    let mut seen = Vec::new();
    let roots = [at(""), at("one/two"), at("one/two/look")];
    let report = look_at_files(&roots, choose, FileLimits::default(), look, &mut |path, bytes| {
        seen.push((path.to_owned(), bytes));
    });
    seen.sort();
    assert_eq!(seen, [(at("one/again"), b"one/two".to_vec()), (at("one/two/look"), b"one/two".to_vec())]);
    assert_eq!(report.left_out.into_iter().collect::<Vec<_>>(), [("installed", 2)]);
    let named: Vec<PathBuf> = report.not_searched.into_iter().map(|one| one.path).collect();
    assert_eq!(named, [at("one/two/named")]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_said_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    std::fs::write(&path, vec![b'x'; 1 << 20]).expect("a file");
    assert!(!read_regular(&path, 8 << 20).expect("read").changing);
    let over = AtomicBool::new(false);
    let changing = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("open");
            let mut left = 4 << 20;
            while left > 0 && !over.load(Ordering::SeqCst) {
                file.write_all(b"y").expect("write");
                left -= 1;
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let seen = std::iter::from_fn(|| (Instant::now() < deadline).then(|| read_regular(&path, 8 << 20)));
        let changing = seen.flatten().any(|read| read.changing);
        over.store(true, Ordering::SeqCst);
        changing
    });
    assert!(changing);
    assert!(read_regular(&path, 1000).is_err(), "larger than the limit");
}
