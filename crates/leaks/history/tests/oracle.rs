//! Compares the hits with a scan of every whole object, in repositories of every shape that the real git makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use keyroll_history::{
    Blob, Bounds, HashFormat, History, Hit, Inspector, ObjectId, ObjectKind, ScanSummary, SkipReason,
    SkippedItem,
};

use crate::support::marks::{Kept, Marks, history, marks};
use crate::support::random::stream;
use crate::support::{self, Ground};

/// The hits of every object when it is scanned whole.
fn expected(ground: &Ground, at: &Path) -> BTreeMap<ObjectId, Vec<Hit>> {
    let mut all = BTreeMap::new();
    for (id, (_, bytes)) in ground.objects(at) {
        let mut hits = marks(&bytes, &(0..bytes.len()));
        hits.sort_by_key(|hit| (hit.span.start, hit.span.end, hit.tag));
        if !hits.is_empty() {
            all.insert(id, hits);
        }
    }
    all
}

fn scanned(at: &Path, workers: usize) -> (ScanSummary, BTreeMap<ObjectId, Vec<Hit>>) {
    let kept = Kept::default();
    let bounds = Bounds { workers, ..Bounds::default() };
    let seen = History::open(at).unwrap().scan(&Marks::default(), &kept, &bounds);
    (seen, kept.all())
}

/// Scans and compares; returns the counts.
fn same(ground: &Ground, at: &Path) -> ScanSummary {
    let expected = expected(ground, at);
    let objects = ground.objects(at);
    let (seen, found) = scanned(at, 3);
    for (id, hits) in &expected {
        assert_eq!(found.get(id), Some(hits), "{id} in {}", at.display());
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(seen.blobs + seen.messages, objects.len() as u64);
    assert_eq!(seen.bytes, objects.values().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    seen
}

/// A repository with a random history.
fn made(ground: &Ground, name: &str, seed: u64, commits: usize, more: &[&str]) -> PathBuf {
    let at = ground.repository(name, more);
    ground.given(&at, &["fast-import", "--quiet", "--done"], &stream(&history(seed, 3, commits)));
    at
}

/// All objects in files of their own.
fn unpacked(ground: &Ground, at: &Path) {
    let git = git_folder(at);
    for file in std::fs::read_dir(git.join("objects/pack")).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|end| end == "pack") {
            let bytes = std::fs::read(&file).unwrap();
            std::fs::remove_file(file.with_extension("idx")).unwrap();
            std::fs::remove_file(&file).unwrap();
            ground.given(at, &["unpack-objects", "-q"], &bytes);
        }
    }
}

fn git_folder(at: &Path) -> PathBuf {
    if at.join(".git").is_dir() { at.join(".git") } else { at.to_path_buf() }
}

fn packs(at: &Path) -> Vec<PathBuf> {
    let files =
        std::fs::read_dir(git_folder(at).join("objects/pack")).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "pack")).collect()
}

fn writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_packed_history_has_the_hits_of_every_object_scanned_whole() {
    for seed in 1..=4 {
        let ground = Ground::new();
        let at = made(&ground, "r", seed, 160, &[]);
        for (depth, window) in [("50", "50"), ("250", "20"), ("1", "10")] {
            ground.git(&at, &["repack", "-qadf", &format!("--depth={depth}"), &format!("--window={window}")]);
            let seen = same(&ground, &at);
            assert!(seen.skipped.is_empty(), "{:?}", seen.skipped);
            // Deltas are scanned in part, so without deltas this would prove nothing. Every third history has very long
            // lines.
            assert!(depth == "1" || seed % 3 == 1 || seen.window_bytes * 5 < seen.bytes * 4, "{seen:?}");
        }
        ground.git(&at, &["gc", "-q", "--aggressive"]);
        same(&ground, &at);
    }
}

#[test]
fn an_inspector_of_everything_gets_each_hit_once() {
    let ground = Ground::new();
    let at = made(&ground, "r", 31, 100, &[]);
    ground.git(&at, &["repack", "-qadf", "--depth=50"]);
    let kept = Kept::default();
    History::open(&at).unwrap().scan(&Marks { everything: true }, &kept, &Bounds::default());
    assert_eq!(kept.all(), expected(&ground, &at));
}

#[test]
fn loose_objects_and_packs_beside_them_are_read() {
    let ground = Ground::new();
    let at = made(&ground, "r", 11, 60, &[]);
    unpacked(&ground, &at);
    assert!(packs(&at).is_empty());
    assert!(same(&ground, &at).skipped.is_empty());
    // Every object in a pack and loose, then in two packs and loose.
    ground.git(&at, &["repack", "-qa"]);
    same(&ground, &at);
    std::fs::write(packs(&at)[0].with_extension("keep"), b"").unwrap();
    let commit = ground.line(&at, &["commit-tree", "-m", "near TK5", "main^{tree}", "-p", "main"]);
    ground.git(&at, &["update-ref", "refs/heads/main", &commit]);
    ground.git(&at, &["repack", "-qadf"]);
    ground.given(&at, &["pack-objects", "-q", ".git/objects/pack/pack"], rev_list(&ground, &at).as_bytes());
    assert!(packs(&at).len() >= 3);
    same(&ground, &at);
}

fn rev_list(ground: &Ground, at: &Path) -> String {
    let all = ground.line(at, &["rev-list", "--all", "--objects"]);
    all.lines().map(|line| format!("{}\n", line.split(' ').next().unwrap())).collect()
}

#[test]
fn objects_in_two_packs_are_reported_once_and_their_hits_still_moved() {
    let ground = Ground::new();
    let at = made(&ground, "r", 12, 120, &[]);
    ground.git(&at, &["repack", "-qadf", "--depth=50"]);
    // A second pack with other deltas; its new objects are deltas against old ones.
    ground.given(&at, &["fast-import", "--quiet", "--done", "--force"], &stream(&history(12, 3, 160)));
    ground.given(
        &at,
        &["pack-objects", "-q", "--no-reuse-delta", "--window=40", ".git/objects/pack/pack"],
        rev_list(&ground, &at).as_bytes(),
    );
    assert!(packs(&at).len() >= 2);
    same(&ground, &at);
}

#[test]
fn deltas_that_name_their_base_are_read() {
    let ground = Ground::new();
    let at = made(&ground, "r", 27, 120, &[]);
    ground.git(&at, &["-c", "repack.useDeltaBaseOffset=false", "repack", "-qadf", "--depth=50"]);
    let seen = same(&ground, &at);
    assert!(seen.window_bytes * 5 < seen.bytes * 4);
}

#[test]
fn objects_of_alternates_are_read() {
    let ground = Ground::new();
    let at = made(&ground, "r", 14, 60, &[]);
    ground.git(&at, &["repack", "-qadf"]);
    let other = ground.path("other");
    ground.git(&at, &["clone", "-q", "--shared", ".", other.to_str().unwrap()]);
    ground.given(&other, &["fast-import", "--quiet", "--done", "--force"], &stream(&history(15, 5, 40)));
    assert!(same(&ground, &other).skipped.is_empty());
    // Without the repository that it borrows from.
    std::fs::rename(&at, ground.path("gone")).unwrap();
    let (seen, _) = scanned(&other, 1);
    assert!(
        seen.skipped
            .named
            .iter()
            .any(|one| one.why == SkipReason::Missing && matches!(one.what, SkippedItem::File(_)))
    );
}

#[test]
fn a_shallow_clone_is_named_as_one() {
    let ground = Ground::new();
    let at = made(&ground, "r", 16, 60, &[]);
    let other = ground.path("other");
    let from = format!("file://{}", at.display());
    ground.git(&at, &["clone", "-q", "--depth=3", &from, other.to_str().unwrap()]);
    let seen = same(&ground, &other);
    assert_eq!(seen.skipped.named.len(), 1, "{:?}", seen.skipped);
    assert_eq!(seen.skipped.named[0].why, SkipReason::Shallow { commits: 1 });
    let said = seen.skipped.named[0].why.to_string();
    assert!(said.contains("the history before 1 commit is missing"), "{said}");
}

#[test]
fn a_partial_clone_is_named_as_one() {
    let ground = Ground::new();
    let at = made(&ground, "r", 17, 60, &[]);
    ground.git(&at, &["config", "uploadpack.allowFilter", "true"]);
    let other = ground.path("other");
    let from = format!("file://{}", at.display());
    ground.git(&at, &["clone", "-q", "--no-checkout", "--filter=blob:none", &from, other.to_str().unwrap()]);
    let seen = same(&ground, &other);
    assert_eq!(seen.blobs, 0);
    let named = &seen.skipped.named;
    assert!(named.iter().any(|one| one.why == SkipReason::Partial));
    // And each file of HEAD that was never fetched is listed.
    let files = ground.line(&at, &["ls-tree", "-r", "--name-only", "main"]);
    for file in files.lines() {
        let what = SkippedItem::Path(file.as_bytes().to_vec());
        assert!(named.iter().any(|one| one.what == what && one.why == SkipReason::Missing), "{file}");
    }
}

#[test]
fn names_of_32_bytes_are_read() {
    let ground = Ground::new();
    let at = made(&ground, "r", 18, 80, &["--object-format=sha256"]);
    assert_eq!(History::open(&at).unwrap().format(), HashFormat::Sha256);
    same(&ground, &at);
    ground.git(&at, &["-c", "repack.useDeltaBaseOffset=false", "repack", "-qadf"]);
    same(&ground, &at);
    unpacked(&ground, &at);
    same(&ground, &at);
}

#[test]
fn bare_repositories_working_trees_and_folders_in_them_are_found() {
    let ground = Ground::new();
    let at = made(&ground, "r.git", 19, 30, &["--bare"]);
    same(&ground, &at);
    let tree = ground.path("tree");
    ground.git(&at, &["worktree", "add", "-q", tree.to_str().unwrap(), "main"]);
    same(&ground, &tree);
    same(&ground, &tree.join("d0"));
    let nowhere = ground.path("nowhere");
    std::fs::create_dir(&nowhere).unwrap();
    // The folder of all tests may itself be in a repository; an empty one of our own is not.
    std::fs::write(nowhere.join("HEAD"), b"ref: refs/heads/main\n").unwrap();
    assert!(History::open(&nowhere.join("none")).is_err());
}

#[test]
fn submodules_are_named_and_not_entered() {
    let ground = Ground::new();
    let at = made(&ground, "r", 20, 10, &[]);
    let id = ground.line(&at, &["rev-parse", "main"]);
    ground.git(&at, &["read-tree", "main"]);
    ground.git(&at, &["update-index", "--add", "--cacheinfo", &format!("160000,{id},inner/other")]);
    ground.git(&at, &["commit", "-q", "-m", "one more"]);
    let seen = same(&ground, &at);
    assert_eq!(seen.skipped.named.len(), 1);
    assert_eq!(seen.skipped.named[0].what, SkippedItem::Path(b"inner/other".to_vec()));
    assert_eq!(seen.skipped.named[0].why, SkipReason::Submodule);
}

#[test]
fn missing_objects_are_named() {
    let ground = Ground::new();
    let at = made(&ground, "r", 21, 10, &[]);
    unpacked(&ground, &at);
    let tree = ground.line(&at, &["ls-tree", "-r", "main"]);
    let line = tree.lines().next().unwrap();
    let id = line.split([' ', '\t']).nth(2).unwrap();
    std::fs::remove_file(at.join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    let seen = same(&ground, &at);
    let path = line.split('\t').nth(1).unwrap().as_bytes().to_vec();
    assert!(
        seen.skipped
            .named
            .iter()
            .any(|one| one.what == SkippedItem::Path(path.clone()) && one.why == SkipReason::Missing)
    );
}

#[test]
fn nothing_that_a_repository_names_is_run() {
    let ground = Ground::new();
    let at = made(&ground, "r", 22, 30, &[]);
    let ran = ground.path("ran");
    let script = ground.path("script");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\nexit 1\n", ran.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let keys = [
        "core.fsmonitor",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "diff.x.textconv",
        "diff.external",
        "core.pager",
        "core.editor",
        "gpg.program",
    ];
    for key in keys {
        ground.git(&at, &["config", key, script]);
    }
    std::fs::write(at.join(".git/info/attributes"), "* filter=x diff=x\n").unwrap();
    for hook in ["post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc"] {
        std::fs::copy(script, at.join(".git/hooks").join(hook)).unwrap();
    }
    let history = History::open(&at).unwrap();
    let kept = Kept::default();
    history.scan(&Marks::default(), &kept, &Bounds::default());
    let found = kept.all();
    assert!(!found.is_empty());
    history.origins(&found.into_keys().collect(), &|_| false);
    history.staged(None).unwrap();
    assert!(!ran.exists());
}

/// Counts how often each kind is scanned, and how many bytes.
#[derive(Default)]
struct Counting {
    blobs: AtomicU64,
    messages: AtomicU64,
}

impl Inspector for Counting {
    fn inspect(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>) {
        assert!(blob.kind != ObjectKind::Tree);
        let count = if blob.kind == ObjectKind::Blob { &self.blobs } else { &self.messages };
        count.fetch_add(1, Ordering::Relaxed);
        hits.push(Hit { span: 0..blob.bytes.len(), tag: 1 });
    }
}

#[test]
fn chosen_objects_are_scanned_alone() {
    let ground = Ground::new();
    let at = made(&ground, "r", 23, 30, &[]);
    let objects = ground.objects(&at);
    let ids: Vec<ObjectId> = objects.keys().copied().take(9).chain(ObjectId::from_bytes(&[7; 20])).collect();
    let (look, kept) = (Counting::default(), Kept::default());
    let seen = History::open(&at).unwrap().scan_objects(&ids, &look, &kept, &Bounds::default());
    assert_eq!(seen.blobs + seen.messages, 9);
    assert_eq!(seen.skipped.named.len(), 1);
    for (id, hits) in kept.all() {
        assert_eq!(hits[0].span.len(), objects[&id].1.len());
    }
}

#[test]
fn a_damaged_pack_loses_what_is_damaged_and_names_it() {
    let ground = Ground::new();
    let at = made(&ground, "r", 24, 120, &[]);
    ground.git(&at, &["repack", "-qadf", "--depth=20"]);
    let expected = expected(&ground, &at);
    let objects = ground.objects(&at);
    let pack = packs(&at)[0].clone();
    writable(&pack);
    let good = std::fs::read(&pack).unwrap();
    let mut random = support::random::Random(99);
    let mut lost = 0;
    for _ in 0..40 {
        let mut bad = good.clone();
        for _ in 0..1 + random.below(4) {
            let at = 12 + random.below(bad.len() - 32);
            bad[at] ^= 1 << random.below(8);
        }
        std::fs::write(&pack, &bad).unwrap();
        let (seen, found) = scanned(&at, 2);
        let named: Vec<ObjectId> = seen
            .skipped
            .named
            .iter()
            .filter_map(|one| match &one.what {
                SkippedItem::Entry { id, .. } | SkippedItem::Object(id) => Some(*id),
                SkippedItem::File(_) | SkippedItem::Path(_) | SkippedItem::History => None,
            })
            .collect();
        assert_eq!(seen.skipped.more, 0);
        lost += objects.keys().filter(|id| named.contains(id)).count();
        for (id, hits) in expected.iter().filter(|(id, _)| !named.contains(id)) {
            assert_eq!(found.get(id), Some(hits), "{id}");
        }
    }
    assert!(lost > 0, "something was lost that counts");
    // Cut short anywhere.
    for part in 1..20 {
        std::fs::write(&pack, &good[..good.len() * part / 20]).unwrap();
        let (seen, _) = scanned(&at, 2);
        assert!(!seen.skipped.is_empty());
    }
}

#[test]
fn bases_that_were_not_kept_are_made_again() {
    let ground = Ground::new();
    let at = made(&ground, "r", 32, 160, &[]);
    ground.git(&at, &["repack", "-qadf", "--depth=50", "--window=50"]);
    for kept_bytes_max in [0, 100_000] {
        let kept = Kept::default();
        let bounds = Bounds { workers: 1, kept_bytes_max, ..Bounds::default() };
        let seen = History::open(&at).unwrap().scan(&Marks::default(), &kept, &bounds);
        assert!(seen.skipped.is_empty());
        assert_eq!(kept.all(), expected(&ground, &at));
    }
}

#[test]
fn a_blob_that_says_it_is_a_tree_is_named() {
    let ground = Ground::new();
    let at = made(&ground, "r", 28, 60, &[]);
    ground.git(&at, &["repack", "-qadf", "--depth=20"]);
    let pack = packs(&at)[0].clone();
    writable(&pack);
    let listed = ground.line(&at, &["verify-pack", "-v", pack.to_str().unwrap()]);
    let good = std::fs::read(&pack).unwrap();
    let mut seen_of = 0;
    // Name, kind, size, size in the pack, offset; more for a delta.
    let whole = |line: &&str| line.split_whitespace().count() == 5 && line.contains(" blob ");
    for line in listed.lines().filter(whole).take(5) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut bad = good.clone();
        bad[words[4].parse::<usize>().unwrap()] ^= 0x10;
        std::fs::write(&pack, bad).unwrap();
        let (seen, _) = scanned(&at, 1);
        let id = ObjectId::from_hex(words[0].as_bytes()).unwrap();
        let is = |what: &SkippedItem| matches!(what, SkippedItem::Entry { id: named, .. } if *named == id);
        assert!(
            seen.skipped.named.iter().any(|one| is(&one.what) && matches!(one.why, SkipReason::Corrupt(_)))
        );
        seen_of += 1;
    }
    assert_eq!(seen_of, 5);
}

#[test]
fn what_is_damaged_in_one_place_is_read_in_another() {
    let ground = Ground::new();
    let at = made(&ground, "r", 25, 80, &[]);
    ground.git(&at, &["repack", "-qadf", "--depth=20"]);
    let first = packs(&at)[0].clone();
    std::fs::write(first.with_extension("keep"), b"").unwrap();
    let words = ["pack-objects", "-q", "--no-reuse-delta", "--window=0", ".git/objects/pack/pack"];
    ground.given(&at, &words, rev_list(&ground, &at).as_bytes());
    assert_eq!(packs(&at).len(), 2);
    let expected = expected(&ground, &at);
    let mut names = packs(&at);
    names.sort();
    writable(&names[0]);
    let mut bytes = std::fs::read(&names[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3000].fill(0xff);
    std::fs::write(&names[0], &bytes).unwrap();
    let (seen, found) = scanned(&at, 2);
    assert_eq!(found, expected);
    assert!(seen.blobs > 0);
}

#[test]
fn damaged_indices_are_refused_or_survived() {
    let ground = Ground::new();
    let at = made(&ground, "r", 26, 40, &[]);
    let index = packs(&at)[0].with_extension("idx");
    writable(&index);
    let good = std::fs::read(&index).unwrap();
    let mut random = support::random::Random(5);
    for round in 0..60 {
        let mut bad = good.clone();
        if round % 3 == 0 {
            bad.truncate(random.below(good.len()));
        } else {
            for _ in 0..1 + random.below(30) {
                let at = random.below(bad.len());
                bad[at] = random.next() as u8;
            }
        }
        std::fs::write(&index, &bad).unwrap();
        scanned(&at, 2);
    }
    std::fs::write(&index, &good).unwrap();
    same(&ground, &at);
}
