//! The operations of a spec, as they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::matcher::{Matcher, Scalar};
use crate::page::Page;
use crate::pointer::Pointer;
use crate::span::Span;
use crate::target::Target;
use crate::template::{JsonTemplate, Template};

/// What can be asked of the issuer. Capabilities follow from what is there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operations {
    /// One cheap call with the credential itself: does it work?
    pub(crate) verify: Verify,
    /// Reads the settings of the credential in use, so that the new one gets no more and no less.
    pub(crate) get: Option<Get>,
    /// Makes a second credential.
    pub(crate) mint: Option<Mint>,
    /// Lists every credential that competes with the one in use, all pages.
    pub(crate) list: Option<List>,
    /// Tells by value whose a credential is.
    pub(crate) identify: Option<Identify>,
    /// A read that succeeds only with the rights that a rotation needs.
    pub(crate) rights: Option<Rights>,
    /// Switches a credential off, reversibly; needs `enable`.
    pub(crate) disable: Option<Change>,
    /// Switches it on again; needs `disable`.
    pub(crate) enable: Option<Change>,
    /// Ends a credential for good.
    pub(crate) revoke: Option<Change>,
    /// Lists the live connections of a credential.
    pub(crate) sessions: Option<Sessions>,
    /// Lists the refused uses of a credential; needed with `refusals = "issuer-log"`.
    pub(crate) refusals: Option<Refusals>,
    /// Ends one of the sessions.
    pub(crate) end_session: Option<EndSession>,
}

/// Which credential an operation is sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum As {
    /// The admin credential.
    Admin,
    /// The credential itself.
    #[serde(rename = "self")]
    Own,
}

/// The methods that an operation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    /// Reads.
    Get,
    /// Makes or changes.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Ends.
    Delete,
}

/// What is sent. Each placeholder is escaped by where it stands: a path segment, a query or form value, a header, a
/// JSON string.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The method.
    pub(crate) method: Method,
    /// `https://host/path`; placeholders stand in path segments only.
    pub(crate) url: Target,
    /// Query parameters.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Template>,
    /// Headers beside those of `[auth]`.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Template>,
    /// A JSON body; its strings may hold placeholders.
    pub(crate) json: Option<JsonTemplate>,
    /// A form body.
    pub(crate) form: Option<BTreeMap<String, Template>>,
}

impl Request {
    /// Every template that is sent: path, query, headers, body.
    pub(crate) fn templates(&self) -> Vec<&Template> {
        let body = self.json.iter().flat_map(|json| json.texts());
        let form = self.form.iter().flat_map(|form| form.values());
        let rest = self.query.values().chain(self.header.values());
        self.url.segments.iter().chain(rest).chain(body).chain(form).collect()
    }
}

/// `op.verify`: the first list with a match decides, in the order alive, denied, dead; otherwise unknown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// What is sent, as the credential itself.
    pub(crate) request: Request,
    /// The credential is accepted.
    pub(crate) alive: Vec<Matcher>,
    /// It is accepted as a credential, but may not do this: it works.
    #[serde(default)]
    pub(crate) denied: Vec<Matcher>,
    /// It is refused as a credential.
    pub(crate) dead: Vec<Matcher>,
    /// The rules of `keyroll leaks`, by id, whose findings are asked about with this; the value must be all that it takes.
    #[serde(default)]
    pub(crate) rules: Vec<String>,
    /// Who else accepts values of this form, such as `a GitLab of one's own`: one that was found and is refused here may
    /// work there.
    pub(crate) elsewhere: Option<String>,
}

/// `op.get`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    /// The caller.
    #[serde(rename = "as")]
    pub(crate) caller: As,
    /// What is sent.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
    /// Settings by a name of one's own, for `{copy.NAME}` in `op.mint`. All must be there.
    pub(crate) copy: BTreeMap<String, Pointer>,
}

/// `op.mint`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mint {
    /// The caller.
    #[serde(rename = "as")]
    pub(crate) caller: As,
    /// What is sent.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
    /// Where the answer holds the new credential.
    pub(crate) take: Take,
    /// For `minted_by = "us"` without labels: the issuer treats a second identical call as one.
    #[serde(default)]
    pub(crate) idempotent: bool,
}

/// Where a mint's answer holds the new credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Take {
    /// The issuer's id for it: a string or a whole number.
    pub(crate) id: Pointer,
    /// Its fields by name. A field that is not secret and not taken keeps its present value.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, Pointer>,
}

/// `op.list`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// The caller.
    #[serde(rename = "as")]
    pub(crate) caller: As,
    /// What is sent for the first page.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
    /// The array of credentials in the answer.
    pub(crate) items: Pointer,
    /// The issuer's id within one of them.
    pub(crate) id: Pointer,
    /// The label; with it and `{label}` in `op.mint` labels are a capability.
    pub(crate) label: Option<Pointer>,
    /// What says that one is switched off.
    pub(crate) disabled: Option<Flag>,
    /// What says that one has ended for good and is only shown still: it is no credential any more.
    pub(crate) ended: Option<Flag>,
    /// When it was last used.
    pub(crate) last_used: Option<Moment>,
    /// A redacted preview of the value, such as `sk-…1c96`.
    pub(crate) hint: Option<Pointer>,
    /// How the next page is asked for.
    pub(crate) page: Page,
}

/// Something that is on or off.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag {
    /// Where it stands.
    pub(crate) at: Pointer,
    /// The values that mean yes; any other of the same type means no.
    pub(crate) is: Vec<Scalar>,
}

/// A time in an answer; null or absent means no data.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moment {
    /// Where it stands.
    pub(crate) at: Pointer,
    /// How it is written.
    pub(crate) form: MomentForm,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MomentForm {
    /// `2026-11-20T09:00:00Z`.
    Rfc3339,
    /// Seconds since 1970.
    UnixS,
    /// Milliseconds since 1970.
    UnixMs,
}

/// `op.identify`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identify {
    /// What is sent, as the credential itself.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
    /// The credential's id.
    pub(crate) id: Option<Pointer>,
    /// The account or principal that it acts for.
    pub(crate) principal: Option<Pointer>,
}

/// `op.rights`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rights {
    /// What is sent, as the admin.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
}

/// `op.disable`, `op.enable`, `op.revoke`: a change of one credential, named by `{cred.id}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// What is sent, as the admin.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
    /// What says that there is nothing left to do, such as 404 for a revoke.
    #[serde(default)]
    pub(crate) already: Vec<Matcher>,
}

/// `op.sessions`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sessions {
    /// What is sent, as the admin.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
    /// The array of sessions in the answer.
    pub(crate) items: Pointer,
    /// The issuer's own name for a session.
    pub(crate) handle: Pointer,
    /// The client's end, `address:port`; with it a session leads to a process.
    pub(crate) client: Option<Pointer>,
    /// What says that a session is in the middle of a request.
    pub(crate) busy: Option<Flag>,
    /// How many requests were accepted on it.
    pub(crate) calls: Option<Pointer>,
    /// How the next page is asked for.
    pub(crate) page: Page,
}

/// `op.refusals`: the issuer's record of refused uses of one credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusals {
    /// What is sent, as the admin, for the first page; `{cred.id}` and `{since}` may stand in it.
    pub(crate) request: Request,
    /// What success looks like.
    pub(crate) ok: Vec<Matcher>,
    /// The array of refused uses in the answer.
    pub(crate) items: Pointer,
    /// What tells one entry from another for good; needed where there is no `time`.
    pub(crate) id: Option<Pointer>,
    /// When it was refused, by the issuer's clock; `{since}` is written in the same form.
    pub(crate) time: Option<Moment>,
    /// Whose use it was; needed where the request does not name `{cred.id}`.
    pub(crate) key: Option<KeyNamed>,
    /// The client's end, `address:port`, or its address alone; with a port on this machine it leads to a process.
    pub(crate) client: Option<Pointer>,
    /// What else the issuer says of the client: a user agent, a request's id.
    pub(crate) agent: Option<Pointer>,
    /// How late a refused use appears.
    pub(crate) lag: Span,
    /// How coarse `time` is; 1s where it is left out.
    #[serde(default = "second")]
    pub(crate) granularity: Span,
    /// How the next page is asked for.
    pub(crate) page: Page,
}

fn second() -> Span {
    Span::from_ms(1_000)
}

/// How an entry says whose use it was.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyNamed {
    /// Where it stands.
    pub(crate) at: Pointer,
    /// What stands there.
    pub(crate) names: Names,
}

/// What names a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Names {
    /// The issuer's id.
    Id,
    /// A redacted preview of the value, such as `sk-…1c96`.
    Hint,
}

/// `op.end_session`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndSession {
    /// What is sent, as the admin, with `{session.handle}` and, where the issuer can spare a busy session,
    /// `{session.force}`.
    pub(crate) request: Request,
    /// It was ended.
    pub(crate) ok: Vec<Matcher>,
    /// It was gone.
    #[serde(default)]
    pub(crate) already: Vec<Matcher>,
    /// It is busy and was spared.
    #[serde(default)]
    pub(crate) busy: Vec<Matcher>,
}
