use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::Client;
use aws_sdk_sts::config::{Builder, Credentials, IdentityCache, StalledStreamProtectionConfig};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use super::caller::{Arn, Caller, User};
use super::failure::{Attempt, unsettling};
use super::hosts::Service;
use crate::connector::Https;
use crate::sdk_error::AwsError;

/// The status and the code of the one refusal that means a dead key: no active key has this id. Source:
/// <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.
const DEAD_STATUS: u16 = 403;
const DEAD_CODE: &str = "InvalidClientTokenId";

/// Whom AWS takes the holder of this key for. Neither a permission nor keyroll's own login is needed for that.
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>.
pub(super) async fn whose(service: &Service, id: &str, secret: &str) -> Caller {
    let key = Credentials::new(id, secret, None, None, "keyroll");
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Https)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(key)
        // A cache of identities would keep the key.
        .identity_cache(IdentityCache::no_cache());
    match client(config, service).get_caller_identity().send().await {
        Ok(answer) => match answer.arn().and_then(Arn::parse) {
            Some(arn) => Caller::Is(arn),
            None => Caller::Unclear("the answer has no ARN of a principal".to_owned()),
        },
        Err(error) => {
            let error = AwsError::of(&error);
            if is_dead(&error) { Caller::Refused } else { Caller::Unclear(unsettling(&error)) }
        }
    }
}

/// Whom AWS takes keyroll's own login for, once it is certain that it may be used for this user: IAM carries out every call
/// in the account of the one who asks.
///
/// # Errors
/// The login is of another account, or of the very user; AWS does not tell.
pub(super) async fn own(
    config: &SdkConfig,
    service: &Service,
    user: &User,
    profile: Option<&str>,
) -> Result<Arn, Failure> {
    let attempt = Attempt::reads("ask AWS whose login keyroll has");
    let answer = client(Builder::from(config), service).get_caller_identity().send().await;
    let answer = answer.map_err(|error| attempt.failed(AwsError::of(&error)))?;
    let arn = answer.arn().and_then(Arn::parse);
    let admin = arn.ok_or_else(|| attempt.unclear("the answer has no ARN of a principal"))?;
    refuse_wrong(&admin, user, profile)?;
    Ok(admin)
}

fn refuse_wrong(admin: &Arn, user: &User, profile: Option<&str>) -> Result<(), Failure> {
    let from = match profile {
        Some(profile) => format!("the profile {profile}"),
        None => "no `profile` in keyroll.toml, so the usual configuration of AWS".to_owned(),
    };
    let refuse = |why: String, help: &str| {
        let attempted = format!("manage the access keys of the IAM user {}", user.name);
        let failure = Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted);
        Err(failure.because(why).help(help.to_owned()))
    };
    if admin.account() != user.account {
        return refuse(
            format!(
                "keyroll's login is {admin}, in account {}, and `account` is {}; the login comes from {from}; nothing was \
                 changed",
                admin.account(),
                user.account
            ),
            "correct `account` or `profile` in the table `aws` of the secret; `aws sts get-caller-identity` shows whose a \
             login is",
        );
    }
    if user.is(admin) {
        return refuse(
            format!(
                "keyroll's own login is this very user, {admin}, from {from}: once its key is disabled, nothing could be \
                 finished; nothing was changed"
            ),
            "give keyroll another login that may manage the keys of this user: `profile` in the table `aws` of the secret, \
             a role, or SSO",
        );
    }
    Ok(())
}

/// The client of STS. What the environment or a profile says of addresses does not count.
fn client(config: Builder, service: &Service) -> Client {
    let config = config
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .region(Region::new(service.region.clone()))
        .endpoint_url(&service.url)
        // Neither goes with an address.
        .use_fips(false)
        .use_dual_stack(false);
    Client::from_conf(config.build())
}

fn is_dead(error: &AwsError) -> bool {
    match error {
        AwsError::Answered { status, code, .. } => {
            *status == Some(DEAD_STATUS) && code.as_deref() == Some(DEAD_CODE)
        }
        AwsError::NotAnswered(_)
        | AwsError::Late
        | AwsError::NoCredentials { .. }
        | AwsError::NotSent(_)
        | AwsError::UnknownKind => false,
    }
}
