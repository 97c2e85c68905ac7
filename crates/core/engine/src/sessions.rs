//! Live sessions: whose they are, and the end of those on the old credential.

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Session, Sessions};
use keyroll_rotation::State;
use keyroll_secret::CredentialId;

use crate::Note;
use crate::executor::{Executor, Old};

/// Between two looks at sessions that are not known to be idle yet, milliseconds.
const IDLE_LOOK_MS: u64 = 2_000;

impl Executor {
    /// Live sessions of both versions, where the issuer shows them.
    pub(crate) async fn sessions(&self, old: &Old, state: &State) -> Result<Sessions, Failure> {
        let issuer = &self.ports.issuer;
        if !issuer.capabilities().sessions {
            return Ok(Sessions::default());
        }
        let of_old = match &old.credential.id {
            Some(id) => issuer.sessions(id).await?,
            None => None,
        };
        let of_new = match state.new_version() {
            Some(new) => issuer.sessions(&CredentialId::new(new.credential.as_str())).await?,
            None if !state.plan().aim.makes_new() => self.sessions_since(old).await?,
            None => None,
        };
        Ok(Sessions { old: of_old, new: of_new })
    }

    /// Live sessions of the versions after the old one: of a key that was shared, those that its consumers use now.
    async fn sessions_since(&self, old: &Old) -> Result<Option<Vec<Session>>, Failure> {
        let versions = self.ports.store.versions(self.secret()).await?;
        let mut all = None;
        for id in versions.iter().filter(|it| it.number > old.number).filter_map(|it| it.credential.as_ref())
        {
            let Some(sessions) = self.ports.issuer.sessions(id).await? else { continue };
            all.get_or_insert_with(Vec::new).extend(sessions);
        }
        Ok(all)
    }

    /// Ends idle sessions. In an emergency nothing later looks for the rest: this looks again until a session that was not
    /// seen before is known to be idle, and reports those that stay.
    pub(crate) async fn end_sessions(&self, old: &Old, state: &State) -> Result<(), Failure> {
        let id = Self::old_id(old)?;
        let mut left = self.end_idle(id).await?;
        if state.emergency().is_none() {
            return Ok(());
        }
        let mut remaining_ms = self.ports.issuer.idle_ms();
        while left > 0 && remaining_ms > 0 {
            let pause_ms = remaining_ms.min(IDLE_LOOK_MS);
            let clock = &self.ports.clock;
            clock.sleep_until(clock.monotonic_ms().saturating_add(pause_ms)).await;
            remaining_ms -= pause_ms;
            left = self.end_idle(id).await?;
        }
        if left > 0 {
            self.note(Note::Failed(left_open(left)));
        }
        Ok(())
    }

    /// How many are left: busy, or not ended.
    async fn end_idle(&self, id: &CredentialId) -> Result<usize, Failure> {
        let sessions = self.ports.issuer.sessions(id).await?.unwrap_or_default();
        let idle: Vec<String> = sessions.iter().filter(|it| !it.busy).map(|it| it.handle.clone()).collect();
        if idle.is_empty() {
            return Ok(sessions.len());
        }
        let ended = self.ports.issuer.end_sessions(id, &idle, false).await?;
        if ended < idle.len() {
            self.note(Note::Failed(not_all_ended(ended, idle.len())));
        }
        Ok(sessions.len().saturating_sub(ended))
    }
}

fn not_all_ended(ended: usize, of: usize) -> Failure {
    Failure::new(Class::Retryable, Code::SessionsNotEnded, format!("end {of} idle sessions on the old credential"))
        .because(format!("{ended} were ended; the others went by themselves, are busy by now, or are not ended from here"))
        .help("a client of a pooler that is idle stays logged in there until it comes again, or the pooler is restarted")
}

fn left_open(count: usize) -> Failure {
    Failure::new(Class::Retryable, Code::SessionsNotEnded, "end every session on the old credential")
        .because(format!("{count} are busy or were not ended: whoever has one goes on with it"))
        .help("end them at the issuer, if they are not your own consumers'")
}
