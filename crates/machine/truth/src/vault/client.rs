use keyroll_codes::Code;
use keyroll_http::header::HeaderValue;
use keyroll_http::{Method, Response};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use super::app_role::{AppRole, header};
use super::failure::{Needs, REACH, says};
use super::private_file::LOGIN;
use super::server::Server;
use crate::attempt::{Attempt, Nature};

/// How the token comes to a request.
pub(super) enum Login {
    /// The other end of the connection adds it.
    Agent,
    Token(SecretBytes),
    AppRole(AppRole),
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) attempt: Attempt<'a>,
    pub(super) method: Method,
    /// Below `/v1/`, without escapes.
    pub(super) path: &'a str,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) needs: Needs<'a>,
}

/// The requests about one secret.
pub(super) struct Client {
    pub(super) server: Server,
    pub(super) login: Login,
    /// `vault:kv/agents/openai#key (https://vault.example:8200)`.
    pub(super) place: String,
}

impl Client {
    pub(super) fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'_> {
        Attempt { what, place: &self.place, nature }
    }

    /// Sends the request once, after a login where none lasts. A denied right is a failure; any other status is for the
    /// caller.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Response, Failure> {
        let token = self.token(&call.attempt).await?;
        let answer = self.server.send(call.method, call.path, token.clone(), call.body).await;
        let answer = answer.map_err(|error| call.attempt.not_answered(&error, REACH))?;
        if answer.status != 403 {
            return Ok(answer);
        }
        let ended = self.has_ended(token, &answer).await;
        let Login::AppRole(role) = &self.login else {
            return Err(denied(&call.attempt, &call.needs, ended));
        };
        // The next login may also come with other rights.
        role.forget();
        if ended {
            let failure = call.attempt.fail(Class::Retryable, Code::TruthAccess);
            let failure = failure.because("the token of the last login has ended (403)");
            return Err(failure.help("run the same command again: keyroll logs in again"));
        }
        Err(denied(&call.attempt, &call.needs, false))
    }

    /// Whether the token itself was refused, and not a right that it lacks. Vault says so. OpenBao says the same for both;
    /// a token that lasts may look at itself.
    /// Sources: `fetchACLTokenEntryAndEntity` in <https://github.com/hashicorp/vault/blob/main/vault/request_handling.go>
    /// and <https://github.com/openbao/openbao/blob/main/vault/request_handling.go>;
    /// <https://developer.hashicorp.com/vault/api-docs/auth/token#lookup-a-token-self>.
    async fn has_ended(&self, token: Option<HeaderValue>, answer: &Response) -> bool {
        if says(answer, INVALID) {
            return true;
        }
        // Of an agent's token, only the agent knows.
        if token.is_none() {
            return false;
        }
        let look = self.server.send(Method::GET, "auth/token/lookup-self", token, Zeroizing::default()).await;
        look.is_ok_and(|look| look.status == 403)
    }

    async fn token(&self, attempt: &Attempt<'_>) -> Result<Option<HeaderValue>, Failure> {
        match &self.login {
            Login::Agent => Ok(None),
            Login::Token(token) => match header(token) {
                Some(value) => Ok(Some(value)),
                None => {
                    let failure = attempt.fail(Class::Permanent, Code::TruthAccess);
                    Err(failure.because("the token has a byte that no token has").help(LOGIN))
                }
            },
            Login::AppRole(role) => match role.token() {
                Some(value) => Ok(Some(value)),
                None => role.log_in(&self.server, &self.place).await.map(Some),
            },
        }
    }
}

/// What Vault says of a token that it does not know, or that has ended.
const INVALID: &str = "invalid token";

fn denied(attempt: &Attempt<'_>, needs: &Needs<'_>, ended: bool) -> Failure {
    let failure = attempt.fail(Class::Permanent, Code::TruthAccess);
    if ended {
        let failure = failure.because("the token is not valid, or has ended (403)");
        return failure.help(
            "renew the token (`vault token lookup`), or see that the agent logs in; then run the same command again",
        );
    }
    failure.because(needs.why).help(needs.help())
}
