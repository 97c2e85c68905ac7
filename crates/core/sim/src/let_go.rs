//! What the operator let go beside hosts: consumers that are gone, and files that are accepted as they stand.

use keyroll_rotation::{Consumer, ConsumerId, Fact, FileId, Kinds, Waived};

use crate::schedule::Run;

impl Run {
    /// The consumers that have gone: they were let go, and no complete look has shown since that an instance of them runs.
    pub(crate) fn gone(&self) -> Vec<ConsumerId> {
        let mut gone = Vec::new();
        for event in self.ledger.ever() {
            match &event.fact {
                Fact::Waived(Waived::Gone(id)) if !gone.contains(id) => gone.push(*id),
                Fact::Enumerated(seen) if seen.complete => gone.retain(|id| {
                    let runs = |it: &keyroll_rotation::ObservedInstance| {
                        it.consumer == Some(*id) && it.who.life.runs()
                    };
                    !seen.instances.iter().any(runs)
                }),
                _ => {}
            }
        }
        gone
    }

    /// The waiver counts as long as what it names is away or stays as it is.
    pub(crate) fn is_standing(&self, what: &Waived) -> bool {
        match what {
            Waived::Host(host) => self.left().contains(host),
            Waived::Gone(id) => self.gone().contains(id),
            Waived::LastUse => self.use_is_waived(),
            _ => true,
        }
    }

    /// The file was accepted as it stands.
    pub(crate) fn accepts_file(&self, file: FileId) -> bool {
        self.ledger.ever().iter().any(|event| event.fact == Fact::Waived(Waived::File(file)))
    }

    /// Whether a file may hold anything at the end: it was accepted, or every consumer that reads it has gone.
    pub(crate) fn may_hold_anything(&self, at: usize) -> bool {
        let Some(file) = u16::try_from(at).ok().map(FileId) else { return false };
        let gone = self.gone();
        let all = (0..).map(ConsumerId).zip(&self.world.plan.consumers);
        let mut readers = all.filter(|(_, it)| it.files.contains(&file));
        self.accepts_file(file) || !gone.is_empty() && readers.all(|(id, _)| gone.contains(&id))
    }

    /// The evidence that the policy demands of a consumer: none about files, if one of its files was accepted as it stands.
    pub(crate) fn required(&self, consumer: &Consumer) -> Kinds {
        let require = self.world.plan.policy.require;
        let about_files = Kinds::DELIVERED.and(Kinds::READ);
        let accepted = consumer.files.iter().any(|file| self.accepts_file(*file));
        if accepted { require.without(about_files) } else { require }
    }
}
