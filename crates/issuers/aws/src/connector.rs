use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use hyper::body::Bytes;
use keyroll_http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use keyroll_http::via::Dial;
use keyroll_http::{
    Endpoint, Excess, HttpError, Limits, Method, Request, Stream, Uri, connect, exchange, via,
};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// How long one request may take, from the name's look-up to the last byte of the answer, milliseconds.
const REQUEST_MS_MAX: u64 = 20_000;

/// The largest answer, bytes. A secret has 65,536 at most, of which JSON may make six times as many.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where AWS gives machines and containers their credentials, unencrypted. Source:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html> and
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
const METADATA: [&str; 5] =
    ["169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The HTTP client of the SDK: that of the house, with its one connection per request, its TLS and its limits.
#[derive(Debug)]
pub(crate) struct Https;

impl HttpClient for Https {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let max = Duration::from_millis(REQUEST_MS_MAX);
        // The look-up of a machine's own credentials has short limits: mostly there is no answer to wait for.
        let time = match (settings.connect_timeout(), settings.read_timeout()) {
            (Some(connect), Some(read)) => connect.saturating_add(read).min(max),
            (Some(_) | None, Some(_) | None) => max,
        };
        SharedHttpConnector::new(OneRequest { time })
    }
}

#[derive(Debug)]
struct OneRequest {
    time: Duration,
}

impl HttpConnector for OneRequest {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let limits = Limits { time: self.time, body_bytes_max: ANSWER_BYTES_MAX, excess: Excess::Refuse };
        let outgoing = Outgoing::of(&request);
        // The SDK calls this in the task of the call that it carries out; it may await the answer in another one.
        let dialer = via::current();
        HttpConnectorFuture::new(async move {
            let outgoing = outgoing
                .ok_or_else(|| unanswered(HttpError::NotSent("the request is no valid HTTP".to_owned())))?;
            outgoing.answer(&limits, dialer).await.map_err(unanswered)
        })
    }
}

/// One request of the SDK, for the client of the house.
struct Outgoing {
    host: String,
    port: u16,
    tls: bool,
    request: Request,
}

impl Outgoing {
    fn of(request: &HttpRequest) -> Option<Self> {
        let uri: Uri = request.uri().parse().ok()?;
        let tls = uri.scheme_str() != Some("http");
        // An IPv6 address stands in brackets in an address, and without them for a look-up.
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let own = Request {
            method: Method::from_bytes(request.method().as_bytes()).ok()?,
            target: Zeroizing::new(target.to_owned()),
            authority: uri.authority()?.as_str().to_owned(),
            headers: headers(request)?,
            body: Zeroizing::new(request.body().bytes()?.to_vec()),
            in_one_piece: false,
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Self { host, port, tls, request: own })
    }

    async fn answer(self, limits: &Limits, dialer: Option<Arc<dyn Dial>>) -> Result<HttpResponse, HttpError> {
        let endpoint = Endpoint { host: &self.host, port: self.port, tls: self.tls };
        let response = exchange(open(endpoint, dialer), self.request, limits).await?;
        let status = StatusCode::try_from(response.status);
        let status = status.map_err(|_| HttpError::Lost("an answer that is no HTTP".to_owned()))?;
        // The bytes are overwritten with the answer's last user.
        let mut answer = HttpResponse::new(status, SdkBody::from(Bytes::from_owner(response.body)));
        for (name, value) in &response.headers {
            if let Ok(value) = value.to_str() {
                // A header that the SDK cannot hold is one that it does not read.
                let _ = answer.headers_mut().try_append(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }
}

/// The headers, except for those that the client of the house sets itself; of these only `Host` is signed, and it is the
/// address's own.
fn headers(request: &HttpRequest) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut all = Vec::new();
    for (name, value) in request.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        if [HOST, USER_AGENT, CONNECTION, CONTENT_LENGTH].contains(&name) {
            continue;
        }
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(name == AUTHORIZATION || name.as_str() == "x-amz-security-token");
        all.push((name, value));
    }
    Some(all)
}

/// A connection to the endpoint. The client of the house speaks to no other machine without TLS; the addresses for a
/// machine's own credentials are the exception. `dialer` opens the connection from another machine.
#[expect(clippy::disallowed_methods, reason = "the exchange limits the time")]
async fn open(endpoint: Endpoint<'_>, dialer: Option<Arc<dyn Dial>>) -> Result<Box<dyn Stream>, HttpError> {
    let local = OnceLock::new();
    if let Some(dialer) = dialer {
        return via::through(dialer, connect(endpoint, &local)).await;
    }
    if !endpoint.tls && METADATA.contains(&endpoint.host) {
        let stream = TcpStream::connect((endpoint.host, endpoint.port)).await;
        let stream = stream.map_err(|error| HttpError::NotSent(error.kind().to_string()))?;
        return Ok(Box::new(stream));
    }
    connect(endpoint, &local).await
}

/// The error of the SDK, with that of the client as its source.
fn unanswered(error: HttpError) -> ConnectorError {
    let (sent, late) = match &error {
        HttpError::NotSent(_) | HttpError::NoRoots => (false, false),
        HttpError::Lost(_) => (true, false),
        HttpError::TimedOut { sent } => (*sent, *sent),
    };
    let error = if late { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) };
    if sent { error } else { error.never_connected() }
}
