//! Changes to a document that was read, after which the rest of it can be read.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

/// The place of what stands nowhere in the text.
pub(crate) const NOWHERE: usize = usize::MAX;

/// What is taken out of a document.
#[derive(Debug, Clone)]
pub(crate) enum Sought {
    /// The entry whose key stands at these bytes.
    Key(Range<usize>),
    /// The entry whose value stands there, or whose list has it.
    Value(Range<usize>),
}

/// What was taken out.
#[derive(Debug)]
pub(crate) struct Taken<'i> {
    /// The keys of its table, from the top of the file; an element of a list counts from 0.
    pub(crate) table: Vec<String>,
    pub(crate) key: String,
    pub(crate) value: DeValue<'i>,
    /// What was sought is in the list that is its value.
    pub(crate) is_item: bool,
}

impl Sought {
    fn is_it(&self, key: &Range<usize>, value: &Spanned<DeValue<'_>>) -> bool {
        match self {
            Self::Key(at) => key == at,
            Self::Value(at) => value.span() == *at || has_element(value.get_ref(), at),
        }
    }
}

/// Whether a list has the value at these bytes, or a list in it has.
fn has_element(value: &DeValue<'_>, at: &Range<usize>) -> bool {
    let DeValue::Array(all) = value else { return false };
    all.iter().any(|one| one.span() == *at || has_element(one.get_ref(), at))
}

/// Takes an entry out of the tables of a document.
pub(crate) fn take_out<'i>(document: &mut Spanned<DeValue<'i>>, sought: &Sought) -> Option<Taken<'i>> {
    let mut take = |one: &mut Spanned<DeValue<'i>>| {
        let DeValue::Table(table) = one.get_mut() else { return None };
        let key =
            table.iter().find(|(key, one)| sought.is_it(&key.span(), one)).map(|(key, _)| key.clone())?;
        let value = table.remove(&key)?;
        let is_item = matches!(sought, Sought::Value(at) if value.span() != *at);
        Some((key.into_inner().into_owned(), value.into_inner(), is_item))
    };
    let (table, (key, value, is_item)) = first(document, &mut take)?;
    Some(Taken { table, key, value, is_item })
}

/// Puts a key with a value of its type into the table at these bytes. Returns the table's keys, from the top of the file.
pub(crate) fn put_in<'i>(
    document: &mut Spanned<DeValue<'i>>,
    at: &Range<usize>,
    key: &str,
) -> Option<Vec<String>> {
    let mut put = |one: &mut Spanned<DeValue<'i>>| {
        let is_here = one.span() == *at;
        let DeValue::Table(table) = one.get_mut() else { return None };
        if !is_here || table.contains_key(key) {
            return None;
        }
        table.insert(nowhere(Cow::Owned(key.to_owned())), nowhere(stand_in(key)));
        Some(())
    };
    first(document, &mut put).map(|(table, ())| table)
}

/// What is done at the first value of a document at which it can be, and the keys of that value, from the top of the file; an
/// element of a list counts from 0.
fn first<'i, T>(
    one: &mut Spanned<DeValue<'i>>,
    act: &mut dyn FnMut(&mut Spanned<DeValue<'i>>) -> Option<T>,
) -> Option<(Vec<String>, T)> {
    if let Some(done) = act(one) {
        return Some((Vec::new(), done));
    }
    let (key, (below, done)) = match one.get_mut() {
        DeValue::Table(table) => table.iter_mut().find_map(|(key, one)| {
            let found = first(one, act)?;
            Some((key.get_ref().to_string(), found))
        }),
        DeValue::Array(all) => all.iter_mut().enumerate().find_map(|(at, one)| {
            let found = first(one, act)?;
            Some((at.to_string(), found))
        }),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }?;
    Some(([key].into_iter().chain(below).collect(), done))
}

fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(NOWHERE..NOWHERE, value)
}

/// A value of the type that a required key has. It is never used: what depends on it is not read.
fn stand_in(key: &str) -> DeValue<'static> {
    let text = || DeValue::String(Cow::Borrowed(""));
    match key {
        "version" => DeValue::Integer(DeInteger::default()),
        "max" => DeValue::Float(DeFloat::default()),
        "check" => DeValue::Table(DeTable::new()),
        "emergency" => {
            let mut table = DeTable::new();
            table.insert(nowhere(Cow::Borrowed("admin_token")), nowhere(text()));
            DeValue::Table(table)
        }
        _ => text(),
    }
}
