use crate::ValueId;

/// Which values belong together: each value has the number of its group.
pub struct Joins {
    parents: Vec<usize>,
}

impl Joins {
    /// So many values, each in a group of its own.
    pub fn new(values: usize) -> Self {
        Self { parents: (0..values).collect() }
    }

    /// The group of a value: the smallest number in it. Groups are therefore the same in every run.
    pub fn root(&self, value: ValueId) -> usize {
        let mut at = usize::try_from(value.0).unwrap_or(usize::MAX);
        while let Some(parent) = self.parents.get(at).filter(|parent| **parent != at) {
            at = *parent;
        }
        at
    }

    /// Puts all of these into one group.
    pub fn all(&mut self, values: impl Iterator<Item = ValueId>) {
        let roots: Vec<usize> = values.map(|value| self.root(value)).collect();
        let Some(low) = roots.iter().min().copied() else { return };
        for root in roots {
            if let Some(parent) = self.parents.get_mut(root) {
                *parent = low;
            }
        }
    }
}
