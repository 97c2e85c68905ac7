use schemars::JsonSchema;
use serde::Deserialize;

use crate::Kind;
use crate::at::At;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::url::read_url;

/// The longest name of an IAM user, bytes, and the punctuation in it. Source:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html>, `UserName`.
const USER_BYTES_MAX: usize = 128;
const USER_PUNCTUATION: &[u8] = b"_+=,.@-";
/// How many digits the number of an account has. Source:
/// <https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-identifiers.html>.
const ACCOUNT_DIGITS: usize = 12;
/// The longest other text, bytes.
const TEXT_BYTES_MAX: usize = 512;

/// The IAM user of a secret with `issuer = "aws-access-key"`, and where AWS is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsShape {
    /// The name of the IAM user whose access keys are rotated, without its path.
    pub(crate) user: At<String>,
    /// The number of the user's account, twelve digits: `account = "123456789012"`. keyroll refuses a login and a key of
    /// another account.
    pub(crate) account: At<String>,
    /// The profile of AWS's configuration that keyroll's own login comes from, and nothing else: not `AWS_ACCESS_KEY_ID` in
    /// keyroll's environment. Default: the usual order of AWS, which begins with the environment and `AWS_PROFILE`.
    pub(crate) profile: Option<At<String>>,
    /// The region whose STS is asked whether a key works, and whose partition has the IAM: `region = "eu-west-1"`. Required
    /// unless `endpoint` is given; then the default is `us-east-1`. `AWS_REGION` and the profile's region do not count.
    pub(crate) region: Option<At<String>>,
    /// One address for IAM and STS: that of an emulator or a test server. `http://` on loopback alone. Default: the
    /// addresses of AWS in `region`; `AWS_ENDPOINT_URL` and the profile's `endpoint_url` do not count.
    pub(crate) endpoint: Option<At<String>>,
}

/// An IAM user, and where AWS is. Without a profile, keyroll's login comes from the usual configuration of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsUser {
    /// The user's name.
    pub user: String,
    /// The number of its account.
    pub account: String,
    /// The profile of keyroll's own login.
    pub profile: Option<String>,
    /// The region; `None` only with an endpoint.
    pub region: Option<String>,
    /// The address of IAM and STS.
    pub endpoint: Option<String>,
}

impl AwsUser {
    pub(crate) fn read(shape: &At<AwsShape>, all: &mut Mistakes) -> Read<Self> {
        let keys = &shape.value;
        let user = all.note(read_user(&keys.user));
        let account = all.note(read_account(&keys.account));
        if keys.region.is_none() && keys.endpoint.is_none() {
            all.push(
                Mistake::new(Kind::WrongForm, "the key `region` is missing")
                    .at(&shape.span)
                    .help("write `region = \"eu-west-1\"`: its STS is asked whether a key works"),
            );
            return None;
        }
        let endpoint = all.note(read_url("aws.endpoint", keys.endpoint.as_ref(), &[]));
        let of_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let profile = all.note(text("aws.profile", keys.profile.as_ref(), |byte| !byte.is_ascii_control()));
        let region = all.note(text("aws.region", keys.region.as_ref(), of_region));
        endpoint?;
        Some(Self {
            user: user?,
            account: account?,
            profile: profile?,
            region: region?,
            endpoint: keys.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        })
    }
}

fn read_user(user: &At<String>) -> Result<String, Mistake> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || USER_PUNCTUATION.contains(&byte);
    if (1..=USER_BYTES_MAX).contains(&user.value.len()) && user.value.bytes().all(plain) {
        return Ok(user.value.clone());
    }
    let why =
        format!("`aws.user` must have 1 to {USER_BYTES_MAX} letters, digits and characters of `_+=,.@-`");
    Err(Mistake::new(Kind::WrongForm, why)
        .at(&user.span)
        .help("write the user's name alone, without its path and without `arn:`"))
}

fn read_account(account: &At<String>) -> Result<String, Mistake> {
    if account.value.len() == ACCOUNT_DIGITS && account.value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(account.value.clone());
    }
    let why = format!("`aws.account` must have {ACCOUNT_DIGITS} digits");
    Err(Mistake::new(Kind::WrongForm, why).at(&account.span).help(ACCOUNT_HELP))
}

/// The next step where there is no account.
pub(crate) const ACCOUNT_HELP: &str = "write the number of the user's account as text, `account = \"123456789012\"`: `aws sts \
                                       get-caller-identity --query Account --output text` shows that of a login";

fn text(key: &str, text: Option<&At<String>>, fits: impl Fn(u8) -> bool) -> Result<Option<String>, Mistake> {
    let Some(text) = text else { return Ok(None) };
    if (1..=TEXT_BYTES_MAX).contains(&text.value.len()) && text.value.bytes().all(fits) {
        return Ok(Some(text.value.clone()));
    }
    let why = format!("`{key}` is empty, too long, or has characters that it cannot have");
    Err(Mistake::new(Kind::WrongForm, why).at(&text.span))
}
