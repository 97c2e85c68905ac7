//! `GET /v1/events`: what happens, as it happens, by server-sent events.
//!
//! Everything that happens is an entry of the journal, so the number of an entry is the id of an event, and a caller that
//! connects again with the last id misses nothing. An id is sent only when everything up to its entry was sent: of several
//! events that belong together the last one has it, and whoever breaks off in between gets them again.

mod look;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_core::Stream;
use keyroll_app::problem::Problem;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, interval_at, sleep};

use self::look::{Page, look, page, text};
use super::query::parameters;
use crate::answer::Refusal;
use crate::log::News;
use crate::role::Role;
use crate::server::Server;
use crate::stop::stopped;
use crate::streams::{Batch, Full, Last, Look, Slot};
use crate::tokens::{Caller, TokenShown, Tokens};

/// How often it is looked whether something happened, while a stream is open.
const LOOK: Duration = Duration::from_millis(500);
/// How often a stream says at least something, so that no proxy takes it for dead; and how often its token is read again
/// while nothing happens.
const ALIVE: Duration = Duration::from_secs(15);
/// When a client connects again that lost its connection.
const RETRY: Duration = Duration::from_secs(2);
/// When a caller may try again who has too many streams, seconds.
const FULL_S: u64 = 10;
/// The header that a client connects again with.
const LAST_ID: &str = "last-event-id";

/// What happens, as it happens: server-sent events, without an end.
///
/// `rotation`: a rotation moved, waits or ended; the data is a Rotation as in a list. `act`: somebody asked for something;
/// the data is an Act. `reset`: the id that was sent is not in the journal, which was replaced; what stands follows.
/// `problem`: the journal cannot be read now; the data is a Problem, and the stream goes on when it can be read again. `end`:
/// why the stream ends.
///
/// Without an id the stream begins with each open rotation as it stands. With one, it begins with what happened since then,
/// and each open rotation as it stands. An event may come twice, and none is left out.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "reads",
    params(
        ("Last-Event-ID" = Option<u64>, Header, description = "the id of the last event that was received"),
        ("after" = Option<u64>, Query, description = "the same, for a client that sends no header; one of the two"),
    ),
    responses(
        (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
        (status = 400, description = "The id is no number, or is given twice, or a parameter is not known"),
        (status = 429, description = "Too many streams are open: 16, or 8 of this token"),
    ),
)]
pub(crate) async fn events(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let own = asked(&headers, query.as_deref())
        .map_err(|why| misunderstood(why).answered(StatusCode::BAD_REQUEST))?;
    let slot = server.streams.enter(&caller.id).map_err(|why| full(&why))?;
    let first = page(&server, own).await.map_err(|problem| Refusal::of(&problem).soon())?;
    // One event waits while another is written: a caller who does not read costs no more, and loses the connection.
    let (out, told) = mpsc::channel(1);
    let teller = Teller { server, caller, out, own, looks: None, news: News::default(), _slot: slot };
    tokio::spawn(teller.run(first));
    let mut response = Sse::new(Told(told)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The id that the caller has: a client sends the header by itself when it connects again.
fn asked(headers: &HeaderMap, query: Option<&str>) -> Result<Option<u64>, &'static str> {
    let mut all = headers.get_all(LAST_ID).iter();
    let (header, more) = (all.next(), all.next());
    // Whoever mistypes the parameter must not take the newest events for all.
    let after = parameters(query.unwrap_or_default(), &["after"])?.pop().map(|(_, given)| given);
    match (header, more, after) {
        (None, _, None) => Ok(None),
        (Some(given), None, None) => number(given.to_str().unwrap_or_default()).map(Some),
        (None, _, Some(given)) => number(given).map(Some),
        (Some(_), Some(_), _) | (Some(_), None, Some(_)) => Err("the id of an event is given twice"),
    }
}

fn number(given: &str) -> Result<u64, &'static str> {
    let digits = !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit());
    given.parse().ok().filter(|_| digits).ok_or("the id of an event is a number")
}

fn misunderstood(why: &str) -> Refusal {
    let help = "send the id of the last event as Last-Event-ID, or as ?after=ID; or neither";
    Refusal { help: Some(help.to_owned()), ..Refusal::new(format!("the request is not understood: {why}")) }
}

fn full(why: &Full) -> Response {
    let why = match why {
        Full::OfToken(open) => format!("{open} streams of this token are open, and no more may be"),
        Full::OfAll(open) => format!("{open} streams are open, and no more may be"),
    };
    let help = Some("end one of them, or read GET /v1/rotations from time to time".to_owned());
    Refusal { help, ..Refusal::new(why) }.later(StatusCode::TOO_MANY_REQUESTS, FULL_S)
}

fn problem_text(problem: &Problem) -> String {
    text(&Refusal::of(problem).problem(StatusCode::SERVICE_UNAVAILABLE))
}

/// Looks for all streams, for as long as the server runs.
pub(crate) async fn keep(server: Arc<Server>) {
    let mut failed = false;
    loop {
        sleep(LOOK).await;
        let mut last = server.streams.last.lock().await;
        if !server.streams.is_watched() {
            *last = Last::default();
            continue;
        }
        match look(&server, &mut last).await {
            Ok(upto) => {
                if failed {
                    server.streams.tell(Look::Moved(Batch { upto, ..Batch::default() }));
                }
                failed = false;
            }
            Err(problem) => {
                server.streams.tell(Look::Failed(problem_text(&problem)));
                failed = true;
            }
        }
    }
}

/// The events of one stream.
struct Told(mpsc::Receiver<Event>);

impl Stream for Told {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

/// Tells one stream.
struct Teller {
    server: Arc<Server>,
    /// Its token is not kept, only what identifies it.
    caller: Caller,
    out: mpsc::Sender<Event>,
    /// The number of the last entry that was told; none before the first page.
    own: Option<u64>,
    /// None while the journal must be read first.
    looks: Option<broadcast::Receiver<Arc<Look>>>,
    /// Why it could not be read.
    news: News,
    _slot: Slot,
}

/// The stream ends: the caller is gone, or its token does not count any more.
struct Ended;

impl Teller {
    async fn run(mut self, first: Page) {
        let (mut stop, out) = (self.server.streams.stop(), self.out.clone());
        let why = tokio::select! {
            _ = self.tell(first) => "the token does not count any more",
            () = out.closed() => return,
            () = stopped(&mut stop) => "the server stops",
        };
        // Whoever does not read is not waited for.
        let _ = out.try_send(Event::default().event("end").data(why));
    }

    /// Tells everything from the first page on, until the stream ends.
    async fn tell(&mut self, first: Page) -> Result<(), Ended> {
        self.send(Event::default().retry(RETRY)).await?;
        self.show(first).await?;
        if self.looks.is_none() {
            self.catch_up().await?;
        }
        let mut alive = interval_at(Instant::now() + ALIVE, ALIVE);
        loop {
            tokio::select! {
                _ = alive.tick() => {
                    self.counts()?;
                    self.send(Event::DEFAULT_KEEP_ALIVE).await?;
                }
                look = next(&mut self.looks) => match look.as_deref() {
                    Some(look) => self.heard(look).await?,
                    None => self.catch_up().await?,
                },
            }
        }
    }

    async fn heard(&mut self, look: &Look) -> Result<(), Ended> {
        self.counts()?;
        match look {
            Look::Moved(batch) => self.batch(false, batch).await,
            Look::Replaced => {
                // No entry has this number, so that it is begun anew.
                self.own = Some(u64::MAX);
                self.catch_up().await
            }
            Look::Failed(problem) => self.failed(problem).await,
        }
    }

    /// Reads what is not told yet until it hears every look. What cannot be read is tried again at the next look.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        self.looks = None;
        while self.looks.is_none() {
            self.counts()?;
            match page(&self.server, self.own).await {
                Ok(page) => self.show(page).await?,
                Err(problem) => return self.failed(&problem_text(&problem)).await,
            }
        }
        Ok(())
    }

    async fn show(&mut self, page: Page) -> Result<(), Ended> {
        let Page { replaced, batch, looks } = page;
        self.batch(replaced, &batch).await?;
        self.looks = looks;
        Ok(())
    }

    async fn batch(&mut self, replaced: bool, batch: &Batch) -> Result<(), Ended> {
        self.news.is(None);
        let own = self.own.filter(|_| !replaced);
        for event in in_order(replaced, own, batch) {
            self.send(event).await?;
        }
        self.own = Some(batch.upto.max(own.unwrap_or_default()));
        Ok(())
    }

    /// Says why it cannot be read, once for each reason.
    async fn failed(&mut self, problem: &str) -> Result<(), Ended> {
        match self.news.is(Some(problem)) {
            true => self.send(Event::default().event("problem").data(problem)).await,
            false => Ok(()),
        }
    }

    /// Whether the token still counts: it may have been revoked. If that cannot be read, nobody is shown anything.
    fn counts(&self) -> Result<(), Ended> {
        let tokens = Tokens::read(&self.server.tokens).map_err(|_| Ended)?;
        let its = |token: &TokenShown| token.id == self.caller.id && token.role.allows(Role::Viewer);
        tokens.list().iter().any(its).then_some(()).ok_or(Ended)
    }

    async fn send(&self, event: Event) -> Result<(), Ended> {
        self.out.send(event).await.map_err(|_| Ended)
    }
}

/// The next look; none if the journal must be read: the stream is too far behind, or it could not be read a moment ago.
async fn next(looks: &mut Option<broadcast::Receiver<Arc<Look>>>) -> Option<Arc<Look>> {
    match looks {
        Some(looks) => looks.recv().await.ok(),
        None => {
            sleep(LOOK).await;
            None
        }
    }
}

/// The events of a batch, of which the last one has the id; an id alone if there is nothing to say. `own`: the entry up to
/// which everything was told.
fn in_order(replaced: bool, own: Option<u64>, batch: &Batch) -> Vec<Event> {
    let upto = batch.upto.max(own.unwrap_or_default());
    let event = |kind: &str, data: &str| Event::default().event(kind).data(data);
    let mut events = Vec::new();
    if replaced {
        events.push(event("reset", &format!("{{\"newest\":{upto}}}")));
    }
    let new = batch.acts.iter().filter(|(entry, _)| own.is_none_or(|own| *entry > own));
    events.extend(new.map(|(_, act)| event("act", act)));
    events.extend(batch.rotations.iter().map(|rotation| event("rotation", rotation)));
    let last = events.pop().unwrap_or_default();
    events.push(last.id(upto.to_string()));
    events
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn headers(all: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in all {
            headers.append(LAST_ID, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn an_id_is_read_strictly() {
        assert_eq!(asked(&headers(&[]), None), Ok(None));
        assert_eq!(asked(&headers(&[]), Some("")), Ok(None));
        assert_eq!(asked(&headers(&["0"]), None), Ok(Some(0)));
        assert_eq!(asked(&headers(&["57"]), Some("&")), Ok(Some(57)));
        assert_eq!(asked(&headers(&[]), Some("after=18446744073709551615")), Ok(Some(u64::MAX)));
        for bad in ["", " ", "+5", "-1", "5 ", "0x5", "5.0", "none", "18446744073709551616", "\u{e4}"] {
            assert!(number(bad).is_err(), "{bad}");
        }
        for bad in [&[""][..], &["x"], &["+5"], &["5", "5"], &["5", "6"]] {
            assert!(asked(&headers(bad), None).is_err(), "{bad:?}");
        }
        for bad in
            ["after", "after=", "after=x", "after=5&after=5", "After=5", "before=5", "after=5&all=true"]
        {
            let why = asked(&headers(&[]), Some(bad)).unwrap_err();
            assert!(!why.contains('5'), "{bad}: {why}");
        }
        assert!(asked(&headers(&["5"]), Some("after=5")).is_err(), "one of the two");
    }

    /// What a caller reads.
    async fn sent(events: Vec<Event>) -> String {
        let (out, told) = mpsc::channel(events.len().max(1));
        for event in events {
            out.send(event).await.unwrap();
        }
        drop(out);
        let body = Sse::new(Told(told)).into_response().into_body();
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    fn batch(upto: u64, acts: &[u64], rotations: &[&str]) -> Batch {
        Batch {
            upto,
            acts: acts.iter().map(|entry| (*entry, format!("{{\"entry\":{entry}}}"))).collect(),
            rotations: rotations.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[tokio::test]
    async fn only_the_last_event_of_a_batch_has_the_id() {
        let told = sent(in_order(false, Some(5), &batch(8, &[6, 7], &["{}"]))).await;
        let act = |entry| format!("event: act\ndata: {{\"entry\":{entry}}}\n\n");
        assert_eq!(told, format!("{}{}event: rotation\ndata: {{}}\nid: 8\n\n", act(6), act(7)));
        // What was told is not told again, and an id never goes down.
        let told = sent(in_order(false, Some(9), &batch(8, &[6, 7], &["{}"]))).await;
        assert_eq!(told, "event: rotation\ndata: {}\nid: 9\n\n");
        // Nothing to say: the id alone, which is no event.
        assert_eq!(sent(in_order(false, Some(5), &batch(8, &[], &[]))).await, "id: 8\n\n");
        assert_eq!(sent(in_order(false, None, &batch(0, &[], &[]))).await, "id: 0\n\n");
        let told = sent(in_order(true, None, &batch(3, &[], &[]))).await;
        assert_eq!(told, "event: reset\ndata: {\"newest\":3}\nid: 3\n\n");
    }
}
