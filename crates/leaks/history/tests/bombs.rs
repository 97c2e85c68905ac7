//! Malicious objects: they are refused by name, and the rest is read.

use std::path::Path;

use keyroll_history::{Bounds, History, ObjectId, ScanSummary, SkipReason, SkippedItem};

use crate::support::marks::{Kept, Marks};
use crate::support::{self, Ground};

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; zlib_rs::compress_bound(bytes.len())];
    let (written, code) = zlib_rs::compress_slice(&mut out, bytes, zlib_rs::DeflateConfig::default());
    assert_eq!(code, zlib_rs::ReturnCode::Ok);
    written.to_vec()
}

/// Writes a loose object under an unrelated id.
fn loose(at: &Path, first: u8, bytes: &[u8]) -> ObjectId {
    let id = ObjectId::from_bytes(&[first; 20]).unwrap();
    let digits = id.to_string();
    let folder = at.join(".git/objects").join(&digits[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&digits[2..]), bytes).unwrap();
    id
}

fn scan(at: &Path, bounds: &Bounds) -> (ScanSummary, usize) {
    let kept = Kept::default();
    let seen = History::open(at).unwrap().scan(&Marks::default(), &kept, bounds);
    (seen, kept.all().len())
}

fn why(seen: &ScanSummary, id: ObjectId) -> Option<&SkipReason> {
    seen.skipped.named.iter().find(|one| one.what == SkippedItem::Object(id)).map(|one| &one.why)
}

#[test]
fn objects_that_inflate_to_something_else_than_they_say_are_refused() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    let good = loose(&at, 1, &deflated(b"blob 9\0near TK12"));
    let more = loose(&at, 2, &deflated(&[b"blob 10\0".as_slice(), &vec![0; 5_000_000]].concat()));
    let less = loose(&at, 3, &deflated(b"blob 100\0near TK12"));
    let large = loose(&at, 4, &deflated(b"blob 99999999999\0x"));
    let never = loose(&at, 5, &deflated(b"blob 60000000\0x"));
    let sign = loose(&at, 6, &deflated(b"blob +5\0abcde"));
    let kind = loose(&at, 7, &deflated(b"blab 5\0abcde"));
    let cut = {
        let whole = deflated(b"blob 9\0near TK12");
        loose(&at, 8, &whole[..whole.len() - 3])
    };
    let none = loose(&at, 9, b"");
    let (seen, found) = scan(&at, &Bounds::default());
    assert_eq!((seen.blobs, found), (1, 1));
    assert_eq!(why(&seen, good), None);
    assert!(matches!(why(&seen, large), Some(SkipReason::Large { bytes: 99_999_999_999, .. })));
    // No memory is allocated for a size that so few bytes cannot inflate to.
    let text = "its declared size is impossible for its compressed size";
    assert_eq!(why(&seen, never), Some(&SkipReason::Corrupt(text)));
    for id in [more, less, sign, kind, cut, none] {
        assert!(matches!(why(&seen, id), Some(SkipReason::Corrupt(_))), "{id}: {:?}", why(&seen, id));
    }
}

#[test]
fn large_objects_are_named_and_so_are_those_stored_against_them() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    let mut random = support::random::Random(3);
    let mut text = support::marks::text(&mut random, 6000);
    let mut changes = Vec::new();
    for number in 0..6 {
        text.extend(b"\nnear TK1");
        changes.push(support::random::Change {
            files: vec![
                ("large".into(), Some(text.clone())),
                ("small".into(), Some(format!("near TK{number}").into())),
            ],
            message: b"m".to_vec(),
            time: 1_700_000_000 + number,
            branch: "main",
            from: None,
            merges: vec![],
        });
    }
    ground.given(&at, &["fast-import", "--quiet", "--done"], &support::random::stream(&changes));
    ground.git(&at, &["repack", "-qadf"]);
    let bounds = Bounds { object_bytes_max: 20_000, ..Bounds::default() };
    let (seen, _) = scan(&at, &bounds);
    assert_eq!(seen.blobs, 6);
    let is =
        |one: &SkipReason| matches!(one, SkipReason::Large { bytes_max: 20_000, .. } | SkipReason::NoBase);
    assert_eq!(seen.skipped.named.iter().filter(|one| is(&one.why)).count(), 6);
    // The total of inflated bytes is limited, and reaching the limit is reported.
    let bounds = Bounds { total_bytes_max: 50_000, workers: 1, ..Bounds::default() };
    let (seen, _) = scan(&at, &bounds);
    assert!(seen.bytes < 50_000 + text.len() as u64);
    assert!(seen.skipped.named.iter().any(|one| one.why == SkipReason::Spent { bytes_max: 50_000 }));
}

/// A pack of these entries, with an index of version 1, which needs no checksums here.
fn pack(at: &Path, entries: &[(u8, Vec<u8>)]) {
    let mut bytes = b"PACK\0\0\0\x02".to_vec();
    bytes.extend((entries.len() as u32).to_be_bytes());
    let mut names = Vec::new();
    for (first, entry) in entries {
        names.push((*first, bytes.len() as u32));
        bytes.extend(entry);
    }
    bytes.extend([0; 20]);
    names.sort();
    let mut index = Vec::new();
    for first in 0..=255_u8 {
        index.extend((names.iter().filter(|name| name.0 <= first).count() as u32).to_be_bytes());
    }
    for (first, offset) in names {
        index.extend(offset.to_be_bytes());
        index.extend([first; 20]);
    }
    index.extend([0; 40]);
    let folder = at.join(".git/objects/pack");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("pack-1.pack"), bytes).unwrap();
    std::fs::write(folder.join("pack-1.idx"), index).unwrap();
}

/// The head of an entry.
fn head(kind: u8, mut size: usize) -> Vec<u8> {
    let mut out = vec![(kind << 4) | (size & 15) as u8];
    size >>= 4;
    while size > 0 {
        *out.last_mut().unwrap() |= 0x80;
        out.push((size & 0x7f) as u8);
        size >>= 7;
    }
    out
}

fn whole(bytes: &[u8]) -> Vec<u8> {
    [head(3, bytes.len()), deflated(bytes)].concat()
}

fn from_name(base: u8, delta: &[u8]) -> Vec<u8> {
    [head(7, delta.len()), vec![base; 20], deflated(delta)].concat()
}

#[test]
fn forged_packs_end() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    let text = b"near TK12\n";
    // 10 → 10 bytes: a copy of everything.
    let copy = [10, 10, 0x90, 10];
    let mut bomb = vec![10, 0x80, 0x80, 0x80, 0x80, 0x10];
    bomb.extend([0x90, 10].repeat(100));
    let mut wrong = whole(text);
    wrong[0] ^= 1;
    pack(
        &at,
        &[
            (1, whole(text)),
            (2, from_name(1, &copy)),
            // A delta against itself; deltas against each other; a delta against nothing.
            (3, from_name(3, &copy)),
            (4, from_name(5, &copy)),
            (5, from_name(4, &copy)),
            (6, from_name(99, &copy)),
            // 4 GiB from a few bytes; a base of another size; a wrong size; a delta against that object.
            (7, from_name(1, &bomb)),
            (8, from_name(1, &[11, 10, 0x90, 10])),
            (9, wrong),
            (10, from_name(9, &copy)),
            // The objects after all of these are still scanned.
            (11, from_name(2, &copy)),
        ],
    );
    let (seen, found) = scan(&at, &Bounds::default());
    assert_eq!((seen.blobs, found), (3, 3));
    let why = |first: u8| {
        let id = ObjectId::from_bytes(&[first; 20]).unwrap();
        let of = |what: &SkippedItem| matches!(what, SkippedItem::Entry { id: named, .. } if *named == id);
        seen.skipped.named.iter().find(|one| of(&one.what)).map(|one| one.why.clone())
    };
    for first in [3, 4, 5, 6, 10] {
        assert_eq!(why(first), Some(SkipReason::NoBase), "{first}");
    }
    assert!(matches!(why(7), Some(SkipReason::Large { .. })));
    assert!(matches!(why(8), Some(SkipReason::Corrupt(_))));
    assert!(matches!(why(9), Some(SkipReason::Corrupt(_))));
    assert_eq!(seen.skipped.named.len(), 8);
    // Reading one of them alone ends too.
    let ids: Vec<ObjectId> = (1..=11).map(|first| ObjectId::from_bytes(&[first; 20]).unwrap()).collect();
    let seen = History::open(&at).unwrap().scan_objects(
        &ids,
        &Marks::default(),
        &Kept::default(),
        &Bounds::default(),
    );
    assert_eq!(seen.blobs, 3);
}

#[test]
fn forged_trees_and_commits_end() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    // A tree that contains itself twice, and a commit that is its own parent.
    let tree = [b"40000 a\0".as_slice(), &[0x22; 20], b"40000 b\0", &[0x22; 20], b"100644 c\0", &[0x44; 20]]
        .concat();
    let tree_id = loose(&at, 0x22, &deflated(&[format!("tree {}\0", tree.len()).as_bytes(), &tree].concat()));
    let commit = ObjectId::from_bytes(&[0x33; 20]).unwrap();
    let text =
        format!("tree {tree_id}\nparent {commit}\nauthor a <b> 1 +0000\ncommitter a <b> 1 +0000\n\nx\n");
    loose(&at, 0x33, &deflated(format!("commit {}\0{text}", text.len()).as_bytes()));
    let blob = loose(&at, 0x44, &deflated(b"blob 9\0near TK12"));
    std::fs::write(at.join(".git/refs/heads/main"), format!("{commit}\n")).unwrap();
    let (seen, found) = scan(&at, &Bounds::default());
    // The commit has a line that begins with a mark.
    assert_eq!((seen.blobs, found), (1, 2));
    std::fs::write(at.join(".git/index"), b"").unwrap();
    assert!(History::open(&at).unwrap().staged(None).is_err());
    History::open(&at).unwrap().origins(&[blob].into(), &|_| false);
}
