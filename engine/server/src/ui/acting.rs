//! What people do from a page: acknowledge, snooze, deliver again.

use axum::extract::{Form, Path, RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use watchfire_alerting::{AcknowledgeCommand, AcknowledgeWhat};
use watchfire_model::{Duration, Fingerprint};

use super::alerts::alerts_page;
use super::notifications_page;
use crate::{App, receivers};

/// What somebody wants of an alert.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Acknowledge,
    Snooze,
    Withdraw,
}

#[derive(Deserialize)]
pub(crate) struct ActionForm {
    action: Action,
    #[serde(default)]
    by: String,
    #[serde(default)]
    comment: String,
    /// For how long it is snoozed.
    #[serde(default)]
    duration: String,
}

/// `POST /alerts/{fingerprint}`; the query says which alerts are shown afterwards.
pub(crate) async fn act(
    State(app): State<App>,
    Path(fingerprint): Path<String>,
    RawQuery(query): RawQuery,
    Form(form): Form<ActionForm>,
) -> Response {
    match carry_out(&app, &fingerprint, form).await {
        Ok(()) => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            Redirect::to(&format!("{}/{query}", app.prefix)).into_response()
        }
        Err(error) => alerts_page(&app, query, error).await,
    }
}

async fn carry_out(app: &App, fingerprint: &str, form: ActionForm) -> Result<(), String> {
    let fingerprint = Fingerprint::parse(fingerprint).ok_or("this alert has no valid fingerprint")?;
    let what = AcknowledgeWhat::Alert(fingerprint);
    let (snooze, until) = match form.action {
        Action::Withdraw => return command(app, AcknowledgeCommand::Withdraw { what }).await,
        Action::Acknowledge => (false, None),
        Action::Snooze => {
            let duration: Duration = form.duration.trim().parse().map_err(|error| format!("{error}"))?;
            (true, Some(app.engine.now() + duration))
        }
    };
    if form.by.trim().is_empty() {
        return Err("say who you are".to_owned());
    }
    let (by, comment) = (form.by.trim().to_owned(), form.comment.trim().to_owned());
    command(app, AcknowledgeCommand::Set { what, by, comment, until, snooze }).await
}

async fn command(app: &App, command: AcknowledgeCommand) -> Result<(), String> {
    let done = app.engine.acknowledge(command).await.map_err(|error| error.to_string())?;
    done.map(drop).map_err(|error| error.to_string())
}

/// `POST /notifications/{number}/again`
pub(crate) async fn redeliver(State(app): State<App>, Path(number): Path<u64>) -> Response {
    match app.engine.redeliver(number).await {
        Some(_) => Redirect::to(&format!("{}/notifications", app.prefix)).into_response(),
        None => notifications_page(&app, receivers::FORGOTTEN.to_owned()).await,
    }
}
