use std::collections::{BTreeMap, BTreeSet};

use crate::{Sighting, Survey, ValueId};

/// One secret: the values that stand under one name, or of one kind.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is called: who issues it, or its most frequent name.
    pub name: String,
    /// Its values; more than one are versions, or different credentials of one name.
    pub values: Vec<ValueId>,
    /// Where they stand.
    pub sightings: Vec<Sighting>,
}

/// The secrets of a survey, those that most depend on first.
pub fn secrets(survey: &Survey) -> Vec<Found> {
    let mut of_value: BTreeMap<ValueId, Vec<&Sighting>> = BTreeMap::new();
    for sighting in &survey.sightings {
        of_value.entry(sighting.value).or_default().push(sighting);
    }
    let mut groups: BTreeMap<String, BTreeSet<ValueId>> = BTreeMap::new();
    for (value, sightings) in &of_value {
        groups.entry(called(survey, *value, sightings)).or_default().insert(*value);
    }
    let mut found: Vec<Found> = groups
        .into_iter()
        .map(|(name, values)| {
            let mut sightings: Vec<Sighting> = values
                .iter()
                .filter_map(|value| of_value.get(value))
                .flatten()
                .map(|one| (*one).clone())
                .collect();
            sightings.sort();
            sightings.dedup();
            Found { name, values: values.into_iter().collect(), sightings }
        })
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.sightings.len()));
    found
}

fn called(survey: &Survey, value: ValueId, sightings: &[&Sighting]) -> String {
    let rule = survey.values.get(value).and_then(|value| value.rule).filter(|rule| !rule.provider.is_empty());
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for name in sightings.iter().filter_map(|one| one.name.as_deref()) {
        *names.entry(name).or_default() += 1;
    }
    let most = names.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned());
    most.or_else(|| rule.map(|rule| rule.provider.clone())).unwrap_or_else(|| "unnamed".to_owned())
}
