use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::member::Member;

/// The answer of one member, awaited.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Asks all members at the same time; the answers are in the order of the questions.
///
/// The machine that keyroll runs on is asked last: its calls block the thread, and a call of another machine goes on by
/// itself once it was begun.
pub(crate) async fn all<'a, T: Send>(asked: Vec<(&'a Member, Answer<'a, T>)>) -> Vec<(&'a Member, T)> {
    let mut open: Vec<(&'a Member, Answer<'a, T>, Option<T>)> =
        asked.into_iter().map(|(member, answer)| (member, answer, None)).collect();
    poll_fn(|context| {
        let mut waits = false;
        for is_here in [false, true] {
            for (member, answer, done) in &mut open {
                if member.is_here != is_here || done.is_some() {
                    continue;
                }
                match answer.as_mut().poll(context) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => waits = true,
                }
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    open.into_iter().filter_map(|(member, _, done)| Some((member, done?))).collect()
}
