use std::net::SocketAddr;
use std::sync::OnceLock;

use keyroll_codes::Code;
use keyroll_http::HttpError;
use keyroll_port::{Class, Failure, FailureKind};

use crate::answer::Answer;
use crate::document::{Caller, Document};
use crate::http::exchange;
use crate::matcher::{self, Matcher};
use crate::operation::{As, Request};
use crate::render::{Unfit, Values, render};

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
}

/// The next step after an answer without the expected content.
const SENSELESS: &str = "ask again in a minute, an open rotation by `keyroll resume`; if it stays, compare the spec with \
                         the issuer's reference";

/// The next step after an answer with a key twice in one object.
const REPEATED_KEY: &str = "an open rotation asks what is there by `keyroll resume`; if it stays, tell the issuer: \
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
        let outgoing = render(self.request, caller, values).map_err(|unfit| self.unfit(&unfit))?;
        let limit = self.document.limits.request_max.duration();
        let answer = exchange(&outgoing, limit, from).await.map_err(|error| self.unanswered(error))?;
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
                .help("check the admin credential and its rights at the issuer, then `keyroll resume`"),
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

    fn caller(&self) -> Option<&Caller> {
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
                .help("set `admin = \"file:…\"` on the secret, then `keyroll plan`"),
            Unfit::Missing(what) => self
                .fail(Class::Permanent, Code::IssuerSettingsInvalid)
                .because(format!("{what} is not known")),
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
            .help("see that this machine reaches the host, then run the command again; an open rotation continues with `keyroll resume`")
    }
}
