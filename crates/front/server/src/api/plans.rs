//! `POST /v1/plans`: makes a plan, in a process of its own; nothing is touched.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use keyroll_app::configured;
use keyroll_app::operator::{DowntimeShown, RollsBack};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body;
use super::child::lines_within;
use super::shown::{told, unread};
use crate::answer::{Refusal, json};
use crate::seen::Told;
use crate::server::Server;
use crate::tokens::Caller;

/// How long a plan may take.
const PLAN_MAX: Duration = Duration::from_secs(120);
/// When a caller may try again while another plan is made, seconds.
const AGAIN_S: u64 = 5;

/// The secret that a plan is made for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPlan {
    /// The name of the secret, as the configuration has it.
    secret: String,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanShown {
    /// Its id; the rotation has the same.
    id: String,
    secret: String,
    /// What happens, in order.
    steps: Vec<String>,
    /// How the consumers are moved one after the other, as far as the configuration says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pace: Vec<String>,
    /// The consumers with a downtime.
    #[serde(default)]
    downtimes: Vec<String>,
    /// The downtime of each of them, as far as it is known beforehand.
    #[serde(default)]
    #[schema(value_type = Vec<DowntimeShown>)]
    away: Vec<serde_json::Value>,
    /// The waits that the plan requires in any case, seconds.
    least_s: u64,
    /// How far it can be rolled back once it is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rolls_back: Option<RollsBack>,
    /// What was found beside the plan: pending changes, undeclared processes, and what is not visible.
    #[serde(default)]
    notes: Vec<String>,
    /// The pending changes to accept, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accept: Vec<String>,
    /// The command that applies it at a terminal, with the pending changes to accept.
    apply_with: String,
}

/// What the process that plans says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Plan(PlanShown),
    Error(Told),
    Note {
        text: String,
    },
    NotVisible {
        what: String,
        why: String,
    },
    Live {
        name: String,
        what: String,
        since: Option<String>,
    },
    #[serde(other)]
    Other,
}

/// What the process said: the plan with its notes, or why there is none.
fn made(said: Vec<Line>) -> Option<Result<PlanShown, Told>> {
    let (mut plan, mut error, mut notes) = (None, None, Vec::new());
    for line in said {
        match line {
            Line::Plan(made) => plan = Some(made),
            Line::Error(told) => error = Some(told),
            Line::Note { text } => notes.push(text),
            Line::NotVisible { what, why } => notes.push(format!("not visible: {what} ({why})")),
            Line::Live { name, what, since } => {
                let since = since.map(|at| format!(" (file written {at})")).unwrap_or_default();
                notes.push(format!("pending change: {what}{since}\n  name: {name}"));
            }
            Line::Other => {}
        }
    }
    match (error, plan) {
        (Some(told), _) => Some(Err(told)),
        (None, plan) => plan.map(|plan| Ok(PlanShown { notes, ..plan })),
    }
}

/// Inspects everything, and makes a plan. Nothing is touched.
#[utoipa::path(
    post,
    path = "/v1/plans",
    tag = "plans",
    request_body = NewPlan,
    responses(
        (status = 201, description = "The plan", body = PlanShown),
        (status = 400, description = "The body is not understood"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "The role of the token does not allow it"),
        (status = 404, description = "No secret has this name"),
        (status = 409, description = "The state of the secret or of the machine does not allow a plan now"),
        (status = 422, description = "The secret needs a person at a terminal"),
        (status = 429, description = "Another plan is being made"),
        (status = 504, description = "It took too long"),
    ),
)]
pub(crate) async fn plan(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Response> {
    let NewPlan { secret } = body::read(request, "{\"secret\": \"NAME\"}").await?;
    let given = secret.clone();
    let known = server.blocking(move |installation| {
        configured::secret(&installation.config()?, &given).map(|secret| secret.name.to_string())
    });
    let secret = known.await.map_err(|problem| unread(&problem))?;
    let Ok(place) = server.planning.clone().try_lock_owned() else {
        let refusal = Refusal::new("another plan is being made: one at a time");
        return Err(refusal.later(StatusCode::TOO_MANY_REQUESTS, AGAIN_S));
    };
    server.log(&format!("{secret}: asked for a plan, by the token {}", caller.name));
    let failed = |why: String| {
        server.log(&format!("{secret}: no plan was made: {why}"));
        Refusal::new("no plan was made; the server's log says why")
    };
    let ended = lines_within::<Line, _>(&server, &["plan", &secret], PLAN_MAX, place).await;
    let Some((said, status)) = ended.map_err(|error| failed(error.to_string()).soon())? else {
        let refusal = Refusal {
            help: Some(format!("keyroll plan {secret}, at a terminal, shows what takes long")),
            ..Refusal::new(format!("the plan took longer than {} s: none was made", PLAN_MAX.as_secs()))
        };
        return Err(refusal.answered(StatusCode::GATEWAY_TIMEOUT));
    };
    match made(said) {
        Some(Ok(plan)) => Ok(json(StatusCode::CREATED, &plan)),
        Some(Err(problem)) => Err(told(&problem, None)),
        None => Err(failed(format!("keyroll plan ended with {status}")).soon()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"{"at":"T","type":"plan","id":"01a2","secret":"db","steps":["one"],"least_s":7,"rolls_back":"until_last","apply_with":"keyroll apply 01a2"}"#;

    fn said(lines: &[&str]) -> Option<Result<PlanShown, Told>> {
        made(lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn a_plan_is_read_from_the_line_of_its_event() {
        let Some(Ok(plan)) = said(&[PLAN]) else { panic!("{PLAN}") };
        assert_eq!((plan.id.as_str(), plan.least_s, plan.away.len()), ("01a2", 7, 0));
        assert_eq!(plan.rolls_back, Some(RollsBack::UntilLast));
        assert!(plan.accept.is_empty(), "{:?}", plan.accept);
        assert!(said(&[r#"{"at":"T","type":"start","version":1}"#]).is_none());
    }

    #[test]
    fn what_was_found_is_said_with_the_plan() {
        let lines = [
            r#"{"at":"T","type":"note","text":"undeclared process"}"#,
            r#"{"at":"T","type":"not_visible","what":"/srv","why":"denied"}"#,
            r#"{"at":"T","type":"live","name":"a.env:PORT","what":"PORT of a.env","since":"S","refused":false}"#,
            PLAN,
        ];
        let Some(Ok(plan)) = said(&lines) else { panic!("{PLAN}") };
        let live = "pending change: PORT of a.env (file written S)\n  name: a.env:PORT";
        assert_eq!(plan.notes, ["undeclared process", "not visible: /srv (denied)", live]);
    }
}
