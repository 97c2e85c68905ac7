use std::mem;
use std::time::Duration;

use aws_sdk_sts::operation::RequestId as _;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_xml::decode::{ScopedDecoder, XmlDecodeError, try_data};
use keyroll_port::{Failure, Minted};
use keyroll_secret::{CredentialId, SecretBytes};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::caller::{Arn, User};
use super::credential::{self, is_id};
use super::failure::{Attempt, GONE};
use super::hosts::Hosts;
use super::identity;
use super::query::{Query, each, texts};
use crate::sdk_error::AwsError;
use crate::settings::AwsSettings;

/// How many pages of keys are read. A user has two keys at most.
const PAGES_MAX: usize = 10;

/// One access key as IAM lists it.
pub(super) struct Key {
    pub(super) id: CredentialId,
    pub(super) active: bool,
    /// When it was made, in words.
    pub(super) made: String,
}

/// The keys of a user, and why the list is perhaps not all of them.
pub(super) struct Keys {
    pub(super) all: Vec<Key>,
    pub(super) incomplete: Option<String>,
}

/// What a simulation of policies says of some actions.
pub(super) struct Simulated {
    /// The actions that are denied.
    pub(super) denied: Vec<String>,
    /// The actions that depend on something that the simulation was not given.
    pub(super) open: Vec<String>,
}

/// The calls about one IAM user, signed by keyroll's own login, which is of the user's account and not the user itself. Each
/// is one request.
pub(super) struct Calls {
    user: User,
    iam: Query,
    admin: Arn,
}

impl Calls {
    /// Reads AWS's configuration, and asks STS whose login it is.
    ///
    /// # Errors
    /// There is no login, or it is not one that may be used for this user.
    pub(super) async fn open(
        user: &User,
        settings: &AwsSettings,
        hosts: &Hosts,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let config = settings.login(&hosts.sts.region, limit).await;
        let admin = identity::own(&config, &hosts.sts, user, settings.profile.as_deref()).await?;
        // What the environment or a profile says of addresses does not count.
        Ok(Self { user: user.clone(), iam: Query::new(&config, &hosts.iam), admin })
    }

    /// Whom AWS takes keyroll's own login for.
    pub(super) fn admin(&self) -> &Arn {
        &self.admin
    }

    /// The user's keys. Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListAccessKeys.html>.
    pub(super) async fn list(&self) -> Result<Keys, Failure> {
        let attempt = Attempt::reads(format!("list the access keys of the IAM user {}", self.user.name));
        let (mut keys, mut marker) = (Keys { all: Vec::new(), incomplete: None }, None::<String>);
        for _ in 0..PAGES_MAX {
            let mut fields = vec![("UserName", self.user.name.as_str())];
            fields.extend(marker.as_deref().map(|marker| ("Marker", marker)));
            let answer = self.iam.ask("ListAccessKeys", &fields, page).await;
            let answer = answer.map_err(|error| attempt.failed(error))?;
            for listed in answer.keys {
                match listed {
                    Some(key) => keys.all.push(key),
                    None => keys.incomplete = Some("a key in it has no id of AWS's form".to_owned()),
                }
            }
            if !answer.cut {
                return Ok(keys);
            }
            marker = answer.marker;
            if marker.is_none() {
                keys.incomplete = Some("it is cut, and does not say how it goes on".to_owned());
                return Ok(keys);
            }
        }
        keys.incomplete = Some(format!("it does not end after {PAGES_MAX} pages"));
        Ok(keys)
    }

    /// Makes a key. Its secret is in this answer alone.
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html>.
    pub(super) async fn create(&self, until: Instant) -> Result<Minted, Failure> {
        let attempt = Attempt::changes(format!("make an access key for the IAM user {}", self.user.name));
        let fields = [("UserName", self.user.name.as_str())];
        let answer = attempt.call(until, self.iam.ask("CreateAccessKey", &fields, created)).await?;
        let Some([user, id, mut secret]) = answer else {
            return Err(attempt.unclear("the answer has no key"));
        };
        // Taken over whole: it is overwritten when it is dropped.
        let secret = SecretBytes::from(mem::take(&mut *secret));
        if !is_id(&id) || secret.is_empty() {
            return Err(attempt.unclear("the answer has no key of AWS's form"));
        }
        // The names of users differ in more than upper and lower case.
        if !user.eq_ignore_ascii_case(&self.user.name) {
            return Err(attempt.unclear(format!("the answer is the key {} of another user", id.as_str())));
        }
        Ok(Minted { id: CredentialId::new(id.as_str()), fields: credential::fields(&id, secret) })
    }

    /// Makes a key Active or Inactive; the same again changes nothing.
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccessKey.html>.
    pub(super) async fn switch(
        &self,
        id: &CredentialId,
        active: bool,
        until: Instant,
    ) -> Result<(), Failure> {
        let (verb, status) = if active { ("enable", "Active") } else { ("disable", "Inactive") };
        let attempt =
            Attempt::changes(format!("{verb} the access key {id} of the IAM user {}", self.user.name));
        let [user, key] = self.named(id);
        let fields = [user, key, ("Status", status)];
        let request_id = attempt.call(until, self.iam.ask("UpdateAccessKey", &fields, request_id)).await?;
        of_aws(&attempt, request_id.as_deref())
    }

    /// Deletes a key; one that is gone already is deleted.
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteAccessKey.html>.
    pub(super) async fn delete(&self, id: &CredentialId, until: Instant) -> Result<(), Failure> {
        let attempt =
            Attempt::changes(format!("delete the access key {id} of the IAM user {}", self.user.name));
        let fields = self.named(id);
        let error = match timeout_at(until, self.iam.ask("DeleteAccessKey", &fields, request_id)).await {
            Err(_) => return Err(attempt.late()),
            Ok(Ok(request_id)) => return of_aws(&attempt, request_id.as_deref()),
            Ok(Err(error)) => error,
        };
        let gone = matches!(&error, AwsError::Answered { code: Some(code), .. } if code == GONE);
        if gone { self.see_gone(id, until).await } else { Err(attempt.failed(error)) }
    }

    /// The fields that name a key of the user.
    fn named<'a>(&'a self, id: &'a CredentialId) -> [(&'static str, &'a str); 2] {
        [("UserName", self.user.name.as_str()), ("AccessKeyId", id.as_str())]
    }

    /// IAM says of a missing user the same as of a missing key. A list, which it gives of a user that exists, decides.
    async fn see_gone(&self, id: &CredentialId, until: Instant) -> Result<(), Failure> {
        let attempt = Attempt::reads(format!(
            "see that the access key {id} of the IAM user {} is gone",
            self.user.name
        ));
        let Keys { all, incomplete } = attempt.within(until, self.list()).await?;
        if all.iter().any(|key| key.id == *id) {
            return Err(attempt.unclear("IAM says that it does not exist, and lists it"));
        }
        match incomplete {
            Some(why) => Err(attempt.unclear(format!("the list of the user's keys is incomplete: {why}"))),
            None => Ok(()),
        }
    }

    /// When a key was last used, and where, in words. AWS having no time does not mean that the key is unused.
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>.
    pub(super) async fn last_used(&self, id: &CredentialId) -> Result<Option<String>, Failure> {
        let attempt = Attempt::reads(format!("read when the access key {id} was last used"));
        let fields = [("AccessKeyId", id.as_str())];
        let answer = self.iam.ask("GetAccessKeyLastUsed", &fields, last_used).await;
        answer.map_err(|error| attempt.failed(error))
    }

    /// What the policies of a principal say of these actions on a user; nothing is carried out.
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>.
    pub(super) async fn simulate(
        &self,
        source: &str,
        actions: &[&str],
        on: &str,
    ) -> Result<Simulated, Failure> {
        let attempt = Attempt::reads(format!("see what the policies of {source} allow"));
        let names: Vec<String> = (1..=actions.len()).map(|at| format!("ActionNames.member.{at}")).collect();
        let mut fields = vec![("PolicySourceArn", source), ("ResourceArns.member.1", on)];
        fields.extend(names.iter().map(String::as_str).zip(actions.iter().copied()));
        let answer = self.iam.ask("SimulatePrincipalPolicy", &fields, decisions).await;
        let answer = answer.map_err(|error| attempt.failed(error))?;
        let mut simulated = Simulated { denied: Vec::new(), open: Vec::new() };
        for action in actions {
            match answer.iter().find(|decision| decision.action == *action) {
                Some(decision) if decision.allowed => {}
                Some(decision) if !decision.depends => simulated.denied.push((*action).to_owned()),
                Some(_) | None => simulated.open.push((*action).to_owned()),
            }
        }
        Ok(simulated)
    }
}

/// An answer whose body is not read counts only if it has the request's id, as every answer of AWS has: a page of something
/// else with status 200 changed nothing.
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccessKey.html>, its example of an answer.
fn of_aws(attempt: &Attempt, request_id: Option<&str>) -> Result<(), Failure> {
    match request_id {
        Some(_) => Ok(()),
        None => Err(attempt.unclear("an answer that does not come from AWS")),
    }
}

fn request_id(answer: &HttpResponse) -> Result<Option<String>, XmlDecodeError> {
    Ok(answer.request_id().map(str::to_owned))
}

/// A part of the list of keys.
#[derive(Default)]
struct Page {
    /// `None` for a key without an id of AWS's form.
    keys: Vec<Option<Key>>,
    /// Whether the list goes on.
    cut: bool,
    /// How it goes on.
    marker: Option<String>,
}

fn page(answer: &HttpResponse) -> Result<Page, XmlDecodeError> {
    let mut page = Page::default();
    each(answer, "ListAccessKeys", |element| {
        match element.start_el().local() {
            "AccessKeyMetadata" => {
                while let Some(mut member) = element.next_tag() {
                    page.keys.push(key(&mut member)?);
                }
            }
            "IsTruncated" => page.cut = try_data(element)? != "false",
            "Marker" => page.marker = Some(try_data(element)?.into_owned()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(page)
}

fn key(member: &mut ScopedDecoder<'_, '_>) -> Result<Option<Key>, XmlDecodeError> {
    let [id, status, made] = texts(member, ["AccessKeyId", "Status", "CreateDate"])?;
    let active = !matches!(status.as_str(), "Inactive" | "Expired");
    Ok(is_id(&id).then(|| Key { id: CredentialId::new(id.as_str()), active, made: date_text(&made) }))
}

/// The user, the id and the secret of a new key.
fn created(answer: &HttpResponse) -> Result<Option<[Zeroizing<String>; 3]>, XmlDecodeError> {
    let mut key = None;
    each(answer, "CreateAccessKey", |element| {
        if element.start_el().matches("AccessKey") {
            key = Some(texts(element, ["UserName", "AccessKeyId", "SecretAccessKey"])?);
        }
        Ok(())
    })?;
    Ok(key)
}

fn last_used(answer: &HttpResponse) -> Result<Option<String>, XmlDecodeError> {
    let mut used = None;
    each(answer, "GetAccessKeyLastUsed", |element| {
        if element.start_el().matches("AccessKeyLastUsed") {
            let [date, service, region] = texts(element, ["LastUsedDate", "ServiceName", "Region"])?;
            let words = format!("{}, {} in {}", date_text(&date), service.as_str(), region.as_str());
            used = (!date.is_empty()).then_some(words);
        }
        Ok(())
    })?;
    Ok(used)
}

/// What a simulation says of one action.
#[derive(Default)]
struct Decision {
    action: String,
    allowed: bool,
    /// Whether it depends on something that the simulation was not given.
    depends: bool,
}

fn decisions(answer: &HttpResponse) -> Result<Vec<Decision>, XmlDecodeError> {
    let mut all = Vec::new();
    each(answer, "SimulatePrincipalPolicy", |element| {
        if element.start_el().matches("EvaluationResults") {
            while let Some(mut member) = element.next_tag() {
                all.push(decision(&mut member)?);
            }
        }
        Ok(())
    })?;
    Ok(all)
}

fn decision(member: &mut ScopedDecoder<'_, '_>) -> Result<Decision, XmlDecodeError> {
    let mut decision = Decision::default();
    while let Some(mut element) = member.next_tag() {
        match element.start_el().local() {
            "EvalActionName" => decision.action = try_data(&mut element)?.into_owned(),
            "EvalDecision" => decision.allowed = try_data(&mut element)? == "allowed",
            "MissingContextValues" => decision.depends = element.next_tag().is_some(),
            _ => {}
        }
    }
    Ok(decision)
}

fn date_text(date: &str) -> String {
    let date = DateTime::from_str(date, Format::DateTimeWithOffset).ok();
    let text = date.and_then(|date| date.fmt(Format::DateTime).ok());
    text.unwrap_or_else(|| "at an unknown time".to_owned())
}
