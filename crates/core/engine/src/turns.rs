use std::sync::Arc;

use keyroll_rotation::Query;
use tokio::sync::Mutex;

/// One look of a kind at a time. A look whose time is over may still block a thread, on a disk that does not answer: the
/// next one of its kind waits for its end, so that at most one thread is blocked by each kind.
#[derive(Default)]
pub(crate) struct Turns(Vec<(Query, Arc<Mutex<()>>)>);

impl Turns {
    pub(crate) fn of(&mut self, query: &Query) -> Arc<Mutex<()>> {
        // What nobody else holds is not under way.
        self.0.retain(|(_, turn)| Arc::strong_count(turn) > 1);
        if let Some((_, turn)) = self.0.iter().find(|(asked, _)| asked == query) {
            return turn.clone();
        }
        let turn = Arc::default();
        self.0.push((query.clone(), Arc::clone(&turn)));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_waits_for_the_one_of_its_kind_and_for_no_other() {
        let mut turns = Turns::default();
        let (blocked, other) = (turns.of(&Query::Enumerate), turns.of(&Query::Sweep));
        let held = blocked.lock().await;
        assert!(turns.of(&Query::Enumerate).try_lock().is_err());
        assert!(other.try_lock().is_ok());
        drop(held);
        assert!(turns.of(&Query::Enumerate).try_lock().is_ok());
        drop((blocked, other));
        turns.of(&Query::List);
        assert_eq!(turns.0.len(), 1, "what is over is forgotten");
    }
}
