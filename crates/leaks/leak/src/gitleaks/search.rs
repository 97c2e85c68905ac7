use std::ops::Range;

use super::config::Config;
use super::entropy;
use super::rule::Rule;
use crate::gitleaks::match_context::{MatchContext, SourceText};
use crate::gitleaks::required_rules::{ImportedHit, keep_complete, places};

/// The most findings that are reported for one text.
pub const MATCHES_PER_TEXT_MAX: usize = 10_000;

/// The most matches of one rule in one text, allowed or not.
const MATCHES_MAX: usize = 100_000;

/// A line with one of these has no findings.
const MARKS: [&[u8]; 2] = [b"gitleaks:allow", b"betterleaks:allow"];

/// The origin of a text.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextOrigin<'a> {
    /// The path as rules see it: from the top of the scan, with `/`.
    pub path: Option<&'a str>,
    /// The hash of the commit, in hexadecimal.
    pub commit: Option<&'a str>,
}

/// A match of a rule.
#[derive(Debug, Clone)]
pub struct ImportedMatch<'c> {
    /// The rule that matched.
    pub rule: &'c Rule,
    /// The secret, as a range of the text. Empty, at 0, if the rule matches only the path.
    pub span: Range<usize>,
    /// The whole match of the expression, without surrounding line ends.
    pub matched: Range<usize>,
}

impl Config {
    /// Whether an allowlist for all rules, or the file's prefilter, excludes a location. Allowlists do not apply to a
    /// text without path and commit.
    pub fn passes_over(&self, path: Option<&str>, commit: Option<&str>) -> bool {
        let (path, commit) = (path.unwrap_or_default(), commit.unwrap_or_default());
        let place = SourceText::new(b"", Some(path), Some(commit));
        let seen = seen(&place, None, &(0..0), b"");
        self.allow.iter().any(|allow| allow.passes_over(path, commit))
            || self.prefilters.iter().any(|filter| filter.passes(&seen))
    }

    /// Reports the matches of the rules in a text, in order: those that gitleaks 8 finds in a text that it reads in
    /// one piece, without decoding. The time grows with the text and, for expressions with many repetitions, with
    /// their number: gitleaks' own need about 30 ms for a MiB, `[^x]{1000}[^y]{1000}z` needs seconds.
    ///
    /// Returns `false` if the result is incomplete: more than [`MATCHES_PER_TEXT_MAX`], or too many matches of one
    /// rule.
    pub fn find<'c>(
        &'c self,
        text: &[u8],
        at: TextOrigin<'_>,
        found: &mut dyn FnMut(ImportedMatch<'c>),
    ) -> bool {
        if self.passes_over(at.path, at.commit) {
            return true;
        }
        let text = SourceText::new(text, at.path, at.commit);
        let (mut hits, mut whole) = (Vec::new(), true);
        for index in self.keywords().chosen(text.bytes) {
            let Some(rule) = self.rules.get(index) else { continue };
            let mut own = self.of_rule(index, rule, &text, &mut whole);
            // A match of the path alone is near nothing.
            if !rule.required.is_empty() && rule.regex.is_some() && !own.is_empty() {
                self.keep_complete(rule, &text, &mut own, &mut whole);
            }
            hits.append(&mut own);
            if hits.len() > MATCHES_PER_TEXT_MAX {
                hits.truncate(MATCHES_PER_TEXT_MAX);
                whole = false;
                break;
            }
        }
        hits.sort_by_key(|hit| (hit.line_known(), hit.matched.start, hit.rule));
        self.without_worse(&text, &mut hits);
        for ImportedHit { rule, matched, secret } in hits {
            if let Some(rule) = self.rules.get(rule) {
                found(ImportedMatch {
                    rule,
                    span: if secret.is_empty() { matched.clone() } else { secret },
                    matched,
                });
            }
        }
        whole
    }

    /// Whether a rule may match a text, whatever its path and commit. `false`: only rules for paths alone may.
    pub fn may_find(&self, text: &[u8]) -> bool {
        let text = SourceText::new(text, None, None);
        let mut rules =
            self.keywords().chosen(text.bytes).into_iter().filter_map(|index| self.rules.get(index));
        rules.any(|rule| matches!(&rule.regex, Some(Ok(regex)) if regex.is_in(text.bytes, text.wide)))
    }

    /// Removes matches that this file allows for all rules: by allowlists and filters, or by a mark in the line.
    /// `told` returns the rule and the whole match, or `None` to keep it. A file that is not fully understood outside
    /// of its rules removes nothing.
    pub fn keep<T>(
        &self,
        text: &[u8],
        at: TextOrigin<'_>,
        all: &mut Vec<T>,
        told: impl Fn(&T) -> Option<(&str, Range<usize>)>,
    ) {
        if all.is_empty() || self.unread().is_some() {
            return;
        }
        let text = SourceText::new(text, at.path, at.commit);
        all.retain(|one| {
            let Some((rule, span)) = told(one) else { return true };
            let (secret, line) = (text.part(&span), text.line(&span));
            let seen = MatchContext { matched: secret, rule, ..seen(&text, None, &span, line) };
            let marked = MARKS.iter().any(|mark| memchr::memmem::find(line, mark).is_some());
            !marked
                && !self.allow.iter().any(|allow| allow.passes(&seen))
                && !self.filters.iter().any(|filter| filter.passes(&seen))
        });
    }

    /// The matches of one rule, regardless of its keywords.
    fn of_rule(
        &self,
        index: usize,
        rule: &Rule,
        text: &SourceText<'_>,
        whole: &mut bool,
    ) -> Vec<ImportedHit> {
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
            hits.extend((path == Some(true)).then_some(ImportedHit {
                rule: index,
                matched: 0..0,
                secret: 0..0,
            }));
            return hits;
        };
        if path == Some(false) {
            return hits;
        }
        let mut left = MATCHES_MAX;
        regex.each(text.bytes, text.wide, &mut |span| {
            if left == 0 || hits.len() > MATCHES_PER_TEXT_MAX {
                *whole = false;
                return false;
            }
            left -= 1;
            let matched = trimmed(text.bytes, span);
            let value = text.part(&matched);
            // The groups are matched on the match alone, without its surroundings, as gitleaks does.
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
                hits.push(ImportedHit { rule: index, matched, secret });
            }
            true
        });
        hits
    }

    /// Keeps the matches of a rule whose required matches are near.
    fn keep_complete(
        &self,
        rule: &Rule,
        text: &SourceText<'_>,
        own: &mut Vec<ImportedHit>,
        whole: &mut bool,
    ) {
        let needed = rule.required.iter().map(|required| {
            let other = self.rules.iter().enumerate().find(|(_, other)| other.id == required.id);
            let hits = other.map(|(index, other)| self.of_rule(index, other, text, whole));
            (required, hits.unwrap_or_default())
        });
        let needed: Vec<_> = needed.collect();
        keep_complete(text.bytes, own, &needed);
    }

    /// Removes matches that another rule reports better: in the same line, as part of the same secret.
    fn without_worse(&self, text: &SourceText<'_>, hits: &mut Vec<ImportedHit>) {
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
            // A match of the path alone precedes the first line.
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

fn seen<'a>(
    text: &SourceText<'a>,
    rule: Option<&'a Rule>,
    secret: &Range<usize>,
    line: &'a [u8],
) -> MatchContext<'a> {
    MatchContext {
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

/// A match without surrounding line ends.
fn trimmed(text: &[u8], span: Range<usize>) -> Range<usize> {
    let part = text.get(span.clone()).unwrap_or_default();
    let Some(first) = part.iter().position(|byte| *byte != b'\n') else { return span.start..span.start };
    let last = part.iter().rposition(|byte| *byte != b'\n').map_or(part.len(), |last| last + 1);
    span.start + first..span.start + last
}
