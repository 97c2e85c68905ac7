use keyroll_config::{FoundConsumer, FoundCopy, Said};
use keyroll_inventory::{ConsumerShown, DraftShown, SaidShown};

use crate::consumer_draft::ConsumerDraft;
use crate::draft::Draft;

/// A draft as it is sent.
pub(crate) fn shown(draft: &Draft<'_>) -> DraftShown {
    DraftShown {
        secret: draft.found.name.clone(),
        name: draft.name.as_str().to_owned(),
        managed: draft.found.managed,
        values: draft.found.values.iter().map(|id| id.0).collect(),
        differ: draft.found.copies_differ(),
        issuer: draft.form.issuer.clone(),
        title: draft.form.title.clone(),
        consumers: draft.consumers.iter().map(consumer).collect(),
        used: draft.used,
        left: draft.left.clone(),
    }
}

fn consumer(draft: &ConsumerDraft) -> ConsumerShown {
    let FoundConsumer { name, hosts: _, notes, runs, reads, within, synced } = &draft.consumer;
    ConsumerShown {
        name: name.as_str().to_owned(),
        notes: notes.clone(),
        runs: runs.iter().map(|(key, value)| ((*key).to_owned(), said(value))).collect(),
        reads: reads.iter().map(copy).collect(),
        within: within.clone(),
        open: draft.open.clone(),
        synced: *synced,
    }
}

fn said(value: &Said) -> SaidShown {
    match value {
        Said::Text(text) => SaidShown::Text(text.clone()),
        Said::Words(words) => SaidShown::Words(words.clone()),
        Said::Yes => SaidShown::Yes,
    }
}

fn copy(copy: &FoundCopy) -> Vec<(String, String)> {
    copy.iter().map(|(key, text)| ((*key).to_owned(), text.clone())).collect()
}
