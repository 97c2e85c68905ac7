//! Requests to the API server, each of which only reads, with their limits.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::Request;
use hyper::header::{self, HeaderValue};
use hyper::http::response::Parts;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimeParser;
use keyroll_kube::{Cluster, Effect, failure};
use keyroll_port::Failure;
use kube::Client;
use kube::api::ListParams;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::page;

/// How long one request may take, with its answer.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// The largest answer, bytes. A larger page is asked for again with fewer objects.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many objects are asked for at once; kubectl asks for as many.
const PAGE: u32 = 500;
/// The smallest page. An object has at most about 1.5 MiB, so this one always fits into an answer.
const PAGE_MIN: u32 = 5;
/// How often a list begins anew because its position expired.
const RESTARTS_MAX: u32 = 3;
/// How many pages one list has at most, those before a new beginning included.
const PAGES_MAX: u32 = 10_000;
/// How long the pages of one list may take.
const LIST_MAX: Duration = Duration::from_secs(600);
/// How many objects of one kind are kept.
const OBJECTS_MAX: usize = 20_000;
/// How many bytes of values of one kind are kept.
const VALUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A kind of object, as the paths of the API and the rules of a Role name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Empty for the kinds of the core.
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
}

impl Kind {
    /// A kind in version 1 of its group.
    pub(super) const fn v1(group: &'static str, plural: &'static str) -> Self {
        Self { group, version: "v1", plural }
    }

    fn path(&self, namespace: &str) -> String {
        path_of(namespace, self.group, self.version, self.plural)
    }

    /// How a rule of a Role names the kind.
    pub(super) fn rule(&self) -> String {
        match self.group {
            "" => format!("resources [{}]", self.plural),
            group => format!("apiGroups [{group}] resources [{}]", self.plural),
        }
    }
}

/// The path of the objects of a kind; the group of the core is empty.
pub(crate) fn path_of(namespace: &str, group: &str, version: &str, plural: &str) -> String {
    match group {
        "" => format!("/api/{version}/namespaces/{namespace}/{plural}"),
        group => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
    }
}

/// What is wanted of a list. Each object is mapped as it is read: see [`page`].
pub(super) struct Wanted<'m, K, T> {
    pub(super) kind: Kind,
    /// Only the metadata of the objects is asked for.
    pub(super) metadata: bool,
    pub(super) map: Box<dyn Fn(K) -> T + Send + Sync + 'm>,
    /// How many bytes of values the mapped object holds.
    pub(super) weigh: fn(&T) -> usize,
}

impl<'m, K, T> Wanted<'m, K, T> {
    /// Whole objects, whose size does not matter.
    pub(super) fn of(kind: Kind, map: impl Fn(K) -> T + Send + Sync + 'm) -> Self {
        Self::weighed(kind, map, |_| 0)
    }

    /// Whole objects that hold values.
    pub(super) fn weighed(
        kind: Kind,
        map: impl Fn(K) -> T + Send + Sync + 'm,
        weigh: fn(&T) -> usize,
    ) -> Self {
        Self { kind, metadata: false, map: Box::new(map), weigh }
    }
}

/// What a list had.
pub(super) struct Listed<T> {
    pub(super) all: Vec<T>,
    /// Why the rest of it was not read, if it has more.
    pub(super) cut: Option<String>,
    /// How many bytes of values it holds.
    held: usize,
}

impl<T> Listed<T> {
    fn new() -> Self {
        Self { all: Vec::new(), cut: None, held: 0 }
    }

    /// Keeps one more object, unless the list is cut before it.
    fn add<K>(&mut self, wanted: &Wanted<'_, K, T>, object: K) {
        if self.cut.is_some() {
            return;
        }
        let object = (wanted.map)(object);
        self.held += (wanted.weigh)(&object);
        let cut = match self.all.len() {
            OBJECTS_MAX => format!("there are more than {}", grouped(OBJECTS_MAX)),
            _ if self.held > VALUE_BYTES_MAX => {
                format!("they have more than {} MiB", VALUE_BYTES_MAX / 1024 / 1024)
            }
            _ => return self.all.push(object),
        };
        self.cut = Some(format!("{cut}; the first {} are read", grouped(self.all.len())));
    }
}

/// Why something was not read.
pub(super) enum Unread {
    /// The server has no such object or kind.
    Absent(Failure),
    /// The login may not read it.
    Refused(Failure),
    /// Anything else.
    Failed(Failure),
}

impl Unread {
    /// The failure, where no reason is expected.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Absent(failure) | Self::Refused(failure) | Self::Failed(failure) => failure,
        }
    }
}

/// Why one request brought nothing.
pub(crate) enum Trouble {
    /// Its answer is larger than [`ANSWER_BYTES_MAX`].
    Large,
    Kube(kube::Error),
}

impl Trouble {
    pub(crate) fn error(self) -> kube::Error {
        match self {
            Self::Large => kube::Error::Service("its answer is larger than 64 MiB".into()),
            Self::Kube(error) => error,
        }
    }

    fn unread(self, attempted: &str) -> Unread {
        let error = self.error();
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        let failure = failure(attempted, error, Effect::None);
        match code {
            403 => Unread::Refused(failure),
            404 => Unread::Absent(failure),
            _ => Unread::Failed(failure),
        }
    }
}

/// Makes the requests, one after the other.
pub(super) struct Requests<'a> {
    cluster: &'a Cluster,
    progress: &'a (dyn Fn(&str) + Send + Sync),
    /// When the last answer was made, by the server's clock.
    date: Option<i64>,
}

impl<'a> Requests<'a> {
    pub(super) fn new(cluster: &'a Cluster, progress: &'a (dyn Fn(&str) + Send + Sync)) -> Self {
        Self { cluster, progress, date: None }
    }

    pub(super) fn namespace(&self) -> &'a str {
        &self.cluster.namespace
    }

    /// The time of the last answer, by the clock of the API server. A proxy before it may leave it out.
    pub(super) fn date(&self) -> Option<i64> {
        self.date
    }

    pub(super) fn progress(&self, text: &str) {
        (self.progress)(text);
    }

    /// Reads all objects of a kind. The list begins with the newest state, and shows that state to its last page; if the
    /// server forgot it in the meantime, the list begins anew.
    pub(super) async fn list<K: DeserializeOwned, T>(
        &mut self,
        wanted: &Wanted<'_, K, T>,
    ) -> Result<Listed<T>, Unread> {
        let plural = wanted.kind.plural;
        let attempted = format!("list {plural} in {}", self.namespace());
        self.progress(&format!("reading {plural} …"));
        let (mut listed, mut token) = (Listed::new(), None::<String>);
        let (mut limit, mut restarts, began) = (PAGE, 0, Instant::now());
        for _ in 0..PAGES_MAX {
            let next = match self.page(wanted, limit, token.as_deref(), &mut listed).await {
                Ok(next) => next,
                Err(Trouble::Large) if limit > PAGE_MIN => {
                    limit /= 10;
                    continue;
                }
                Err(Trouble::Kube(kube::Error::Api(status)))
                    if status.code == 410 && token.is_some() && restarts < RESTARTS_MAX =>
                {
                    restarts += 1;
                    (listed, token) = (Listed::new(), None);
                    continue;
                }
                Err(trouble) => return Err(trouble.unread(&attempted)),
            };
            if next.is_none() || listed.cut.is_some() {
                return Ok(listed);
            }
            // The next page would be the same one again.
            if next == token || began.elapsed() > LIST_MAX {
                break;
            }
            token = next;
            self.progress(&format!("reading {plural}, {} so far …", grouped(listed.all.len())));
        }
        Err(Trouble::Kube(kube::Error::Service("the list does not end".into())).unread(&attempted))
    }

    /// Adds the objects of one page, whose text is freed then; the token of the next page, if there is one.
    async fn page<K: DeserializeOwned, T>(
        &mut self,
        wanted: &Wanted<'_, K, T>,
        limit: u32,
        token: Option<&str>,
        listed: &mut Listed<T>,
    ) -> Result<Option<String>, Trouble> {
        let path = kube::core::Request::new(wanted.kind.path(self.namespace()));
        // No version of the list is asked for: that means the newest one, not what a cache of the server has.
        let params = ListParams::default().limit(limit);
        let params = match token {
            Some(token) => params.continue_token(token),
            None => params,
        };
        let request = if wanted.metadata { path.list_metadata(&params) } else { path.list(&params) };
        let request = request.map_err(|error| Trouble::Kube(kube::Error::BuildRequest(error)))?;
        let body = self.ask(request).await?;
        let metadata = page::read::<K>(&body, &mut |object| listed.add(wanted, object))
            .map_err(|error| Trouble::Kube(kube::Error::SerdeError(error)))?;
        Ok(metadata.continue_.filter(|token| !token.is_empty()))
    }

    /// Reads one object by its name, which has to be one ([`is_name`]).
    pub(super) async fn get<K: DeserializeOwned>(&mut self, kind: Kind, name: &str) -> Result<K, Unread> {
        let attempted = format!("get {} {name} in {}", kind.plural, self.namespace());
        let path = format!("{}/{name}", kind.path(self.namespace()));
        self.document(&path, &attempted).await
    }

    /// Reads what the server has at a path.
    pub(super) async fn document<K: DeserializeOwned>(
        &mut self,
        path: &str,
        attempted: &str,
    ) -> Result<K, Unread> {
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
        self.object(request).await.map_err(|trouble| trouble.unread(attempted))
    }

    async fn object<K: DeserializeOwned>(
        &mut self,
        request: Result<Request<Vec<u8>>, kube::Error>,
    ) -> Result<K, Trouble> {
        let body = self.ask(request.map_err(Trouble::Kube)?).await?;
        serde_json::from_slice(&body).map_err(|error| Trouble::Kube(kube::Error::SerdeError(error)))
    }

    async fn ask(&mut self, request: Request<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let (head, body) = exchange(&self.cluster.client, request).await?;
        self.date = date_of(&head).or(self.date);
        if head.status.is_success() {
            return Ok(body);
        }
        Err(Trouble::Kube(kube::Error::Api(status_of(&head, &body).boxed())))
    }
}

/// When an answer was made, by the server's clock, in seconds since the Unix epoch. A proxy before it may leave it out.
pub(crate) fn date_of(head: &Parts) -> Option<i64> {
    let seconds = |date: &HeaderValue| {
        let parsed = DateTimeParser::new().parse_timestamp(date.as_bytes());
        parsed.ok().map(Timestamp::as_second)
    };
    head.headers.get(header::DATE).and_then(seconds)
}

/// Makes one request. The functions of kube for this hide the head of the answer, have no limit of its size, and log an
/// answer that they cannot read.
pub(crate) async fn exchange(
    client: &Client,
    request: Request<Vec<u8>>,
) -> Result<(Parts, Zeroizing<Vec<u8>>), Trouble> {
    let exchange = async {
        let answer = client.send(request.map(Body::from)).await.map_err(Trouble::Kube)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Trouble::Large,
            false => Trouble::Kube(kube::Error::Service(error)),
        })?;
        Ok::<_, Trouble>((head, Zeroizing::new(Vec::<u8>::from(body.to_bytes()))))
    };
    let Ok(answer) = tokio::time::timeout(REQUEST_MAX, exchange).await else {
        let late = format!("it took longer than {} s", REQUEST_MAX.as_secs());
        return Err(Trouble::Kube(kube::Error::Service(late.into())));
    };
    answer
}

/// What an answer other than success says. What is no Status of Kubernetes comes from a proxy, and may be a whole page.
pub(crate) fn status_of(head: &Parts, body: &[u8]) -> Status {
    let mut status = serde_json::from_slice(body).unwrap_or_else(|_| Status::failure("", "no reason given"));
    status.code = head.status.as_u16();
    status
}

/// Whether an object may have this name. Names come from objects of the cluster, and become a part of a path.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-'])
}

/// A number with a comma after each thousand.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_500, 20_000, 1_000_000].map(grouped).join(" "), "0 999 1,500 20,000 1,000,000");
    }

    #[test]
    fn a_name_that_leads_to_another_path_is_none() {
        assert!(["anthropic", "a.b-c", "0"].iter().all(|name| is_name(name)));
        for name in ["", "..", "../pods", "a/b", "a?watch=1", "A", "-a", "a%2fb", "a b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
