//! What the managers of services keep beside the services themselves: what they were told to start them with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_manager::SharedWorkload;
use keyroll_needle::{NeedleId, Needles};
use keyroll_observe::{Holder, Listing, Place, ProcessId};
use keyroll_port::{Class, Failure, Named, Values};
use keyroll_rotation::{FileId, Holds, Which};
use keyroll_secret::SecretBytes;

use super::copy_value::rendered;
use super::find::{OLD, place_digest};
use super::{ConsumerSetup, FileSetup, Local, scratch_dir};
use crate::read;

impl Local {
    /// The managers' own processes: their memory holds what they start others with. They never present it, and what
    /// they start shows by itself what it was given.
    pub(super) fn keepers(&self) -> Vec<u32> {
        let slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        slots.filter_map(|slot| slot.run.supervisor_pid()).collect()
    }

    /// Own processes of agents that hand their environment on and call nobody; with each whether its consumer's files hold
    /// the version that goes still. One that has it in its environment afterwards starts others with it.
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

    /// Whether all files of a consumer hold the version that goes still.
    fn waits(&self, consumer: &ConsumerSetup, values: Values<'_>, stays: Which) -> bool {
        let going = if stays == Which::New { Holds::Old } else { Holds::New };
        let mut files = consumer.files.iter().filter_map(|id| self.setup.file(*id));
        files.all(|file| self.holds(file, values, stays) == going)
    }

    /// Rows from which agents take keys and that hold the version that goes; with them the databases whose rows are not
    /// visible, of which nobody can say what is only left there. A consumer's own row explains itself as long as its files
    /// hold the same version.
    pub(super) fn rows(
        &self,
        values: Values<'_>,
        needles: &Needles,
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
                    needles.find(row.value.expose(), &mut |hit| holds |= hit.id == NeedleId(goes));
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

    /// What an agent keeps in a row of its own is overwritten only where that holds one of the two versions.
    pub(super) fn refuse_other_rows(
        &self,
        id: FileId,
        file: &FileSetup,
        values: Values<'_>,
    ) -> Result<(), Failure> {
        let versions = Self::row_versions(file, values);
        self.with_rows(id).try_for_each(|workload| workload.refuse_other_row(&file.path, &versions))
    }

    /// Workloads that read a file and may keep what it holds in a row.
    fn with_rows(&self, id: FileId) -> impl Iterator<Item = &SharedWorkload> {
        let consumers = self.setup.consumers.iter().filter(move |consumer| consumer.files.contains(&id));
        let workloads = consumers.flat_map(|consumer| &consumer.slots).map(|slot| &slot.run);
        workloads.filter(|workload| workload.has_rows())
    }

    /// What of both versions an agent may find in its row.
    pub(super) fn row_versions(file: &FileSetup, values: Values<'_>) -> Vec<SecretBytes> {
        let versions = [Some(values.old), values.new].into_iter().flatten();
        versions
            .flat_map(|fields| file.copies.iter().filter_map(|copy| rendered(copy, fields).ok()))
            .collect()
    }

    fn rows_kept(&self, id: FileId) -> String {
        format!("{}-rows-{}", self.setup.rotation, id.0)
    }

    /// A line for a value, by which it is known again and cannot be told.
    fn row_line(&self, value: &SecretBytes) -> String {
        let plain = SecretBytes::new(value.expose().trim_ascii().to_vec());
        format!("{:?}\n", self.key.fingerprint(&plain).as_bytes())
    }

    /// Keeps by which values an agent's row may be overwritten when the value is applied, beside those that were kept
    /// before: that may be much later, and by another driver, which is handed no values then.
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

    /// The same for files that a command of the consumer has made: of what stands in them, which nobody hands on. What stood
    /// there before is not known to be the old version; that was kept by the trial.
    pub(super) fn keep_rows_fetched(&self, consumer: &ConsumerSetup) -> Result<(), Failure> {
        for id in &consumer.files {
            // Without a file nothing is put into a row.
            if let Ok(content) = self.file_setup(*id).and_then(|file| read(&self.resolved(file)?)) {
                self.keep_rows(*id, &[content.bytes])?;
            }
        }
        Ok(())
    }

    /// What was kept for the files of a consumer.
    pub(super) fn rows_known(&self, consumer: &ConsumerSetup) -> String {
        consumer.files.iter().map(|id| self.rows_of(*id)).collect()
    }

    /// Whether this is among it.
    pub(super) fn is_known_row(&self, known: &str, value: &SecretBytes) -> bool {
        known.contains(&self.row_line(value))
    }

    /// Files in which agents leave copies that they take no key from: named by the last search, and in nobody's way. Of a
    /// database that is what stands in none of its rows.
    pub(super) fn left(&self) -> Vec<PathBuf> {
        let slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        let left = slots.flat_map(|slot| slot.run.left_files());
        left.filter_map(|path| path.canonicalize().ok()).collect()
    }

    /// Files that managers write themselves: copies that explain themselves as long as the consumer's own files hold
    /// the same version, and copies that nobody explains once those hold the other.
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

/// Whether a process holds a value only because it manages who uses it.
pub(super) fn keeps(keepers: &[u32], holder: &Holder) -> bool {
    keepers.contains(&holder.process.id.pid) && !holder.places.contains_key(&Place::Environment)
}
