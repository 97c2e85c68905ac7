use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::rule::Rule;
use crate::gitleaks::stopwords::stands_in;

/// The most bytes of keywords for the fastest search, which needs about 300 bytes for each.
const FAST_BYTES_MAX: usize = 16 * 1024;

/// A search for the keywords of all rules at once.
#[derive(Default)]
pub(super) struct Keywords {
    search: Option<AhoCorasick>,
    /// The rules of each word, by its number in the search.
    of_word: Vec<Vec<usize>>,
    /// Words with non-ASCII letters, each with its rule.
    other: Vec<(String, usize)>,
    /// The rules that apply to every text.
    always: Vec<usize>,
    rules: usize,
}

impl Keywords {
    /// The keywords of the enabled rules that report.
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut words: Vec<&str> = Vec::new();
        let mut all = Self { rules: rules.len(), ..Self::default() };
        let mut numbers = std::collections::BTreeMap::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.off.is_none() && !rule.quiet) {
            if rule.keywords.is_empty() || rule.keywords.iter().any(String::is_empty) {
                all.always.push(index);
                continue;
            }
            for word in &rule.keywords {
                if !word.is_ascii() {
                    all.other.push((word.clone(), index));
                    continue;
                }
                let number = *numbers.entry(word.as_str()).or_insert_with(|| {
                    words.push(word);
                    all.of_word.push(Vec::new());
                    words.len() - 1
                });
                if let Some(of_word) = all.of_word.get_mut(number) {
                    of_word.push(index);
                }
            }
        }
        let bytes = words.iter().map(|word| word.len()).sum::<usize>();
        let kind = (bytes <= FAST_BYTES_MAX).then_some(AhoCorasickKind::DFA);
        if !words.is_empty() {
            all.search = AhoCorasick::builder().ascii_case_insensitive(true).kind(kind).build(&words).ok();
            if all.search.is_none() {
                // Slower, but complete.
                all.always.extend(std::mem::take(&mut all.of_word).into_iter().flatten());
            }
        }
        all
    }

    /// The rules to apply to a text, in order.
    pub(super) fn chosen(&self, text: &[u8]) -> Vec<usize> {
        let mut asked = vec![false; self.rules];
        let mut ask = |index: usize| {
            if let Some(asked) = asked.get_mut(index) {
                *asked = true;
            }
        };
        self.always.iter().for_each(|index| ask(*index));
        if let Some(search) = &self.search {
            let mut left = self.of_word.len();
            let mut seen = vec![false; left];
            // Words may contain each other: each occurrence counts.
            for found in search.find_overlapping_iter(text) {
                let number = found.pattern().as_usize();
                let Some(seen) = seen.get_mut(number).filter(|seen| !**seen) else { continue };
                *seen = true;
                self.of_word.get(number).into_iter().flatten().for_each(|index| ask(*index));
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        if !text.is_ascii() {
            let here = self.other.iter().filter(|(word, _)| stands_in(text, word));
            here.for_each(|(_, index)| ask(*index));
        }
        asked.into_iter().enumerate().filter_map(|(index, asked)| asked.then_some(index)).collect()
    }
}
