use async_trait::async_trait;
use keyroll_port::{Journal, JournalError, Opening, Overview, Recorded, RotationId};
use keyroll_rotation::{Event, Seq};

use super::{Port, scope};
use crate::calls::{CallResult, Wrote};
use crate::scene::ROTATION;
use crate::store::FIRST;

impl Port {
    async fn written(&self, ticket: usize) -> Result<(), JournalError> {
        let answer = std::future::poll_fn(|_| {
            let answer = self.run().answers.get_mut(ticket).and_then(Option::take);
            answer.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        });
        match answer.await {
            CallResult::Written(Wrote::Yes) => Ok(()),
            CallResult::Written(Wrote::Unavailable) => {
                Err(JournalError::Unavailable("the disk is full".into()))
            }
            CallResult::Written(Wrote::Fenced) => {
                Err(JournalError::Fenced { newest: self.run().ledger.epoch })
            }
            CallResult::Written(Wrote::Conflict) => {
                Err(JournalError::Conflict { last: self.run().ledger.last() })
            }
            _ => Err(JournalError::UnknownCommit("the answer is lost".into())),
        }
    }
}

#[async_trait]
impl Journal for Port {
    async fn open(&self, _: &RotationId, _: &Opening) -> Result<(), JournalError> {
        Ok(())
    }

    async fn take_over(&self, _: &RotationId) -> Result<u64, JournalError> {
        let mut run = self.run();
        run.ledger.epoch += 1;
        let epoch = run.ledger.epoch;
        run.say(|| format!("driver {epoch} takes over"));
        Ok(epoch)
    }

    async fn append(&self, _: &RotationId, seq: Seq, event: &Event, _: u64) -> Result<(), JournalError> {
        let ticket = self.run().begin_append(self.slot, scope(), seq, event);
        self.written(ticket).await
    }

    async fn witness(&self) -> Result<(), JournalError> {
        let ticket = self.run().begin_witness(self.slot, scope());
        self.written(ticket).await
    }

    async fn load(&self, id: &RotationId) -> Result<Recorded, JournalError> {
        if scope().is_some() {
            let ticket = self.run().begin_reload(self.slot);
            self.written(ticket).await?;
        }
        let run = self.run();
        let opening = Opening {
            secret: "acme".to_owned(),
            from_version: FIRST,
            plan: run.ledger.plan.clone(),
            names: String::new(),
            at: run.ledger.opened,
            unix_ms: 0,
        };
        Ok(Recorded { id: id.clone(), opening, events: run.ledger.entries.clone(), unix_ms: Vec::new() })
    }

    async fn list(&self) -> Result<Vec<Overview>, JournalError> {
        let id = RotationId(ROTATION.to_owned());
        Ok(vec![Overview { id, secret: "acme".to_owned(), open: true, unix_ms: 0 }])
    }

    async fn close(&self, _: &RotationId) -> Result<(), JournalError> {
        Ok(())
    }

    async fn remember(&self, _: u64, _: &str) -> Result<(), JournalError> {
        Ok(())
    }

    async fn recall(&self, _: u64) -> Result<Option<String>, JournalError> {
        Ok(None)
    }
}
