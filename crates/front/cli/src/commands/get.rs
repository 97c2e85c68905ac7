mod access;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::wall_clock;
use keyroll_served::Request;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::access::{Access, Issuer};
use super::socket::{Given, Socket, given, problem};
use crate::args::{GetArgs, GetFormat};
use crate::context::Context;
use crate::ui::raw;

/// The default of `--expires` where it is printed, seconds: the SDKs of AWS ask again some 15 minutes before.
const EXPIRES_S: u32 = 3_600;

/// How much earlier than its end a token is replaced, seconds.
const MARGIN_S: u32 = 60;

/// Prints a value for the program that runs this command. The server sees which program that is.
pub(super) fn run(args: &GetArgs, _context: &mut Context) -> Result<Exit, Problem> {
    // A helper is also asked to store and to erase, which nobody needs here.
    if args.action != "get" {
        return Ok(Exit::Done);
    }
    if std::io::stdout().is_terminal() && !args.show {
        return Err(problem(&args.secret)
            .because("stdout is a terminal, which would keep it in its history")
            .help("--show prints it all the same")
            .exits(Exit::Usage));
    }
    let issuer = args.token_url.as_deref().map(|url| Issuer::parse(&args.secret, url)).transpose()?;
    if issuer.is_some() && args.format == GetFormat::Aws {
        return Err(problem(&args.secret)
            .because("an access token is no access key of AWS")
            .exits(Exit::Usage));
    }
    let get = Request::Get {
        secret: args.secret.clone(),
        have: None,
        wait: None,
        keeps: expires(args),
        runs: None,
        // The program gets a token, and never the value itself.
        itself: issuer.is_some(),
    };
    let answer = Socket::of(args.socket.as_deref()).ask(&args.secret, &get, Duration::ZERO)?;
    let Some(given) = given(&args.secret, &answer)? else {
        return Err(problem(&args.secret).because("its answer is not understood"));
    };
    if let Some(issuer) = issuer {
        let access = issuer.ask(args, &given)?;
        let text = exchanged(args, &given, &access)?;
        return written(&text);
    }
    let text = match args.format {
        GetFormat::Json => Zeroizing::new(String::from_utf8_lossy(&answer).into_owned()),
        GetFormat::Value | GetFormat::Aws | GetFormat::Git | GetFormat::Docker | GetFormat::Kube => {
            shown(args, &given, args.expires.unwrap_or(EXPIRES_S))?
        }
    };
    written(&text)
}

fn written(text: &str) -> Result<Exit, Problem> {
    raw::out().write_all(text.as_bytes()).map_err(|error| raw::not_written(&error))?;
    Ok(Exit::Done)
}

/// The access token in the form of a program.
fn exchanged(args: &GetArgs, given: &Given, access: &Access) -> Result<Zeroizing<String>, Problem> {
    let life_s = args.expires.or(access.life_s);
    // Whoever waits for the very end meets a refusal on the way.
    let asks_again_s = life_s.map_or(EXPIRES_S, |life| life - (life / 2).min(MARGIN_S));
    if args.format == GetFormat::Json {
        let all = json!({ "access_token": access.token.as_str(), "expires_in": life_s });
        return Ok(Zeroizing::new(format!("{all}\n")));
    }
    let user = given
        .field(&["username", "user"])
        .map(|user| ("username".to_owned(), Zeroizing::new(user.to_owned())));
    let token = Given {
        version: given.version,
        value: Some(access.token.clone()),
        fields: user.into_iter().collect(),
    };
    shown(args, &token, asks_again_s)
}

/// How long the program says that it keeps the value: by `--expires`, or by what is printed for it.
fn expires(args: &GetArgs) -> Option<u32> {
    match args.format {
        GetFormat::Aws | GetFormat::Kube => Some(args.expires.unwrap_or(EXPIRES_S)),
        GetFormat::Value | GetFormat::Json | GetFormat::Git | GetFormat::Docker => args.expires,
    }
}

/// The value in the form of a program.
fn shown(args: &GetArgs, given: &Given, expires_s: u32) -> Result<Zeroizing<String>, Problem> {
    let lacks = |what: &str| given.lacks(&args.secret, what);
    let value = || given.chosen(&args.secret, args.field.as_deref());
    let user = || given.field(&["username", "user"]);
    let until = || wall_clock::in_seconds(expires_s);
    let json = |value: Value| Zeroizing::new(format!("{value}\n"));
    Ok(match args.format {
        GetFormat::Value | GetFormat::Json => Zeroizing::new(format!("{}\n", value()?)),
        GetFormat::Aws => {
            let id = given.field(&["access_key_id", "id"]).ok_or_else(|| lacks("access_key_id"))?;
            let key = given
                .field(&["secret_access_key", "secret", "value"])
                .ok_or_else(|| lacks("secret_access_key"))?;
            let all = json!({
                "Version": 1, "AccessKeyId": id, "SecretAccessKey": key, "Expiration": until(),
            });
            let token =
                given.field(&["session_token"]).map(|token| ("SessionToken".to_owned(), token.into()));
            json(
                all.as_object()
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .chain(token)
                    .collect(),
            )
        }
        GetFormat::Git => {
            // Without one, git has its own: the address's, or credential.username.
            let user = user().map_or_else(String::new, |user| format!("username={user}\n"));
            let value = value()?;
            if value.contains('\n') {
                return Err(problem(&args.secret).because("it has several lines, which git cannot take"));
            }
            Zeroizing::new(format!("{user}password={value}\n"))
        }
        GetFormat::Docker => json(json!({
            "ServerURL": "", "Username": user().unwrap_or("keyroll"), "Secret": value()?,
        })),
        GetFormat::Kube => json(json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": { "token": value()?, "expirationTimestamp": until() },
        })),
    })
}
