//! Copies that service managers and agents keep for themselves: in memory, in rows of databases, and in files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_manager::SharedWorkload;
use keyroll_observe::{Holder, Listing, Place, ProcessId, Search};
use keyroll_port::{Class, Failure, Named, Values};
use keyroll_rotation::{FileId, Holds, Which};
use keyroll_secret::SecretBytes;

use super::copy_value::rendered;
use super::find::{OLD, place_digest};
use super::{ConsumerSetup, FileSetup, Local, scratch_dir};
use crate::read;

impl Local {
    /// The managers' own processes. Their memory holds the values that they pass to the processes that they start. They
    /// never present a value, and evidence about each started process is taken from that process itself.
    pub(super) fn keepers(&self) -> Vec<u32> {
        let slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        slots.filter_map(|slot| slot.run.supervisor_pid()).collect()
    }

    /// Helpers of agents, which pass their environment on and call nobody. For each helper: whether its consumer's
    /// files still hold the version that goes. After that, a helper with this version in its environment starts others
    /// with it.
    pub(super) fn helpers(
        &self,
        listing: &Listing,
        values: Values<'_>,
        stays: Which,
    ) -> BTreeMap<ProcessId, bool> {
        let mut found = BTreeMap::new();
        for consumer in &self.setup.consumers {
            let slots = consumer.slots.iter();
            let helpers: Vec<ProcessId> = slots.flat_map(|slot| slot.run.helpers(listing)).collect();
            let waits = !helpers.is_empty() && self.waits(consumer, values, stays);
            found.extend(helpers.into_iter().map(|helper| (helper, waits)));
        }
        found
    }

    /// Whether all files of a consumer still hold the version that goes.
    fn waits(&self, consumer: &ConsumerSetup, values: Values<'_>, stays: Which) -> bool {
        let going = if stays == Which::New { Holds::Old } else { Holds::New };
        let mut files = consumer.files.iter().filter_map(|id| self.setup.file(*id));
        files.all(|file| self.holds(file, values, stays) == going)
    }

    /// The rows from which agents take keys and that hold the version that goes, and the databases whose rows are not
    /// visible: in these nobody can distinguish rows from leftovers. A consumer's own row is explained as long as its
    /// files hold the same version.
    pub(super) fn rows(
        &self,
        values: Values<'_>,
        needles: &dyn Search,
        goes: u32,
    ) -> (Vec<Named>, Vec<PathBuf>) {
        let stays = if goes == OLD { Which::New } else { Which::Old };
        let (mut explained, mut unseen) = (BTreeMap::new(), Vec::new());
        for consumer in &self.setup.consumers {
            let waits = self.waits(consumer, values, stays);
            for slot in &consumer.slots {
                let found = slot.run.rows();
                let Some(rows) = found.rows else {
                    unseen.extend(found.databases.iter().filter_map(|path| path.canonicalize().ok()));
                    continue;
                };
                for row in rows {
                    let mut holds = false;
                    needles.find(row.value.expose(), &mut |id, _| holds |= id == goes);
                    if holds {
                        let (_, own) = explained.entry(row.whole_name).or_insert((row.name, false));
                        *own |= row.own && waits;
                    }
                }
            }
        }
        let held = explained.into_iter().filter(|(_, (_, explained))| !explained);
        let named = held.map(|(whole, (name, _))| Named { digest: place_digest(Path::new(&whole)), name });
        (named.collect(), unseen)
    }

    /// Refuses to overwrite an agent's row that holds neither of the two versions.
    pub(super) fn refuse_other_rows(
        &self,
        id: FileId,
        file: &FileSetup,
        values: Values<'_>,
    ) -> Result<(), Failure> {
        let versions = Self::row_versions(file, values);
        self.with_rows(id).try_for_each(|workload| workload.refuse_other_row(&file.path, &versions))
    }

    /// Workloads that read a file and may copy its content into a row.
    fn with_rows(&self, id: FileId) -> impl Iterator<Item = &SharedWorkload> {
        let consumers = self.setup.consumers.iter().filter(move |consumer| consumer.files.contains(&id));
        let workloads = consumers.flat_map(|consumer| &consumer.slots).map(|slot| &slot.run);
        workloads.filter(|workload| workload.has_rows())
    }

    /// The values of both versions that an agent may have in its row.
    pub(super) fn row_versions(file: &FileSetup, values: Values<'_>) -> Vec<SecretBytes> {
        let versions = [Some(values.old), values.new].into_iter().flatten();
        versions
            .flat_map(|fields| file.copies.iter().filter_map(|copy| rendered(copy, fields).ok()))
            .collect()
    }

    fn rows_kept(&self, id: FileId) -> String {
        format!("{}-rows-{}", self.setup.rotation, id.0)
    }

    /// A line that identifies a value and does not reveal it.
    fn row_line(&self, value: &SecretBytes) -> String {
        let plain = SecretBytes::new(value.expose().trim_ascii().to_vec());
        format!("{:?}\n", self.key.fingerprint(&plain).as_bytes())
    }

    /// Adds the fingerprints of the values that may be overwritten in an agent's row when the new value is applied.
    /// That may be much later, by another driver that does not get the values.
    pub(super) fn keep_rows(&self, id: FileId, versions: &[SecretBytes]) -> Result<(), Failure> {
        if self.with_rows(id).next().is_none() {
            return Ok(());
        }
        let mut text = self.rows_of(id);
        for line in versions.iter().map(|version| self.row_line(version)) {
            if !text.contains(&line) {
                text += &line;
            }
        }
        scratch_dir::keep_whole(&self.setup.work, &self.rows_kept(id), &text).map_err(|error| {
            Failure::new(Class::Retryable, Code::OtherDriver, "remember which keys may be replaced in a row")
                .because(error)
        })
    }

    fn rows_of(&self, id: FileId) -> String {
        std::fs::read_to_string(self.setup.work.join(self.rows_kept(id))).unwrap_or_default()
    }

    /// As [`Self::keep_rows`], for files that a command of the consumer made: adds their present content, because
    /// nobody hands over these values. Their earlier content may not be the old version; the trial has added that
    /// version.
    pub(super) fn keep_rows_fetched(&self, consumer: &ConsumerSetup) -> Result<(), Failure> {
        for id in &consumer.files {
            // Without a file nothing can be copied into a row.
            if let Ok(content) = self.file_setup(*id).and_then(|file| read(&self.resolved(file)?)) {
                self.keep_rows(*id, &[content.bytes])?;
            }
        }
        Ok(())
    }

    /// The fingerprints that were stored for the files of a consumer.
    pub(super) fn rows_known(&self, consumer: &ConsumerSetup) -> String {
        consumer.files.iter().map(|id| self.rows_of(*id)).collect()
    }

    /// Whether these fingerprints contain this value.
    pub(super) fn is_known_row(&self, known: &str, value: &SecretBytes) -> bool {
        known.contains(&self.row_line(value))
    }

    /// Files with leftover copies from which agents take no key: Sweep names them, and they block nothing. In a
    /// database these are the bytes outside its rows.
    pub(super) fn left(&self) -> Vec<PathBuf> {
        let slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        let left = slots.flat_map(|slot| slot.run.left_files());
        left.filter_map(|path| path.canonicalize().ok()).collect()
    }

    /// Files that managers write themselves: all of them, and those that are explained. A file is explained as long as
    /// the consumer's own files hold the version that goes; after that it is an undeclared copy.
    pub(super) fn kept(&self, values: Values<'_>, goes: u32) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let (mut all, mut explained) = (Vec::new(), Vec::new());
        let stays = if goes == OLD { Which::New } else { Which::Old };
        for consumer in &self.setup.consumers {
            let kept: Vec<PathBuf> = consumer.slots.iter().flat_map(|slot| slot.run.kept_files()).collect();
            let kept = kept.into_iter().filter_map(|path| path.canonicalize().ok());
            let same = self.waits(consumer, values, stays);
            for path in kept {
                if same {
                    explained.push(path.clone());
                }
                all.push(path);
            }
        }
        (all, explained)
    }
}

/// Whether a holder has the value only because it manages the consumer.
pub(super) fn keeps(keepers: &[u32], holder: &Holder) -> bool {
    keepers.contains(&holder.process.id.pid) && !holder.places.contains_key(&Place::Environment)
}
