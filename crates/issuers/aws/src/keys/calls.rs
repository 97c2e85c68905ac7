use std::time::Duration;

use aws_config::Region;
use aws_sdk_iam::Client;
use aws_sdk_iam::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_iam::operation::RequestId as _;
use aws_sdk_iam::primitives::{DateTime, DateTimeFormat};
use aws_sdk_iam::types::{AccessKeyMetadata, PolicyEvaluationDecisionType, StatusType};
use keyroll_port::{Failure, Minted};
use keyroll_secret::{CredentialId, SecretBytes};
use tokio::time::{Instant, timeout_at};

use super::caller::{Arn, User};
use super::credential::{fields, is_id};
use super::failure::{Attempt, GONE};
use super::hosts::Hosts;
use super::identity;
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
    iam: Client,
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
        let own = Builder::from(&config)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .region(Region::new(hosts.iam.region.clone()))
            .endpoint_url(&hosts.iam.url)
            // Neither goes with an address.
            .use_fips(false)
            .use_dual_stack(false);
        Ok(Self { user: user.clone(), iam: Client::from_conf(own.build()), admin })
    }

    /// Whom AWS takes keyroll's own login for.
    pub(super) fn admin(&self) -> &Arn {
        &self.admin
    }

    /// The user's keys. Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListAccessKeys.html>.
    pub(super) async fn list(&self) -> Result<Keys, Failure> {
        let attempt = Attempt::reads(format!("list the access keys of the IAM user {}", self.user.name));
        let (mut keys, mut marker) = (Keys { all: Vec::new(), incomplete: None }, None);
        for _ in 0..PAGES_MAX {
            let call = self.iam.list_access_keys().user_name(&self.user.name).set_marker(marker.take());
            let answer = call.send().await.map_err(|error| attempt.failure(&error))?;
            for listed in answer.access_key_metadata() {
                match key(listed) {
                    Some(key) => keys.all.push(key),
                    None => keys.incomplete = Some("a key in it has no id of AWS's form".to_owned()),
                }
            }
            if !answer.is_truncated() {
                return Ok(keys);
            }
            marker = answer.marker().map(str::to_owned);
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
        let call = self.iam.create_access_key().user_name(&self.user.name);
        let answer = attempt.call(until, call.send()).await?;
        let Some(key) = answer.access_key else {
            return Err(attempt.unclear("the answer has no key"));
        };
        // Taken over whole: it is overwritten when it is dropped.
        let secret = SecretBytes::from(key.secret_access_key);
        if !is_id(&key.access_key_id) || secret.is_empty() {
            return Err(attempt.unclear("the answer has no key of AWS's form"));
        }
        // The names of users differ in more than upper and lower case.
        if !key.user_name.eq_ignore_ascii_case(&self.user.name) {
            let why = format!("the answer is the key {} of another user", key.access_key_id);
            return Err(attempt.unclear(why));
        }
        Ok(Minted { fields: fields(&key.access_key_id, secret), id: CredentialId::new(key.access_key_id) })
    }

    /// Makes a key Active or Inactive; the same again changes nothing.
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccessKey.html>.
    pub(super) async fn switch(
        &self,
        id: &CredentialId,
        active: bool,
        until: Instant,
    ) -> Result<(), Failure> {
        let (verb, status) =
            if active { ("enable", StatusType::Active) } else { ("disable", StatusType::Inactive) };
        let attempt =
            Attempt::changes(format!("{verb} the access key {id} of the IAM user {}", self.user.name));
        let call = self.iam.update_access_key().user_name(&self.user.name).access_key_id(id.as_str());
        let answer = attempt.call(until, call.status(status).send()).await?;
        of_aws(&attempt, answer.request_id())
    }

    /// Deletes a key; one that is gone already is deleted.
    /// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteAccessKey.html>.
    pub(super) async fn delete(&self, id: &CredentialId, until: Instant) -> Result<(), Failure> {
        let attempt =
            Attempt::changes(format!("delete the access key {id} of the IAM user {}", self.user.name));
        let call = self.iam.delete_access_key().user_name(&self.user.name).access_key_id(id.as_str());
        let error = match timeout_at(until, call.send()).await {
            Err(_) => return Err(attempt.late()),
            Ok(Ok(answer)) => return of_aws(&attempt, answer.request_id()),
            Ok(Err(error)) => AwsError::of(&error),
        };
        let gone = matches!(&error, AwsError::Answered { code: Some(code), .. } if code == GONE);
        if gone { self.see_gone(id, until).await } else { Err(attempt.failed(error)) }
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
        let answer = self.iam.get_access_key_last_used().access_key_id(id.as_str()).send().await;
        let answer = answer.map_err(|error| attempt.failure(&error))?;
        let used = answer.access_key_last_used();
        let date = used.and_then(|used| used.last_used_date().map(|date| (date_text(date), used)));
        Ok(date.map(|(date, used)| format!("{date}, {} in {}", used.service_name(), used.region())))
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
        let names = actions.iter().map(|action| (*action).to_owned()).collect();
        let call = self.iam.simulate_principal_policy().policy_source_arn(source).resource_arns(on);
        let answer = call.set_action_names(Some(names)).send().await;
        let answer = answer.map_err(|error| attempt.failure(&error))?;
        let mut simulated = Simulated { denied: Vec::new(), open: Vec::new() };
        for action in actions {
            let mut results = answer.evaluation_results().iter();
            let result = results.find(|result| result.eval_action_name() == *action);
            let allowed = result.map(|it| *it.eval_decision() == PolicyEvaluationDecisionType::Allowed);
            let depends = result.is_some_and(|it| !it.missing_context_values().is_empty());
            match allowed {
                Some(true) => {}
                Some(false) if !depends => simulated.denied.push((*action).to_owned()),
                Some(false) | None => simulated.open.push((*action).to_owned()),
            }
        }
        Ok(simulated)
    }
}

/// An answer whose body the SDK does not read counts only if it has the request's id, as every answer of AWS has: a page of
/// something else with status 200 changed nothing.
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccessKey.html>, its example of an answer.
fn of_aws(attempt: &Attempt, request_id: Option<&str>) -> Result<(), Failure> {
    match request_id {
        Some(_) => Ok(()),
        None => Err(attempt.unclear("an answer that does not come from AWS")),
    }
}

fn key(listed: &AccessKeyMetadata) -> Option<Key> {
    let id = listed.access_key_id().filter(|id| is_id(id))?;
    let off = [StatusType::Inactive, StatusType::Expired];
    let made = listed.create_date().map_or_else(|| "at an unknown time".to_owned(), date_text);
    let active = listed.status().is_none_or(|status| !off.contains(status));
    Some(Key { id: CredentialId::new(id), active, made })
}

fn date_text(date: &DateTime) -> String {
    date.fmt(DateTimeFormat::DateTime).unwrap_or_else(|_| "at an unknown time".to_owned())
}
