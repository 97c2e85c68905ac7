//! The PID namespaces from which the processes of a rotation were seen, and whether they are visible from here.
//!
//! A rotation has the one in which it was begun in its journal. Each other one from which it was gone on with is in a file of the
//! state folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use keyroll_observe::{Extent, extent, view};
use keyroll_port::Overview;

use super::recorded::Opened;
use super::saved_plan::Saved;
use super::state_file;
use crate::places::Places;
use crate::problem::Problem;

/// The namespaces of each open rotation by its id.
type Views = BTreeMap<String, BTreeSet<String>>;

fn file(places: &Places) -> PathBuf {
    places.state.join("views.json")
}

/// Whether processes of a rotation are not visible from here, by the namespace in which it was begun.
pub(super) fn was_begun_elsewhere(saved: &Saved) -> bool {
    hides_from_here(saved.view.iter())
}

/// Whether processes of a rotation may not be visible from here, by each namespace from which it was driven.
///
/// # Errors
/// The state folder cannot be read.
pub(crate) fn is_hidden(opened: &Opened, places: &Places) -> Result<bool, Problem> {
    if extent() != Extent::Part {
        return Ok(false);
    }
    let views: Views = state_file::load(&file(places))?;
    let others = views.get(&opened.id.0).into_iter().flatten();
    Ok(hides_from_here(opened.saved.view.iter().chain(others)))
}

/// Names are made for every rotation that is shown: where all is visible, nothing is read of this namespace.
fn hides_from_here<'a>(all: impl Iterator<Item = &'a String>) -> bool {
    let extent = extent();
    extent == Extent::Part && hides_one(all, extent, view().as_deref())
}

fn hides_one<'a>(mut all: impl Iterator<Item = &'a String>, extent: Extent, now: Option<&str>) -> bool {
    all.any(|before| hides(Some(before.as_str()), extent, now))
}

/// Remembers that the rotation is driven from here, before anything is done. Only the holder of the state's lock may. `all`: the
/// rotations of the journal.
///
/// # Errors
/// The state folder cannot be read or written.
pub(crate) fn note(opened: &Opened, all: &[Overview], places: &Places) -> Result<(), Problem> {
    let Some(now) = view().filter(|now| opened.saved.view.as_ref() != Some(now)) else { return Ok(()) };
    let path = file(places);
    let mut views: Views = state_file::load(&path)?;
    if views.get(&opened.id.0).is_some_and(|its| its.contains(&now)) {
        return Ok(());
    }
    add(&mut views, &opened.id.0, now, all);
    state_file::replace(&path, &views)
}

/// Adds the namespace of a rotation. What has ended, and each namespace of an earlier boot, is forgotten.
fn add(views: &mut Views, rotation: &str, now: String, all: &[Overview]) {
    views.retain(|id, _| all.iter().any(|one| one.open && one.id.0 == *id));
    let its = views.entry(rotation.to_owned()).or_default();
    its.retain(|before| boot(before) == boot(&now));
    its.insert(now);
}

/// Whether processes that were visible from the PID namespace `before` are not from here. A rotation of an earlier keyroll does not
/// say from which it was begun.
fn hides(before: Option<&str>, extent: Extent, now: Option<&str>) -> bool {
    match (extent, before) {
        (Extent::Machine | Extent::StatedWhole, _) | (_, None) => false,
        // With an earlier boot all of its processes have ended.
        (Extent::Part, Some(before)) => {
            now.is_none_or(|now| boot(now) == boot(before) && !is_same(now, before))
        }
    }
}

fn boot(view: &str) -> Option<&str> {
    view.split(' ').nth(1)
}

/// Whether both are one namespace. The start of its first process is not visible to each user.
fn is_same(one: &str, other: &str) -> bool {
    match (one.rsplit_once(' '), other.rsplit_once(' ')) {
        (Some((place, start)), Some((other, its))) => {
            place == other && (start == its || [start, its].contains(&"-"))
        }
        (_, _) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use keyroll_port::RotationId;

    use super::*;

    /// It was begun in a container and gone on with on the machine, which saw the processes of that. Red where the container goes on
    /// with it by the namespace in which it was begun.
    #[test]
    fn whoever_goes_on_has_to_see_what_each_driver_saw() {
        let of = |id: &str, open| Overview {
            id: RotationId(id.to_owned()),
            secret: "acme".to_owned(),
            open,
            unix_ms: 1,
        };
        let all = [of("0192", true), of("0191", false)];
        let begun = "pid:[7] b 90".to_owned();
        let hidden = |views: &Views| {
            let others = views.get("0192").into_iter().flatten();
            hides_one([&begun].into_iter().chain(others), Extent::Part, Some(&begun))
        };
        let mut views = Views::from([("0191".to_owned(), BTreeSet::from(["pid:[8] b 9".to_owned()]))]);
        assert!(!hidden(&views));
        add(&mut views, "0192", "pid:[6] a 1".to_owned(), &all);
        assert_eq!(views.keys().collect::<Vec<_>>(), ["0192"], "what has ended is forgotten");
        assert!(!hidden(&views), "of an earlier boot");
        add(&mut views, "0192", "pid:[1] b 1".to_owned(), &all);
        assert!(hidden(&views));
        assert_eq!(views["0192"].len(), 1, "no process of an earlier boot runs");
    }

    /// Red: processes of another container count as ended; or a container that sees all, or that was started again on a machine
    /// that was too, cannot go on.
    #[test]
    fn only_another_namespace_of_this_boot_hides_processes_and_not_from_the_machine_itself() {
        let (before, other, later) = ("pid:[1] b 7", "pid:[2] b 9", "pid:[1] c 7");
        let from_part = |now: Option<&str>| hides(Some(before), Extent::Part, now);
        assert!(from_part(Some(other)) && from_part(None));
        assert!(from_part(Some("pid:[1] b 8")), "the kernel gives the number of a namespace again");
        assert!(!from_part(Some(before)) && !from_part(Some(later)));
        assert!(!from_part(Some("pid:[1] b -")), "another user does not see its first process");
        assert!(from_part(Some("pid:[2] b -")));
        for whole in [Extent::Machine, Extent::StatedWhole] {
            assert!(!hides(Some(before), whole, Some(other)));
        }
        assert!(!hides(None, Extent::Part, Some(other)), "an earlier keyroll did not say");
    }
}
