use std::path::PathBuf;

use async_trait::async_trait;
use keyroll_link::{FormError, HoldsForm, LIST_MAX, Order, Reply, SessionsForm, SurveyOrder, TEXT_BYTES_MAX};
use keyroll_port::{CopySeen, Failure, PendingChanges, Survey, Surveying, Surveyor, Values};
use keyroll_rotation::Holds;

use crate::connection::of_host;
use crate::member::sentence;
use crate::order_kind::OrderKind;
use crate::remote::Remote;

impl Remote {
    async fn copies_there(&self, values: Values<'_>) -> Result<Vec<CopySeen>, Failure> {
        const KIND: OrderKind = OrderKind::short("copies", "read the files");
        let connection = self.connected().await?;
        let values = connection.seal(&KIND, 0, &values)?;
        let Reply::Copies(copies) = self.order(connection, Order::Copies { values }, KIND).await? else {
            return Err(self.other(&KIND));
        };
        if !self.paths.is_empty() && self.paths.len() != copies.len() {
            return Err(self.other(&KIND));
        }
        self.within(&KIND, fits(&copies))?;
        let path =
            |at: usize| self.paths.get(at).cloned().unwrap_or_else(|| PathBuf::from(format!("file {at}")));
        let all = copies.into_iter().enumerate();
        Ok(all
            .map(|(at, (holds, unclear))| CopySeen { path: path(at), holds: holds.into(), unclear })
            .collect())
    }

    async fn live_there(&self) -> Result<PendingChanges, Failure> {
        const KIND: OrderKind = OrderKind::short("live", "compare pending changes");
        let Reply::Live(live) = self.order(self.connected().await?, Order::Live, KIND).await? else {
            return Err(self.other(&KIND));
        };
        self.within(&KIND, live.into_port())
    }
}

/// Whether the reply about the files is within the limits of all replies.
fn fits(copies: &[(HoldsForm, Option<String>)]) -> Result<(), FormError> {
    let is_long = |(_, unclear): &(HoldsForm, Option<String>)| {
        unclear.as_ref().is_some_and(|unclear| unclear.len() > TEXT_BYTES_MAX)
    };
    match copies.len() > LIST_MAX {
        true => Err(FormError::TooMany),
        false if copies.iter().any(is_long) => Err(FormError::TooLong),
        false => Ok(()),
    }
}

#[async_trait]
impl Surveyor for Remote {
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure> {
        const KIND: OrderKind = OrderKind::search("survey", "look at what a plan depends on");
        let connection = self.connected().await?;
        let next = |next| connection.seal(&KIND, 0, &Values { old: next, new: None, old_ended: false });
        let order = SurveyOrder {
            values: connection.seal(&KIND, 0, &of.values)?,
            next: of.next.map(next).transpose()?,
            sessions: SessionsForm::from(of.sessions),
            begins_on_new: of.begins_on == Holds::New,
            restarts: of.restarts,
            rehearses: of.rehearses,
        };
        let order = Order::Survey(Box::new(order));
        let Reply::Surveyed(survey) = self.order(connection, order, KIND).await? else {
            return Err(self.other(&KIND));
        };
        let mut survey = self.within(&KIND, survey.into_port())?;
        survey.checks = survey.checks.into_iter().map(|failure| of_host(&self.name, failure)).collect();
        Ok(survey)
    }

    /// Without an answer, nothing is known of its files.
    async fn copies(&self, values: Values<'_>) -> Vec<CopySeen> {
        let failure = match self.copies_there(values).await {
            Ok(copies) => return copies,
            Err(failure) => failure,
        };
        let unread = |path: &PathBuf| CopySeen {
            path: path.clone(),
            holds: Holds::Unreadable,
            unclear: Some(sentence(&failure)),
        };
        self.paths.iter().map(unread).collect()
    }

    async fn live(&self) -> PendingChanges {
        self.live_there().await.unwrap_or_else(|failure| PendingChanges {
            live: Vec::new(),
            not_visible: vec![format!("pending changes: {}", sentence(&failure))],
        })
    }
}
