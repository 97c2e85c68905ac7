use std::net::SocketAddr;
use std::sync::OnceLock;

use keyroll_codes::Code;
use keyroll_http::HttpError;
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::Fields;
use serde_json::Value;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::answer::Answer;
use crate::caller::{Caller, Exchange};
use crate::document::Document;
use crate::http;
use crate::matcher::{self, Matcher};
use crate::operation::{As, Request};
use crate::render::{Derived, Unfit, Values, render};
use crate::sign;
use crate::token::{AccessToken, Place};

/// Whether a call may change anything at the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It only reads: if no answer comes, nothing was changed.
    Read,
    /// It changes something: if no answer comes, the change may have happened.
    Change,
}

/// One operation about to be asked.
pub(crate) struct Call<'a> {
    /// The spec.
    pub(crate) document: &'a Document,
    /// A clause for messages: `mint a credential`.
    pub(crate) what: &'static str,
    /// Who asks.
    pub(crate) caller: As,
    /// What is sent.
    pub(crate) request: &'a Request,
    /// Whether it changes anything.
    pub(crate) nature: Nature,
    /// The access token of the admin.
    pub(crate) token: &'a AccessToken,
    /// The public fields of the credential in use.
    pub(crate) public: Fields,
    /// How the caller authenticates, if not as in `[auth]`.
    pub(crate) presents: Option<&'a Caller>,
}

/// The next step after an answer without the expected content.
const SENSELESS: &str = "ask again in a minute; if it stays, compare the spec with the issuer's reference";

/// The next step after an answer with a key twice in one object.
const REPEATED_KEY: &str = "an open rotation asks again what is there; if it stays, tell the issuer: \
                            readers differ on which of the two counts, so keyroll believes neither";

impl Call<'_> {
    /// Sends the request once. An answer that proves nothing is returned as a failure.
    pub(crate) async fn send(&self, values: &Values<'_>) -> Result<Answer, Failure> {
        self.send_from(values, &OnceLock::new()).await
    }

    /// As [`Self::send`]; `from` receives the local address of the connection.
    pub(crate) async fn send_from(
        &self,
        values: &Values<'_>,
        from: &OnceLock<SocketAddr>,
    ) -> Result<Answer, Failure> {
        let caller = self.caller().ok_or_else(|| self.unfit(&Unfit::NoAdmin))?;
        let values = Values { current_fields: values.current_fields.or(Some(&self.public)), ..*values };
        let derived = self.derive(caller, &values).await?;
        let values = Values { derived: Some(&derived), ..values };
        let outgoing = render(self.request, caller, &values).map_err(|unfit| self.unfit(&unfit))?;
        let limit = self.document.limits.request_max.duration();
        let answer = http::exchange(&outgoing, self.document.addresses, limit, from).await;
        let answer = answer.map_err(|error| self.unanswered(error))?;
        if answer.status() == 401 && derived.held {
            // The token ended before its time: nothing was changed, and the next attempt gets another.
            self.token.forget().await;
            return Err(self.fail(Class::Retryable, Code::RequestFailed).because(format!(
                "{}: the issuer no longer accepts the access token that it gave for the admin credential",
                answer.summary()
            )));
        }
        match answer.unsettling() {
            None => Ok(answer),
            Some(why) if answer.status() == 429 => Err(self
                .fail(Class::Retryable, Code::RequestFailed)
                .kind(FailureKind::RateLimited)
                .because(why)),
            Some(why) => Err(self
                .fail(self.unsettled(), Code::RequestFailed)
                .kind(FailureKind::AnswerUnclear)
                .because(why)
                .help(if answer.repeats_a_key() { REPEATED_KEY } else { SENSELESS })),
        }
    }

    /// Sends the request once. Any answer but success is a failure.
    pub(crate) async fn succeed(&self, values: &Values<'_>, ok: &[Matcher]) -> Result<Answer, Failure> {
        let answer = self.send(values).await?;
        if matcher::any(ok, &answer) { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    /// The failure for an answer that does not match the spec's success.
    pub(crate) fn refused(&self, answer: &Answer) -> Failure {
        let admin = self.caller == As::Admin;
        match answer.status() {
            401 | 403 if admin => self
                .fail(Class::Permanent, Code::AdminRefused)
                .because(answer.summary())
                .help("check the admin credential and its rights at the issuer"),
            400..=499 => self.fail(Class::Permanent, Code::AdminRefused).because(answer.summary()),
            _ => self.nonsense(answer, "not what the spec calls success"),
        }
    }

    /// The failure for an answer that claims success and does not have the expected content.
    pub(crate) fn nonsense(&self, answer: &Answer, why: &str) -> Failure {
        let why = format!("{} ({why})", answer.summary());
        self.fail(self.unsettled(), Code::RequestFailed)
            .kind(FailureKind::AnswerUnclear)
            .because(why)
            .help(SENSELESS)
    }

    /// A failure of this call.
    pub(crate) fn fail(&self, class: Class, code: Code) -> Failure {
        let at = self.request.url.host.endpoint();
        Failure::new(class, code, format!("{} at {at} ({})", self.what, self.document.title))
    }

    /// What the caller derives from its credential for this request.
    async fn derive(&self, caller: &Caller, values: &Values<'_>) -> Result<Derived, Failure> {
        let mut derived = Derived::default();
        if caller.jwt.is_none() && caller.hmac.is_none() && caller.token.is_none() {
            return Ok(derived);
        }
        let own = Values { fields: values.shown.or(values.fields), ..*values };
        let now = sign::unix_s();
        if let Some(jwt) = caller.jwt.as_ref().filter(|_| caller.token.is_none()) {
            derived.jwt = Some(jwt.signed(&own, now).map_err(|unfit| self.unfit(&unfit))?);
        }
        if let Some(hmac) = &caller.hmac {
            derived.time = Some(now.to_string());
            let at = Values { derived: Some(&derived), ..own };
            let computed =
                hmac.computed(&at, self.document.prefix_of(&hmac.key)).map_err(|unfit| self.unfit(&unfit))?;
            derived.hmac = Some(computed);
        }
        if let Some(exchange) = &caller.token {
            let (token, held) = match self.token.held().await {
                Ok(token) => (token, true),
                Err(place) => (self.exchange(place, exchange, caller, &own).await?, false),
            };
            (derived.token, derived.held) = (Some(token), held);
        }
        Ok(derived)
    }

    /// Exchanges the admin credential for an access token.
    async fn exchange(
        &self,
        place: Place<'_>,
        exchange: &Exchange,
        admin: &Caller,
        values: &Values<'_>,
    ) -> Result<Zeroizing<String>, Failure> {
        let requested = Instant::now();
        let caller = Caller {
            hosts: admin.hosts.clone(),
            header: exchange.header.clone(),
            basic: exchange.basic.clone(),
            jwt: admin.jwt.clone(),
            token: None,
            hmac: None,
        };
        let call = Call {
            what: "exchange the admin credential for an access token",
            caller: As::Admin,
            request: &exchange.request,
            nature: Nature::Read,
            presents: Some(&caller),
            public: self.public.duplicate(),
            ..*self
        };
        // Boxed, because this request is sent in the way in which the one that needs the token is sent.
        let answer = Box::pin(call.succeed(values, &exchange.ok)).await?;
        let text = answer.json().and_then(|json| exchange.take.find(json)).and_then(Value::as_str);
        let Some(token) = text.filter(|text| !text.is_empty()) else {
            return Err(call.nonsense(&answer, "the token is not where the spec says"));
        };
        let token = Zeroizing::new(token.to_owned());
        let lasts = exchange.lasts.as_ref().zip(answer.json()).and_then(|(at, json)| at.text(json));
        place.keep(&token, requested, lasts.and_then(|text| text.parse().ok()));
        Ok(token)
    }

    fn caller(&self) -> Option<&Caller> {
        if let Some(presents) = self.presents {
            return Some(presents);
        }
        match self.caller {
            As::Admin => self.document.auth.admin.as_ref(),
            As::Own => Some(&self.document.auth.own),
        }
    }

    fn unsettled(&self) -> Class {
        match self.nature {
            Nature::Read => Class::Retryable,
            Nature::Change => Class::Unknown,
        }
    }

    fn unfit(&self, unfit: &Unfit) -> Failure {
        match unfit {
            Unfit::NoAdmin => self
                .fail(Class::Permanent, Code::AdminRefused)
                .because("this operation needs the admin credential, and none is configured")
                .help("set `admin = \"file:…\"` on the secret"),
            Unfit::Missing(what) => self
                .fail(Class::Permanent, Code::IssuerSettingsInvalid)
                .because(format!("{what} is not known")),
            Unfit::NoPart { of, at } => self
                .fail(Class::Permanent, Code::IssuerSettingsInvalid)
                .because(format!("the {of} is not a JSON document with a text at {at}"))
                .help("`keyroll issuers show NAME` says what the issuer expects"),
            Unfit::NoPrivateKey => self
                .fail(Class::Permanent, Code::IssuerSettingsInvalid)
                .because("there is no RSA private key in PEM where the spec says")
                .help("`keyroll issuers show NAME` says what the issuer expects"),
            Unfit::Unspeakable(place) => {
                let why = format!("a value has a byte that is not allowed in {place}");
                self.fail(Class::Permanent, Code::IssuerSettingsInvalid).because(why)
            }
        }
    }

    fn unanswered(&self, error: HttpError) -> Failure {
        match error {
            HttpError::NotSent(why) => self.unsent(why),
            HttpError::TimedOut { sent: false } => self.unsent(self.late()),
            HttpError::NoRoots => self
                .fail(Class::Permanent, Code::IssuerUnreachable)
                .because("this machine trusts no certificate authority")
                .help("install the package ca-certificates"),
            HttpError::Lost(why) => self.fail(self.unsettled(), Code::RequestFailed).because(why),
            HttpError::TimedOut { sent: true } => {
                self.fail(self.unsettled(), Code::RequestFailed).because(self.late())
            }
        }
    }

    fn late(&self) -> String {
        format!("no answer within {} ms", self.document.limits.request_max.duration().as_millis())
    }

    fn unsent(&self, why: String) -> Failure {
        self.fail(Class::Retryable, Code::IssuerUnreachable)
            .because(why)
            .help("see that this machine reaches the host")
    }
}
