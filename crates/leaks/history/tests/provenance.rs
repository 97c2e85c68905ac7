//! The origins of objects, compared with `git log`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use keyroll_history::{History, ORIGINS_MAX, ObjectId, ObjectKind};

use crate::support::Ground;
use crate::support::marks::history;
use crate::support::random::{Change, Random, stream};

/// A history with branches and merges.
fn branched(seed: u64) -> Vec<Change> {
    let mut random = Random(seed);
    let mut changes = history(seed, 6, 120);
    let mut side: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    // A branch leaves main, goes its own way, and is merged.
    for (number, change) in changes.iter_mut().enumerate() {
        if (40..60).contains(&number) && number % 2 == 0 {
            change.branch = "side";
            change.from = (number == 40).then_some(40);
            change.files.retain(|(name, _)| name.starts_with("d0"));
            // Its clock is wrong: the object that it added is older than the merge that also has it.
            change.time += 1_000_000;
            let (name, text) =
                (format!("d0/side{}", random.below(4)), format!("s{}", random.below(6)).into_bytes());
            side.insert(name.clone(), text.clone());
            change.files.push((name, Some(text)));
        }
        if number == 70 {
            change.merges = vec![59];
            side.insert("d0/side0".into(), b"merged".to_vec());
            change.files.extend(side.iter().map(|(name, text)| (name.clone(), Some(text.clone()))));
        }
        // It was added again after the merge, which is the first time according to the wrong clock.
        if number == 75 || number == 85 {
            let files = side.iter().map(|(name, text)| (name.clone(), (number == 85).then(|| text.clone())));
            change.files.extend(files);
        }
        if number > 100 {
            change.branch = "other";
            change.from = (number == 101).then_some(90);
        }
    }
    changes
}

/// Numbers the commits: the next is the oldest, by its clock, of those whose parents all have a number.
fn places(ground: &Ground, at: &Path) -> BTreeMap<ObjectId, usize> {
    let mut open: Vec<(i64, ObjectId, Vec<ObjectId>)> = Vec::new();
    for line in ground.line(at, &["log", "--all", "--format=%ct %H %P"]).lines() {
        let (time, ids) = line.split_once(' ').unwrap();
        let mut ids = ids.split_whitespace().map(|id| ObjectId::from_hex(id.as_bytes()).unwrap());
        open.push((time.parse().unwrap(), ids.next().unwrap(), ids.collect()));
    }
    let mut places = BTreeMap::new();
    while !open.is_empty() {
        let may = |(_, commit): &(usize, &(i64, ObjectId, Vec<ObjectId>))| {
            commit.2.iter().all(|parent| places.contains_key(parent))
        };
        let (next, _) = open.iter().enumerate().filter(may).min_by_key(|(_, commit)| commit.0).unwrap();
        let place = places.len();
        places.insert(open.remove(next).1, place);
    }
    places
}

/// The commits that added an object, according to `git log`, by the trees alone.
fn brought(ground: &Ground, at: &Path) -> BTreeMap<(ObjectId, String), Vec<ObjectId>> {
    let mut all: BTreeMap<(ObjectId, String), Vec<ObjectId>> = BTreeMap::new();
    let text = ground.line(
        at,
        &["log", "--all", "--raw", "--no-abbrev", "-c", "-r", "--root", "--no-renames", "--format=commit %H"],
    );
    let mut commit = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("commit ") {
            commit = ObjectId::from_hex(rest.as_bytes());
        } else if line.starts_with(':') {
            let (head, path) = line.split_once('\t').unwrap();
            let words: Vec<&str> = head.split(' ').collect();
            let id = ObjectId::from_hex(words[words.len() - 2].as_bytes()).unwrap();
            if id.as_bytes().iter().all(|byte| *byte == 0) {
                continue;
            }
            all.entry((id, path.to_owned())).or_default().push(commit.unwrap());
        }
    }
    all
}

/// Which commits have an object under a path.
fn having(ground: &Ground, at: &Path) -> BTreeMap<(ObjectId, String), Vec<ObjectId>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for commit in ground.line(at, &["log", "--all", "--format=%H"]).lines() {
        for entry in ground.line(at, &["ls-tree", "-r", commit]).lines() {
            let (head, path) = entry.split_once('\t').unwrap();
            let id = ObjectId::from_hex(head.split(' ').nth(2).unwrap().as_bytes()).unwrap();
            let commit = ObjectId::from_hex(commit.as_bytes()).unwrap();
            all.entry((id, path.to_owned())).or_default().push(commit);
        }
    }
    all
}

#[test]
fn every_blob_has_the_origins_that_git_log_says() {
    for (seed, packed) in [(1, false), (3, true)] {
        let ground = Ground::new();
        let at = ground.repository("r", &[]);
        ground.given(&at, &["fast-import", "--quiet", "--done"], &stream(&branched(seed)));
        if packed {
            ground.git(&at, &["repack", "-qadf", "--depth=50"]);
            ground.git(&at, &["pack-refs", "--all"]);
        }
        let blobs = ground.objects(&at).into_iter().filter(|(_, (kind, _))| *kind == ObjectKind::Blob);
        let wanted: HashSet<ObjectId> = blobs.map(|(id, _)| id).collect();
        let brought = brought(&ground, &at);
        let (having, order) = (having(&ground, &at), places(&ground, &at));
        let head: BTreeSet<(ObjectId, String)> = having
            .iter()
            .filter(|(_, at_head)| at_head.iter().any(|id| *id == ground_head(&ground, &at)))
            .map(|(key, _)| key.clone())
            .collect();
        let found = History::open(&at).unwrap().origins(&wanted, &|_| false);
        assert!(found.skipped.is_empty(), "{:?}", found.skipped);
        let mut places = 0;
        for (id, found) in &found.objects {
            assert_eq!(found.more, 0);
            for origin in &found.origins {
                let key = (*id, String::from_utf8(origin.path.clone()).unwrap());
                let first = brought[&key].iter().min_by_key(|commit| order[commit]).unwrap();
                let last = having[&key].iter().max_by_key(|commit| order[commit]).unwrap();
                assert_eq!((origin.commit, origin.last.commit), (*first, *last), "{key:?}");
                let all: Vec<_> = found.origins.iter().map(|origin| origin.order).collect();
                assert!(all.is_sorted(), "the first one first");
                assert_eq!(origin.in_head, head.contains(&key), "{key:?}");
                assert!(
                    origin.author_email.ends_with("@example.org")
                        && origin.author_name.starts_with("Person ")
                );
                places += 1;
            }
        }
        assert_eq!(places, brought.len());
    }
}

fn ground_head(ground: &Ground, at: &Path) -> ObjectId {
    ground.id(at, "HEAD")
}

#[test]
fn what_no_reference_leads_to_has_no_origin_and_what_a_log_names_has() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    let write = |text: &[u8]| {
        let id = ground.given(&at, &["hash-object", "-w", "--stdin"], text);
        ObjectId::from_hex(id.trim_ascii()).unwrap()
    };
    let alone = write(b"in no commit");
    std::fs::write(at.join("file"), b"kept in the stash").unwrap();
    ground.git(&at, &["add", "file"]);
    ground.git(&at, &["commit", "-q", "-m", "first"]);
    std::fs::write(at.join("file"), b"stashed once").unwrap();
    ground.git(&at, &["stash", "-q"]);
    std::fs::write(at.join("file"), b"stashed again").unwrap();
    ground.git(&at, &["stash", "-q"]);
    std::fs::write(at.join("file"), b"amended").unwrap();
    ground.git(&at, &["commit", "-q", "-a", "-m", "second"]);
    std::fs::write(at.join("file"), b"anew").unwrap();
    ground.git(&at, &["commit", "-q", "-a", "--amend", "-m", "third"]);
    ground.git(&at, &["tag", "-a", "-m", "a tag", "v1"]);
    let tag = ground.id(&at, "v1");
    let commit = ground.id(&at, "HEAD");
    let ids = ["stashed once", "stashed again", "amended", "anew"].map(|text| write(text.as_bytes()));
    let wanted: HashSet<ObjectId> = ids.iter().copied().chain([alone, tag, commit]).collect();
    let found = History::open(&at).unwrap().origins(&wanted, &|_| false);
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
    assert!(found.objects[&alone].origins.is_empty());
    for id in ids {
        let origins = &found.objects[&id].origins;
        assert_eq!(origins.len(), 1, "{id}");
        assert_eq!(origins[0].path, b"file");
        assert_eq!(origins[0].in_head, id == ids[3]);
    }
    for id in [tag, commit] {
        let origins = &found.objects[&id].origins;
        assert_eq!((origins.len(), origins[0].commit, origins[0].path.len()), (1, commit, 0));
        assert_eq!(origins[0].in_head, id == commit);
    }
}

#[test]
fn a_shallow_history_begins_where_it_was_cut() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    ground.given(&at, &["fast-import", "--quiet", "--done"], &stream(&history(8, 5, 60)));
    let other = ground.path("other");
    let from = format!("file://{}", at.display());
    ground.git(&at, &["clone", "-q", "--depth=5", &from, other.to_str().unwrap()]);
    let wanted: HashSet<ObjectId> = ground.objects(&other).into_keys().collect();
    let found = History::open(&other).unwrap().origins(&wanted, &|_| false);
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
    assert!(found.objects.values().all(|found| !found.origins.is_empty()));
}

#[test]
fn what_is_staged_is_what_git_diff_says() {
    for version in ["2", "3", "4"] {
        for format in ["sha1", "sha256"] {
            let ground = Ground::new();
            let at = ground.repository("r", &[&format!("--object-format={format}")]);
            ground.git(&at, &["config", "index.version", version]);
            let staged = || History::open(&at).unwrap().staged(None).unwrap();
            assert!(staged().entries.is_empty());
            std::fs::create_dir_all(at.join("a/long/folder")).unwrap();
            for (name, text) in
                [("a/long/folder/one", "1"), ("a/long/folder/two", "2"), ("b", "3"), ("c", "4")]
            {
                std::fs::write(at.join(name), text).unwrap();
            }
            ground.git(&at, &["add", "."]);
            // Nothing is committed yet: all of it is staged.
            assert_eq!(staged().entries.len(), 4);
            ground.git(&at, &["commit", "-q", "-m", "first"]);
            assert!(staged().entries.is_empty());
            std::fs::write(at.join("a/long/folder/two"), "two").unwrap();
            std::fs::write(at.join("c"), "only in the folder").unwrap();
            std::fs::write(at.join("new file ü"), "new").unwrap();
            std::fs::write(at.join("announced"), "announced").unwrap();
            ground.git(&at, &["add", "a", "new file ü"]);
            ground.git(&at, &["add", "--intent-to-add", "announced"]);
            ground.git(&at, &["rm", "-q", "--cached", "b"]);
            let said = ground.git(
                &at,
                &["diff", "--cached", "--raw", "--no-abbrev", "-z", "--diff-filter=AM", "--no-renames"],
            );
            let said = String::from_utf8(said).unwrap();
            let words: Vec<&str> = said.split('\0').collect();
            let expected: Vec<(String, String)> = words
                .chunks_exact(2)
                .map(|pair| (pair[1].to_owned(), pair[0].split(' ').nth(3).unwrap().to_owned()))
                .filter(|(path, _)| path != "announced")
                .collect();
            let found: Vec<(String, String)> = staged()
                .entries
                .into_iter()
                .map(|entry| (String::from_utf8(entry.path).unwrap(), entry.id.to_string()))
                .collect();
            assert_eq!(found, expected, "{version} {format}");
            assert_eq!(found.len(), 2);
        }
    }
}

#[test]
fn an_index_that_is_not_understood_is_refused() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    for number in 0..30 {
        std::fs::write(at.join(format!("file{number}")), "text").unwrap();
    }
    ground.git(&at, &["add", "."]);
    let index = at.join(".git/index");
    let good = std::fs::read(&index).unwrap();
    for length in 0..good.len() {
        std::fs::write(&index, &good[..length]).unwrap();
        let read = History::open(&at).unwrap().staged(None);
        assert!(read.is_err() || read.unwrap().entries.len() == 30, "{length}");
    }
    std::fs::write(&index, &good).unwrap();
    ground.git(&at, &["update-index", "--split-index"]);
    assert!(History::open(&at).unwrap().staged(None).unwrap_err().to_string().contains("split"));
}

#[test]
fn of_many_paths_the_first_are_reported_and_one_of_either_sort() {
    let ground = Ground::new();
    let at = ground.repository("r", &[]);
    for number in 0..ORIGINS_MAX + 3 {
        std::fs::write(at.join(format!("{number:03}.txt")), b"the same").unwrap();
    }
    for late in ["z.env", "z2.env"] {
        std::fs::write(at.join(late), b"the same").unwrap();
    }
    ground.git(&at, &["add", "--all"]);
    ground.git(&at, &["commit", "-q", "-m", "one"]);
    let id = ground.id(&at, "HEAD:z.env");
    let is_env = |path: &[u8]| path.ends_with(b".env");
    let found = History::open(&at).unwrap().origins(&[id].into(), &is_env);
    let found = &found.objects[&id];
    let envs = found.origins.iter().filter(|origin| is_env(&origin.path)).count();
    assert_eq!((found.origins.len(), envs, found.more), (ORIGINS_MAX + 1, 1, 4));
}
