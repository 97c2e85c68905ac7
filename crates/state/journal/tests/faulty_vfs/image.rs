//! What a power failure leaves on the disk.
//!
//! Each sector of 512 bytes holds the content after any of the writes to it since it was last durable, apart from every
//! other sector, so writes are lost, torn and reordered. The length of a file is any that it had meanwhile. What the file
//! system itself logs happens in its order, up to any point: a file is cut off or not, and so for the names in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::Change;

const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// Every value since the last durable one, which is the first; never empty.
#[derive(Clone)]
struct Versions<T> {
    all: Vec<T>,
    /// The newest one would be made durable by the next sync. After a failed sync it would not.
    pending: bool,
}

impl<T: Clone + PartialEq> Versions<T> {
    fn new(first: T) -> Self {
        Self { all: vec![first], pending: false }
    }

    fn newest(&self) -> &T {
        self.all.last().unwrap()
    }

    fn set(&mut self, value: T) {
        if *self.newest() != value {
            self.all.push(value);
        }
        // A write of the same content is written too: after a failed sync it makes the content durable.
        self.pending = true;
    }

    fn sync(&mut self) {
        if self.pending {
            self.all.drain(..self.all.len() - 1);
            self.pending = false;
        }
    }
}

/// A file between two truncations.
#[derive(Clone)]
struct Content {
    sectors: BTreeMap<u64, Versions<Sector>>,
    length: Versions<u64>,
}

/// A file: its content since it was last durable, anew after each truncation; never empty.
#[derive(Clone)]
struct File(Vec<Content>);

/// The names that one call changed: what each then stands for.
type Renaming = Vec<(PathBuf, Option<usize>)>;

/// A folder as the system shows it, and as the disk may have it.
#[derive(Clone, Default)]
pub(crate) struct Folder {
    files: Vec<File>,
    shown: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Per folder, the changes of names that are not durable yet, oldest first.
    pending: BTreeMap<PathBuf, Vec<Renaming>>,
}

/// How much of what was not durable a power failure leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// As after a kill of the process alone.
    Everything,
    /// Everything but the newest version of one sector, length or list of names.
    AllBut(usize),
    /// Only one of them.
    Only(usize),
    /// Any version of each, drawn with this seed.
    Drawn(u64),
}

impl Folder {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Create(path) => {
                let content = Content { sectors: BTreeMap::new(), length: Versions::new(0) };
                self.files.push(File(vec![content]));
                self.rename(path, vec![(path.clone(), Some(self.files.len() - 1))]);
            }
            Change::Write { path, at, bytes } => self.file(path).newest().write(*at, bytes),
            Change::Truncate { path, length } => self.file(path).truncate(*length),
            Change::Sync(path) => {
                let file = self.file(path);
                file.0.drain(..file.0.len() - 1);
                let content = file.newest();
                content.length.sync();
                content.sectors.values_mut().for_each(Versions::sync);
            }
            Change::SyncFailed(path) => {
                // A folder's names are in the file system's log, which is written again.
                if let Some(&number) = self.shown.get(path) {
                    let content = self.files[number].newest();
                    content.length.pending = false;
                    content.sectors.values_mut().for_each(|sector| sector.pending = false);
                }
            }
            Change::SyncFolder(folder) => {
                for names in self.pending.remove(folder).unwrap_or_default() {
                    settle(&mut self.durable, &names);
                }
            }
            Change::Delete(path) => self.rename(path, vec![(path.clone(), None)]),
            Change::Rename(from, to) => {
                let number = self.shown[from];
                self.rename(to, vec![(from.clone(), None), (to.clone(), Some(number))]);
            }
        }
    }

    fn file(&mut self, path: &Path) -> &mut File {
        let number = self.shown.get(path).unwrap_or_else(|| panic!("{} was never made", path.display()));
        &mut self.files[*number]
    }

    fn rename(&mut self, path: &Path, names: Renaming) {
        settle(&mut self.shown, &names);
        self.pending.entry(path.parent().unwrap().to_owned()).or_default().push(names);
    }

    /// How many sectors, lengths, truncations and lists of names are not durable.
    pub(crate) fn undecided(&self) -> usize {
        let mut undecided = 0;
        self.decide(|versions| {
            undecided += usize::from(versions > 1);
            versions - 1
        });
        undecided
    }

    /// The files that a power failure leaves.
    pub(crate) fn left(&self, left: Left) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut place, mut seed) = (0, 0);
        if let Left::Drawn(drawn) = left {
            seed = drawn;
        }
        self.decide(|versions| {
            if versions == 1 {
                return 0;
            }
            let newest = versions - 1;
            let chosen = match left {
                Left::Nothing => 0,
                Left::Everything => newest,
                Left::AllBut(one) => {
                    if one == place {
                        0
                    } else {
                        newest
                    }
                }
                Left::Only(one) => {
                    if one == place {
                        newest
                    } else {
                        0
                    }
                }
                Left::Drawn(_) => usize::try_from(draw(&mut seed) % versions as u64).unwrap(),
            };
            place += 1;
            chosen
        })
    }

    /// Asks for each sector, length and list of names which of its versions the disk has.
    fn decide(&self, mut choose: impl FnMut(usize) -> usize) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut names = self.durable.clone();
        for pending in self.pending.values() {
            let kept = choose(pending.len() + 1);
            pending.iter().take(kept).for_each(|names_changed| settle(&mut names, names_changed));
        }
        let mut decided = BTreeMap::new();
        for (path, number) in names {
            let contents = &self.files[number].0;
            let content = &contents[choose(contents.len())];
            let length = usize::try_from(content.length.all[choose(content.length.all.len())]).unwrap();
            let mut bytes = vec![0; length];
            for (number, versions) in &content.sectors {
                let sector = versions.all[choose(versions.all.len())];
                let at = usize::try_from(*number).unwrap() * SECTOR_BYTES;
                if let Some(place) = bytes.get_mut(at..) {
                    let fits = place.len().min(SECTOR_BYTES);
                    place[..fits].copy_from_slice(&sector[..fits]);
                }
            }
            decided.insert(path, bytes);
        }
        decided
    }
}

impl File {
    fn newest(&mut self) -> &mut Content {
        self.0.last_mut().unwrap()
    }

    fn truncate(&mut self, length: u64) {
        let mut next = self.newest().clone();
        let (size, stays) = (SECTOR_BYTES as u64, usize::try_from(length % SECTOR_BYTES as u64).unwrap());
        next.sectors.retain(|number, _| number * size < length);
        if let Some(cut) = next.sectors.get_mut(&(length / size)) {
            let mut bytes = *cut.newest();
            bytes[stays..].fill(0);
            cut.set(bytes);
        }
        next.length = Versions::new(length);
        self.0.push(next);
    }
}

impl Content {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let size = SECTOR_BYTES as u64;
        let mut done = 0;
        while done < bytes.len() {
            let position = at + done as u64;
            let within = usize::try_from(position % size).unwrap();
            let count = (SECTOR_BYTES - within).min(bytes.len() - done);
            let empty = || Versions::new([0; SECTOR_BYTES]);
            let sector = self.sectors.entry(position / size).or_insert_with(empty);
            let mut next = *sector.newest();
            next[within..within + count].copy_from_slice(&bytes[done..done + count]);
            sector.set(next);
            done += count;
        }
        let length = at + bytes.len() as u64;
        if length > *self.length.newest() {
            self.length.set(length);
        }
    }
}

fn settle(names: &mut BTreeMap<PathBuf, usize>, changed: &Renaming) {
    for (name, number) in changed {
        match number {
            Some(number) => names.insert(name.clone(), *number),
            None => names.remove(name),
        };
    }
}

/// The next number of a sequence that looks random (SplitMix64).
pub(crate) fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Writes files into a folder.
pub(crate) fn put(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
