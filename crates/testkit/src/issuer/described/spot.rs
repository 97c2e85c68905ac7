//! Where a spec puts credentials into requests.

#![allow(clippy::indexing_slicing, reason = "what a spec does not have is null")]

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::mark::{Mark, Place};
use super::template::{Piece, fill, pieces};

/// One place of a credential.
pub(super) struct Spot {
    pub(super) mark: Mark,
    /// What is between the mark's two texts: one placeholder; all that follows it, where that has more of them.
    pub(super) shown: Vec<Piece>,
}

/// Whether a placeholder is a credential, or made of one.
pub(super) type IsSecret<'a> = &'a dyn Fn(&str) -> bool;

/// The credential in one text, with what is before and after it.
fn split(template: &str, is_secret: IsSecret<'_>) -> Option<(Vec<Piece>, Vec<Piece>, String)> {
    let mut before = pieces(template);
    let at = before.iter().position(|piece| matches!(piece, Piece::Slot(slot) if is_secret(slot)))?;
    let mut shown = before.split_off(at);
    let mut after = String::new();
    if let [_, Piece::Text(text)] = shown.as_slice() {
        after.clone_from(text);
        shown.truncate(1);
    }
    Some((before, shown, after))
}

fn spot(place: Place, head: &str, template: &str, is_secret: IsSecret<'_>) -> Option<Spot> {
    let (before, shown, after) = split(template, is_secret)?;
    let before = format!("{head}{}", fill(&before, &BTreeMap::new()));
    Some(Spot { mark: Mark::new(place, &before, &after), shown })
}

fn texts(table: &Value) -> impl Iterator<Item = (&str, &str)> {
    let entries = table.as_object().into_iter().flatten();
    entries.filter_map(|(name, text)| Some((name.as_str(), text.as_str()?)))
}

/// Those of a caller: its headers, and its user and password.
pub(super) fn of_caller(caller: &Value, is_secret: IsSecret<'_>) -> Vec<Spot> {
    let headers = texts(&caller["header"])
        .filter_map(|(name, text)| spot(Place::Header, &format!("{name}: "), text, is_secret));
    let halves = texts(&caller["basic"]).filter_map(|(_, text)| {
        let shown = pieces(text);
        let is_shown = shown.iter().any(|piece| matches!(piece, Piece::Slot(slot) if is_secret(slot)));
        let mark = Mark::new(Place::Basic, "authorization: basic ", "");
        is_shown.then_some(Spot { mark, shown })
    });
    headers.chain(halves).collect()
}

/// Those of an operation's request.
pub(super) fn of_request(request: &Value, is_secret: IsSecret<'_>) -> Vec<Spot> {
    let mut spots: Vec<Spot> = of_path(request, is_secret).into_iter().collect();
    for (table, place, equals) in
        [("query", Place::Query, "="), ("form", Place::Form, "="), ("header", Place::Header, ": ")]
    {
        let all = texts(&request[table]);
        spots.extend(all.filter_map(|(name, text)| spot(place, &format!("{name}{equals}"), text, is_secret)));
    }
    in_json(&request["json"], is_secret, &mut spots);
    spots
}

fn in_json(json: &Value, is_secret: IsSecret<'_>, spots: &mut Vec<Spot>) {
    let found =
        texts(json).filter_map(|(name, text)| spot(Place::Json, &format!("\"{name}\":\""), text, is_secret));
    spots.extend(found);
    let entries = json.as_object().into_iter().flat_map(|entries| entries.values());
    for part in entries.chain(json.as_array().into_iter().flatten()) {
        in_json(part, is_secret, spots);
    }
}

/// The path of a request's URL, from its first `/`.
pub(super) fn path(request: &Value) -> &str {
    let url = request["url"].as_str().unwrap_or_default();
    let (_, rest) = url.split_once("//").unwrap_or(("", url));
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

/// A part of the credential itself alone: the path of an admin's request tells what it asks for.
fn of_path(request: &Value, is_secret: IsSecret<'_>) -> Option<Spot> {
    let is_own: IsSecret<'_> = &|slot| slot.starts_with("{cred.") && is_secret(slot);
    let (before, shown, _) = split(path(request), is_own)?;
    let before = match before.as_slice() {
        [Piece::Text(text)] => format!("{} {text}", request["method"].as_str().unwrap_or_default()),
        [.., Piece::Text(text)] => text.clone(),
        _ => return None,
    };
    let shown = shown.into_iter().take(1).collect();
    Some(Spot { mark: Mark::new(Place::Path, &before, ""), shown })
}
