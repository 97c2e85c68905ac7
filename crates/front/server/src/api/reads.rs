//! What a viewer reads: the history, what is due, the secrets and the incidents, each as the command of its name shows it.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use keyroll_app::incidents::{self, IncidentShown};
use keyroll_app::operator::{ActShown, DueShown, PastShown, SecretShown};
use keyroll_app::problem::Problem;
use keyroll_app::reports;
use keyroll_app::reports::audit::AuditRequest;
use keyroll_app::reports::history::HistoryRequest;
use keyroll_codes::Code;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::parameters;
use crate::answer::{Refusal, json};
use crate::server::Server;

/// The rotations, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct History {
    rotations: Vec<PastShown>,
    /// Older rotations that were left out.
    older: usize,
    /// Why nothing may be done by this journal, such as one that was restored from a backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<String>,
}

/// What was asked for, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Acts {
    acts: Vec<ActShown>,
    /// There are older ones.
    older: bool,
    /// Why nothing may be done by this journal, such as one that was restored from a backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<String>,
}

/// The secrets with a `rotate_every`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Due {
    secrets: Vec<DueShown>,
}

/// The configured secrets, ordered by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Secrets {
    secrets: Vec<SecretShown>,
}

/// The incidents, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Incidents {
    incidents: Vec<IncidentShown>,
}

/// Every rotation of this installation, or those of one secret, as their journal records them.
#[utoipa::path(
    get,
    path = "/v1/history",
    params(
        ("about" = Option<String>, Query, description = "the name of a secret, or the beginning of a rotation's id", min_length = 1),
        ("all" = Option<bool>, Query, description = "all of them instead of the newest 20"),
    ),
    responses(
        (status = 200, description = "The rotations, the newest first", body = History),
        (status = 400, description = "A parameter is not known, or has no such value"),
        (status = 404, description = "`about` names neither a secret nor one rotation"),
    ),
)]
pub(crate) async fn history(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let Asked { about, all } = match asked(query.as_deref(), &["about", "all"]) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.answered(StatusCode::BAD_REQUEST),
    };
    let read = server.blocking(move |installation| {
        let request = HistoryRequest { about: about.as_deref(), all };
        reports::history::history(&request, installation)
    });
    answered(read.await.map(|history| match history {
        Some(history) => History {
            rotations: history.rows,
            older: history.older,
            doubt: history.doubt.map(|problem| problem.sentence()),
        },
        None => History { rotations: Vec::new(), older: 0, doubt: None },
    }))
}

/// Who asked for what, as the journal recorded it before it was done.
#[utoipa::path(
    get,
    path = "/v1/audit",
    params(
        ("about" = Option<String>, Query, description = "the name of a secret, or the id of a rotation, plan or incident", min_length = 1),
        ("all" = Option<bool>, Query, description = "all of them instead of the newest 50"),
    ),
    responses(
        (status = 200, description = "The acts, the newest first", body = Acts),
        (status = 400, description = "A parameter is not known, or has no such value"),
    ),
)]
pub(crate) async fn audit(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let Asked { about, all } = match asked(query.as_deref(), &["about", "all"]) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.answered(StatusCode::BAD_REQUEST),
    };
    let read = server.blocking(move |installation| {
        reports::audit::audit(&AuditRequest { about: about.as_deref(), all }, installation)
    });
    answered(read.await.map(|audit| match audit {
        Some(audit) => Acts {
            acts: audit.rows,
            older: audit.older,
            doubt: audit.doubt.map(|problem| problem.sentence()),
        },
        None => Acts { acts: Vec::new(), older: false, doubt: None },
    }))
}

/// When each secret with a `rotate_every` is due, and what stands in the way.
#[utoipa::path(
    get,
    path = "/v1/due",
    responses(
        (status = 200, description = "The secrets", body = Due),
        (status = 400, description = "It takes no parameter"),
    ),
)]
pub(crate) async fn due(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    if let Err(refusal) = asked(query.as_deref(), &[]) {
        return refusal.answered(StatusCode::BAD_REQUEST);
    }
    let read = server
        .blocking(|installation| reports::due::due(&installation.config()?, &installation.places()?))
        .await;
    answered(read.map(|secrets| Due { secrets }))
}

/// The configured secrets with their versions; of a version its name, its label and a keyed fingerprint.
#[utoipa::path(
    get,
    path = "/v1/secrets",
    responses(
        (status = 200, description = "The secrets", body = Secrets),
        (status = 400, description = "It takes no parameter"),
    ),
)]
pub(crate) async fn secrets(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    if let Err(refusal) = asked(query.as_deref(), &[]) {
        return refusal.answered(StatusCode::BAD_REQUEST);
    }
    let read = server
        .blocking(|installation| reports::secrets::secrets(&installation.config()?, &installation.places()?))
        .await;
    answered(read.map(|secrets| Secrets { secrets }))
}

/// The incidents that are not over, or all of them.
#[utoipa::path(
    get,
    path = "/v1/incidents",
    params(("all" = Option<bool>, Query, description = "also those that are over")),
    responses(
        (status = 200, description = "The incidents, the newest first", body = Incidents),
        (status = 400, description = "A parameter is not known, or has no such value"),
    ),
)]
pub(crate) async fn incidents(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let all = match asked(query.as_deref(), &["all"]) {
        Ok(asked) => asked.all,
        Err(refusal) => return refusal.answered(StatusCode::BAD_REQUEST),
    };
    let read = server.blocking(move |installation| incidents::list(all, installation)).await;
    answered(read.map(|incidents| Incidents { incidents }))
}

fn answered<T: Serialize>(read: Result<T, Problem>) -> Response {
    match read {
        Ok(body) => json(StatusCode::OK, &body),
        Err(problem) if problem.code == Code::NameNotFound => {
            Refusal::of(&problem).answered(StatusCode::NOT_FOUND)
        }
        Err(problem) => Refusal::of(&problem).soon(),
    }
}

/// The parameters of a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    about: Option<String>,
    all: bool,
}

fn asked(query: Option<&str>, known: &[&str]) -> Result<Asked, Refusal> {
    read(query.unwrap_or_default(), known).map_err(|why| {
        let help = Some(match known {
            [] => "send the request without parameters".to_owned(),
            [..] => format!("the parameters of this page: {}", known.join(", ")),
        });
        Refusal { help, ..Refusal::new(format!("the query is not understood: {why}")) }
    })
}

/// Reads the query strictly: who mistypes `all` must not take the newest 20 for all.
fn read(query: &str, known: &[&str]) -> Result<Asked, &'static str> {
    let mut asked = Asked::default();
    for (name, given) in parameters(query, known)? {
        match (name, given) {
            ("all", "true") => asked.all = true,
            ("all", "false") => {}
            ("all", _) => return Err("`all` is true or false"),
            (_, "") => return Err("a parameter is empty"),
            (_, _) => asked.about = Some(given.to_owned()),
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_strictly() {
        let both = |query| read(query, &["about", "all"]);
        let asked = |about: Option<&str>, all| Ok(Asked { about: about.map(str::to_owned), all });
        assert_eq!(both(""), asked(None, false));
        assert_eq!(both("all=true"), asked(None, true));
        assert_eq!(both("all=false&about=ring"), asked(Some("ring"), false));
        assert_eq!(both("about=01a2&&all=true"), asked(Some("01a2"), true));
        for bad in
            ["all", "all=1", "all=TRUE", "about", "about=", "About=x", "x=1", "all=true&all=true", "=x"]
        {
            let why = both(bad).unwrap_err();
            assert!(!why.contains("TRUE") && !why.contains('1'), "{bad}: {why}");
        }
        assert!(read("all=true", &[]).is_err() && read("about=x", &["all"]).is_err());
        assert_eq!(read("", &[]), asked(None, false));
    }
}
