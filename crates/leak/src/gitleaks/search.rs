use std::ops::Range;

use super::config::Config;
use super::entropy;
use super::required::{Hit, keep_complete, places};
use super::rule::Rule;
use super::seen::{Seen, Text};

/// The most findings that are told of one text: one with more is no text.
pub const FOUND_MAX: usize = 10_000;

/// The most matches of one rule in one text that are looked at, passed over or not.
const MATCHES_MAX: usize = 100_000;

/// In a line that has one of these nothing is found.
const MARKS: [&[u8]; 2] = [b"gitleaks:allow", b"betterleaks:allow"];

/// Where a text is from.
#[derive(Debug, Clone, Copy, Default)]
pub struct At<'a> {
    /// The file's path as rules see it: from the top of what is searched, with `/`.
    pub path: Option<&'a str>,
    /// The hash of the commit, in hex.
    pub commit: Option<&'a str>,
}

/// Something that a rule found.
#[derive(Debug, Clone)]
pub struct Found<'c> {
    /// Which rule.
    pub rule: &'c Rule,
    /// The secret, in bytes of the text. Empty, at 0, where the rule goes by the path alone.
    pub span: Range<usize>,
    /// The whole that the rule's expression matched, without line ends around it.
    pub matched: Range<usize>,
}

impl Config {
    /// Whether nothing is to be found at a place, whatever stands there: an allow-list for all rules says so, or the file's
    /// prefilter. An allow-list says nothing of what has neither path nor commit.
    pub fn passes_over(&self, path: Option<&str>, commit: Option<&str>) -> bool {
        let (path, commit) = (path.unwrap_or_default(), commit.unwrap_or_default());
        let place = Text::new(b"", Some(path), Some(commit));
        let seen = seen(&place, None, &(0..0), b"");
        self.allow.iter().any(|allow| allow.passes_over(path, commit))
            || self.prefilters.iter().any(|filter| filter.passes(&seen))
    }

    /// Tells what the rules find in a text, in its order: as gitleaks 8 does in a text that it reads in one piece, without
    /// decoding it. A text is searched whole. The time grows with it and, for
    /// expressions that repeat much, with the number of times: gitleaks' own take some 30 ms for a MiB, `[^x]{1000}[^y]{1000}z`
    /// takes seconds.
    ///
    /// Returns `false` if there was more than [`FOUND_MAX`], or more matches than are looked at: then not all was told.
    pub fn find<'c>(&'c self, text: &[u8], at: At<'_>, found: &mut dyn FnMut(Found<'c>)) -> bool {
        if self.passes_over(at.path, at.commit) {
            return true;
        }
        let text = Text::new(text, at.path, at.commit);
        let (mut hits, mut whole) = (Vec::new(), true);
        for index in self.keywords().chosen(text.bytes) {
            let Some(rule) = self.rules.get(index) else { continue };
            let mut own = self.of_rule(index, rule, &text, &mut whole);
            // What goes by the path alone stands nowhere, and near nothing.
            if !rule.required.is_empty() && rule.regex.is_some() && !own.is_empty() {
                self.keep_complete(rule, &text, &mut own, &mut whole);
            }
            hits.append(&mut own);
            if hits.len() > FOUND_MAX {
                hits.truncate(FOUND_MAX);
                whole = false;
                break;
            }
        }
        hits.sort_by_key(|hit| (hit.line_known(), hit.matched.start, hit.rule));
        self.without_worse(&text, &mut hits);
        for Hit { rule, matched, secret } in hits {
            if let Some(rule) = self.rules.get(rule) {
                found(Found {
                    rule,
                    span: if secret.is_empty() { matched.clone() } else { secret },
                    matched,
                });
            }
        }
        whole
    }

    /// Whether a rule may find something in a text, whatever its path and its commit are. `false`: none does, but one that goes
    /// by the path alone.
    pub fn may_find(&self, text: &[u8]) -> bool {
        let text = Text::new(text, None, None);
        let mut rules =
            self.keywords().chosen(text.bytes).into_iter().filter_map(|index| self.rules.get(index));
        rules.any(|rule| matches!(&rule.regex, Some(Ok(regex)) if regex.is_in(text.bytes, text.wide)))
    }

    /// Takes out of what other rules found in a text what this file passes over, whatever rule finds it: by its lists and filters
    /// for all rules, and by a mark in its line. `told` says which rule found it and where, or nothing of what stays; what was
    /// found is the whole match. A file of which something is not understood outside of its rules takes out nothing.
    pub fn keep<T>(
        &self,
        text: &[u8],
        at: At<'_>,
        all: &mut Vec<T>,
        told: impl Fn(&T) -> Option<(&str, Range<usize>)>,
    ) {
        if all.is_empty() || self.unread().is_some() {
            return;
        }
        let text = Text::new(text, at.path, at.commit);
        all.retain(|one| {
            let Some((rule, span)) = told(one) else { return true };
            let (secret, line) = (text.part(&span), text.line(&span));
            let seen = Seen { matched: secret, rule, ..seen(&text, None, &span, line) };
            let marked = MARKS.iter().any(|mark| memchr::memmem::find(line, mark).is_some());
            !marked
                && !self.allow.iter().any(|allow| allow.passes(&seen))
                && !self.filters.iter().any(|filter| filter.passes(&seen))
        });
    }

    /// What one rule finds, whether its keywords stand there or not.
    fn of_rule(&self, index: usize, rule: &Rule, text: &Text<'_>, whole: &mut bool) -> Vec<Hit> {
        let mut hits = Vec::new();
        let targeted = rule.also.iter().filter_map(|index| self.targeted.get(*index)).map(|(_, allow)| allow);
        let mut lists = rule.allow.iter().chain(targeted.clone());
        if lists.any(|allow| allow.passes_over(text.path, text.commit)) {
            return hits;
        }
        let path = match &rule.path {
            Some(Ok(path)) => Some(path.is_in(text.path.as_bytes(), !text.path.is_ascii())),
            Some(Err(_)) | None => None,
        };
        let Some(Ok(regex)) = &rule.regex else {
            hits.extend((path == Some(true)).then_some(Hit { rule: index, matched: 0..0, secret: 0..0 }));
            return hits;
        };
        if path == Some(false) {
            return hits;
        }
        let mut left = MATCHES_MAX;
        regex.each(text.bytes, text.wide, &mut |span| {
            if left == 0 || hits.len() > FOUND_MAX {
                *whole = false;
                return false;
            }
            left -= 1;
            let matched = trimmed(text.bytes, span);
            let value = text.part(&matched);
            // The match is read again by itself, as gitleaks does: what is around it does not count for its groups.
            let secret = match regex.group(value, text.wide, rule.secret_group) {
                Some(Some(group)) => matched.start + group.start..matched.start + group.end,
                Some(None) if rule.secret_group > 0 => matched.start..matched.start,
                Some(None) | None => matched.clone(),
            };
            if rule.entropy != 0.0 && entropy::of_characters(text.part(&secret)) <= rule.entropy {
                return true;
            }
            let line = text.line(&matched);
            let mut seen = seen(text, Some(rule), &secret, line);
            seen.matched = value;
            let mut lists = self.allow.iter().chain(&rule.allow).chain(targeted.clone());
            let mut filters = self.filters.iter().chain(rule.filter.iter().flatten());
            let passed = MARKS.iter().any(|mark| memchr::memmem::find(line, mark).is_some())
                || lists.any(|allow| allow.passes(&seen))
                || filters.any(|filter| filter.passes(&seen));
            if !passed && !matched.is_empty() {
                hits.push(Hit { rule: index, matched, secret });
            }
            true
        });
        hits
    }

    /// Keeps of what a rule found that by which what it requires stands.
    fn keep_complete(&self, rule: &Rule, text: &Text<'_>, own: &mut Vec<Hit>, whole: &mut bool) {
        let needed = rule.required.iter().map(|required| {
            let other = self.rules.iter().enumerate().find(|(_, other)| other.id == required.id);
            let hits = other.map(|(index, other)| self.of_rule(index, other, text, whole));
            (required, hits.unwrap_or_default())
        });
        let needed: Vec<_> = needed.collect();
        keep_complete(text.bytes, own, &needed);
    }

    /// Takes out what is told better by another rule: in the same line, and as a part of the same secret.
    fn without_worse(&self, text: &Text<'_>, hits: &mut Vec<Hit>) {
        let ranks: Vec<usize> =
            hits.iter().map(|hit| self.rules.get(hit.rule).map_or(0, Rule::rank)).collect();
        let best = ranks.iter().max().copied().unwrap_or_default();
        if ranks.iter().all(|rank| *rank == best) {
            return;
        }
        let lines = places(text.bytes, hits.iter().map(|hit| hit.matched.start));
        let all: Vec<(usize, usize, &[u8])> = hits
            .iter()
            .zip(&lines)
            .zip(&ranks)
            // What goes by the path alone is before the first line.
            .map(|((hit, (line, _)), rank)| {
                (line + usize::from(hit.line_known()), *rank, text.part(&hit.secret))
            })
            .collect();
        let mut own = all.iter();
        hits.retain(|_| {
            let Some((line, rank, secret)) = own.next() else { return true };
            if *rank == best {
                return true;
            }
            let from = all.partition_point(|(other, ..)| other < line);
            let mut same = all.iter().skip(from).take_while(|(other, ..)| other == line);
            !same.any(|(_, other, better)| other > rank && memchr::memmem::find(better, secret).is_some())
        });
    }
}

fn seen<'a>(text: &Text<'a>, rule: Option<&'a Rule>, secret: &Range<usize>, line: &'a [u8]) -> Seen<'a> {
    Seen {
        secret: text.part(secret),
        matched: b"",
        line,
        rule: rule.map_or("", |rule| &rule.id),
        description: rule.map_or("", |rule| &rule.description),
        path: text.path,
        commit: text.commit,
        wide: text.wide,
    }
}

/// A match without line ends before and behind it: they are no part of what is told.
fn trimmed(text: &[u8], span: Range<usize>) -> Range<usize> {
    let part = text.get(span.clone()).unwrap_or_default();
    let Some(first) = part.iter().position(|byte| *byte != b'\n') else { return span.start..span.start };
    let last = part.iter().rposition(|byte| *byte != b'\n').map_or(part.len(), |last| last + 1);
    span.start + first..span.start + last
}
