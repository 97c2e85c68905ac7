//! Files are read in parallel, within limits, and a file that does not answer does not stop the others.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyroll_observe::{Choice, FileLimits, Look, PathKind, look_at_files, read_regular};

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
    fn choose(path: &Path, kind: PathKind) -> Choice {
        match (kind, name(path).as_str()) {
            (PathKind::Folder, "installed") => Choice::LeaveOut("installed"),
            (PathKind::File, "pass") => Choice::Pass,
            (PathKind::File, "named") => Choice::Name("not opened"),
            (PathKind::File | PathKind::Folder, _) => Choice::Look,
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
    // A second name of one file is a copy of its own; a root below another root is not visited twice.
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

/// Reads large files whole, piece by piece.
fn in_pieces(keep: usize, meanwhile: impl Fn(&Path) + Send + Sync + 'static) -> Look<Vec<u8>> {
    Look::new(|_, bytes| bytes.to_vec()).and_in_pieces(move |path, pieces| {
        let mut all = Vec::new();
        while let Some(piece) = pieces.next(keep) {
            let lines = all.iter().take(all.len() - piece.again).filter(|byte| **byte == b'\n').count();
            assert_eq!(piece.line, lines as u64 + 1, "the line that a piece begins in");
            assert!(all.ends_with(piece.bytes.get(..piece.again).unwrap_or_default()));
            all.extend(piece.bytes.get(piece.again..).unwrap_or_default());
            meanwhile(path);
        }
        all
    })
}

fn large() -> FileLimits {
    let (large_file_bytes_max, large_bytes_max) = (3 << 20, 5 << 20);
    FileLimits { file_bytes_max: 1000, large_file_bytes_max, large_bytes_max, ..FileLimits::default() }
}

#[test]
fn a_large_file_is_read_in_pieces_within_its_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = |bytes: usize| -> Vec<u8> {
        (0..bytes).map(|at| if at % 37 == 0 { b'\n' } else { (at % 251) as u8 | 0x80 }).collect()
    };
    let (fits, over) = (lines(2_500_000), lines(4 << 20));
    std::fs::write(folder.path().join("fits"), &fits).expect("a file");
    let look = || in_pieces(100, |_| ());
    let roots = [folder.path().to_owned()];
    let read = |limits: FileLimits| {
        let mut seen = Vec::new();
        let report = look_at_files(&roots, |_, _| Choice::Look, limits, look(), &mut |path, bytes| {
            seen.push((name(path), bytes));
        });
        seen.sort();
        let left: Vec<String> = report.not_searched.into_iter().map(|one| one.reason).collect();
        (seen, left)
    };
    assert_eq!(read(large()), (vec![("fits".to_owned(), fits)], Vec::new()));
    // A larger file is read up to its limit; and so are all of them together.
    std::fs::write(folder.path().join("over"), &over).expect("a file");
    let (seen, left) = read(large());
    let bytes: usize = seen.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!((4 << 20..=5 << 20).contains(&bytes), "{bytes}");
    assert!(left.iter().all(|reason| reason.contains("MiB were searched")) && !left.is_empty(), "{left:?}");
    let (seen, left) = read(FileLimits { large_file_bytes_max: 0, ..large() });
    assert_eq!((seen.len(), left.len()), (0, 2), "none is read where none may be");
}

#[test]
fn a_large_file_that_changes_while_it_is_read_is_said_to() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("log"), vec![b'x'; 2 << 20]).expect("a file");
    let write = |path: &Path| {
        let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("open");
        file.write_all(b"y").expect("write");
    };
    let roots = [folder.path().to_owned()];
    let report = look_at_files(&roots, |_, _| Choice::Look, large(), in_pieces(8, write), &mut |_, bytes| {
        assert_eq!(bytes.len(), 2 << 20);
    });
    let left: Vec<&str> = report.not_searched.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(left, ["it changed while it was read"]);
}

#[test]
fn a_folder_may_have_a_hundred_thousand_files() {
    const FILES: usize = 100_000;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("many")).expect("a folder");
    // Names of a few files: a file system makes links fast.
    for number in 0..FILES {
        let at = folder.path().join("many").join(format!("{number}"));
        if number % 20_000 == 0 {
            std::fs::write(&at, "x").expect("a file");
        } else {
            let first = folder.path().join("many").join(format!("{}", number - number % 20_000));
            std::fs::hard_link(first, at).expect("a link");
        }
    }
    let roots = [folder.path().to_owned()];
    let count = |files_max: usize| {
        let limits = FileLimits { files_max, wait: Duration::from_secs(300), ..FileLimits::default() };
        let look: Look<usize> = Look::new(|_, bytes| bytes.len());
        let mut bytes = 0;
        let report =
            look_at_files(&roots, |_, _| Choice::Look, limits, look, &mut |_, length| bytes += length);
        (report.files, bytes, report.not_searched.len())
    };
    assert_eq!(count(FILES), (FILES, FILES, 0));
    assert_eq!(count(FILES - 1), (FILES - 1, FILES - 1, 1), "what a limit leaves out is named once");
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
