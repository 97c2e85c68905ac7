use std::path::PathBuf;

use keyroll_http::header::HeaderValue;
use keyroll_http::{Method, Response};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::app_role::{AppRole, header};
use crate::attempt::{Attempt, Codes, Nature};
use crate::failure::{Needs, REACH, says};
use crate::private_file::{self, LOGIN};
use crate::server::Server;
use crate::settings::{VaultLogin, VaultSettings};

/// How the token comes to a request.
enum Login {
    /// The other end of the connection adds it.
    Agent,
    Token(SecretBytes),
    /// A file with a token, read for each request: it may have been renewed.
    File(PathBuf),
    AppRole(AppRole),
}

/// One request.
pub struct Call<'a> {
    /// For the words of its failure.
    pub attempt: Attempt<'a>,
    /// Its method.
    pub method: Method,
    /// Below `/v1/`, without escapes.
    pub path: &'a str,
    /// Its body, in JSON.
    pub body: Zeroizing<Vec<u8>>,
    /// What a policy must allow.
    pub needs: Needs<'a>,
}

/// A server of Vault or OpenBao with the login there, for the requests about one thing.
pub struct Client {
    server: Server,
    login: Login,
    place: String,
    codes: &'static Codes,
}

impl Client {
    /// Opens a server. The file of a token is read now and for each request, the secret id of AppRole at each login; no request is sent yet. The reference
    /// names for people what it is opened for.
    ///
    /// # Errors
    /// No address or no login is configured, the address is not encrypted and not of this machine, or the login's file is
    /// missing, or open to other users.
    pub fn open(reference: &str, settings: &VaultSettings, codes: &'static Codes) -> Result<Self, Failure> {
        let attempt = Attempt { what: "open", place: reference, nature: Nature::Read, codes };
        let server = reached(&attempt, settings)?;
        let login = logged_in(&attempt, settings)?;
        let place = format!("{reference} ({})", server.shown());
        Ok(Self { server, login, place, codes })
    }

    /// What it was opened for, with the server: `vault:kv/agents/openai#key (https://vault.example:8200)`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The server alone: `https://vault.example:8200`, with the namespace where there is one.
    pub(crate) fn shown(&self) -> &str {
        self.server.shown()
    }

    /// An attempt on what it was opened for.
    pub fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'_> {
        self.attempt_on(&self.place, what, nature)
    }

    /// An attempt on something else.
    pub(crate) fn attempt_on<'a>(&self, place: &'a str, what: &'static str, nature: Nature) -> Attempt<'a> {
        Attempt { what, place, nature, codes: self.codes }
    }

    /// Sends the request once, after a login where none lasts. A denied right is a failure; any other status is for the
    /// caller.
    ///
    /// # Errors
    /// The login fails, a right is missing, or no whole answer came.
    pub async fn call(&self, call: Call<'_>) -> Result<Response, Failure> {
        let token = self.token(&call.attempt).await?;
        let answer = self.server.send(call.method, call.path, token.clone(), call.body).await;
        let answer = answer.map_err(|error| call.attempt.not_answered(&error, REACH))?;
        if answer.status != 403 {
            return Ok(answer);
        }
        let ended = self.has_ended(token, &answer).await;
        let Login::AppRole(role) = &self.login else {
            // A file may get another token meanwhile.
            let class = match self.login {
                Login::File(_) if ended => Class::Retryable,
                Login::Agent | Login::Token(_) | Login::File(_) | Login::AppRole(_) => Class::Permanent,
            };
            return Err(Failure { class, ..denied(&call.attempt, &call.needs, ended) });
        };
        // The next login may also come with other rights.
        role.forget();
        if ended {
            let failure = call.attempt.fail(Class::Retryable, self.codes.access);
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
            Login::Token(token) => sent(attempt, token),
            Login::File(path) => sent(attempt, &private_file::read(attempt, path)?),
            Login::AppRole(role) => match role.token() {
                Some(value) => Ok(Some(value)),
                None => role.log_in(&self.server, attempt).await.map(Some),
            },
        }
    }
}

fn sent(attempt: &Attempt<'_>, token: &SecretBytes) -> Result<Option<HeaderValue>, Failure> {
    match header(token) {
        Some(value) => Ok(Some(value)),
        None => {
            let failure = attempt.fail(Class::Permanent, attempt.codes.access);
            Err(failure.because("the token has a byte that no token has").help(LOGIN))
        }
    }
}

fn reached(attempt: &Attempt<'_>, settings: &VaultSettings) -> Result<Server, Failure> {
    let server = match (&settings.login, &settings.address) {
        (Some(VaultLogin::Agent(socket)), _) => Server::socket(socket),
        (_, Some(address)) => Server::at(address, settings.ca.as_deref()).map_err(|why| {
            let failure = attempt.fail(Class::Permanent, attempt.codes.unreachable).because(why);
            failure.help("correct `address` and `ca` in keyroll.toml, or VAULT_ADDR and VAULT_CACERT")
        })?,
        (_, None) => {
            let failure = attempt.fail(Class::Permanent, attempt.codes.access);
            let failure = failure.because("no address of Vault is configured");
            return Err(
                failure.help("set `address` in keyroll.toml, or VAULT_ADDR: https://vault.example:8200")
            );
        }
    };
    let server = match settings.request_ms_max {
        Some(request_ms_max) => server.limited(request_ms_max),
        None => server,
    };
    let namespace = settings.namespace.as_deref().map(|name| name.trim_matches('/'));
    let Some(namespace) = namespace.filter(|name| !name.is_empty()) else { return Ok(server) };
    server.within(namespace).ok_or_else(|| {
        let failure = attempt.fail(Class::Permanent, attempt.codes.unsuitable);
        failure
            .because("the name of the namespace is no plain text")
            .help("correct `namespace` in keyroll.toml")
    })
}

fn logged_in(attempt: &Attempt<'_>, settings: &VaultSettings) -> Result<Login, Failure> {
    Ok(match &settings.login {
        Some(VaultLogin::Agent(_)) => Login::Agent,
        Some(VaultLogin::Token(file)) => {
            private_file::read(attempt, file)?;
            Login::File(file.clone())
        }
        Some(VaultLogin::Environment(token)) => {
            Login::Token(SecretBytes::new(token.bytes().expose().trim_ascii().to_vec()))
        }
        Some(VaultLogin::AppRole { mount, role_id, secret_id }) => {
            Login::AppRole(AppRole::new(mount, role_id.clone(), secret_id.clone()))
        }
        None => {
            let failure = attempt.fail(Class::Permanent, attempt.codes.access);
            return Err(failure.because("no login at Vault is configured").help(LOGIN));
        }
    })
}

/// What Vault says of a token that it does not know, or that has ended.
const INVALID: &str = "invalid token";

fn denied(attempt: &Attempt<'_>, needs: &Needs<'_>, ended: bool) -> Failure {
    let failure = attempt.fail(Class::Permanent, attempt.codes.access);
    if ended {
        let failure = failure.because("the token is not valid, or has ended (403)");
        return failure.help(
            "renew the token (`vault token lookup`), or see that the agent logs in; then run the same command again",
        );
    }
    failure.because(needs.why).help(needs.help())
}
