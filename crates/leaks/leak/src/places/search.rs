use std::collections::BTreeSet;
use std::path::Path;

use crate::Rules;
use crate::allowlist::no_secret_under;
use crate::block_context::table::Table;
use crate::candidate::{Candidate, CandidateSource};
use crate::candidate_search::in_part;
use crate::confidence::TextKind;
use crate::names_a_secret;
use crate::places::line_formats::{in_file_of, one_value};
use crate::places::{FileFormat, reading_of};

/// Finds the same as [`in_part`], and what the lines of a file of this format have.
pub fn in_part_of<'r>(
    part: &[u8],
    rules: &'r Rules,
    table: Option<&Table>,
    format: Option<FileFormat>,
) -> Vec<Candidate<'r>> {
    let mut found = in_part(part, rules, table);
    let Some(format) = format else { return found };
    let mut further = Vec::new();
    in_file_of(format, part, &mut further);
    further.sort_by_key(|(_, span, _)| span.start);
    let (mut more, mut replaced) = (Vec::<Candidate<'r>>::new(), BTreeSet::new());
    for (name, span, by) in further {
        let value = part.get(span.clone()).unwrap_or_default();
        let named = by == CandidateSource::Place || names_a_secret(&name);
        let again = more.last().is_some_and(|last| span.start < last.span.end);
        if !named || again || no_secret_under(Some(&name), value).is_some() {
            continue;
        }
        let upto = found.partition_point(|other| other.span.start < span.end);
        let over = |at: &usize| found.get(*at).is_some_and(|other| span.start < other.span.end);
        let overlapped: Vec<usize> = (0..upto).rev().take_while(over).collect();
        // The format of a file says more than a name or a position, and less than the form of a credential.
        let by_form =
            |at: &usize| found.get(*at).is_some_and(|one| one.rule.is_some() || one.decoded.is_some());
        if !overlapped.iter().any(by_form) {
            replaced.extend(overlapped);
            more.push(Candidate::new(span, Some(name), None, by));
        }
    }
    let mut number = 0;
    found.retain(|_| {
        number += 1;
        !replaced.contains(&(number - 1))
    });
    found.append(&mut more);
    found.sort_by_key(|one| one.span.start);
    found
}

/// Finds the likely credentials of a whole file, by its name.
pub fn in_file_named<'r>(path: &Path, text: &[u8], rules: &'r Rules) -> Vec<Candidate<'r>> {
    let (kind, format) = match reading_of(path) {
        (kind, Some(FileFormat::Whole)) if one_value(text).is_none() => (kind, None),
        (_, Some(FileFormat::Whole)) => (TextKind::Settings, Some(FileFormat::Whole)),
        known => known,
    };
    let found = in_part_of(text, rules, Table::of(text).as_ref(), format).into_iter();
    found.filter(|one| one.is_likely(text, kind)).collect()
}
