//! Which undeclared processes of a look are bystanders that the configuration declares.

use std::collections::BTreeSet;

use keyroll_manager::uid_of;
use keyroll_observe::{
    HoldersReport, Listing, Place, Process, ProcessId, parents, process, runs_any_program, runs_file,
};
use keyroll_rotation::{BystanderSeen, Incarnation};

use super::running::Running;
use super::{BystanderSetup, Local, process_of};

impl BystanderSetup {
    /// Whether a process is as all of it says. What is not visible of the process does not fit, and neither does a user whom this
    /// machine does not know.
    fn fits(&self, process: &Process) -> bool {
        let user = match self.user.as_deref().map(number_of) {
            None => None,
            Some(None) => return false,
            Some(Some(uid)) => Some(uid),
        };
        // Every program of an interpreter or a runtime runs the same file: only a unit tells whose process it is.
        let runs_scripts = process.exe.as_deref().is_none_or(runs_any_program);
        let names_it = self.unit.is_some() || self.executable.is_some() && !runs_scripts;
        names_it
            && user.is_none_or(|uid| process.uid == Some(uid))
            && self.unit.as_deref().is_none_or(|unit| is_in(process.cgroup.as_deref(), unit, user))
            && self.executable.as_deref().is_none_or(|file| runs_file(&process.id, file))
    }
}

/// The number of a user by name or number.
fn number_of(user: &str) -> Option<u32> {
    user.parse().ok().or_else(|| uid_of(user).ok())
}

/// Whether a control group is in a unit of the system's manager, or of this user's own. Who may make control groups below a unit
/// chooses their names: the outermost unit counts, and before it are slices alone. Source: systemd.special(7),
/// user@.service(5).
fn is_in(cgroup: Option<&str>, unit: &str, user: Option<u32>) -> bool {
    let parts = cgroup.unwrap_or_default().split('/').filter(|part| !part.is_empty());
    let mut units = parts.skip_while(|part| part.ends_with(".slice"));
    match user {
        None => units.next() == Some(unit),
        Some(uid) => {
            let is_manager = units.next() == Some(format!("user@{uid}.service").as_str());
            is_manager && units.find(|part| !part.ends_with(".slice")) == Some(unit)
        }
    }
}

/// Whether it is certainly one life with one program, at both times.
fn is_same(before: &Process, now: &Process) -> bool {
    before.id == now.id && before.program == now.program && before.exe == now.exe && before.uid == now.uid
}

/// Whether a process was given a value in its environment, or may have been: then it is more than a bystander, which only came to
/// hold it.
fn may_have_been_given(report: &HoldersReport, id: ProcessId) -> bool {
    let given =
        |it: &keyroll_observe::Holder| it.process.id == id && it.places.contains_key(&Place::Environment);
    let unseen = |it: &keyroll_observe::NotSeen| it.process == id && it.place == Place::Environment;
    report.holders.iter().any(given) || report.not_seen.iter().any(unseen)
}

impl Local {
    /// The undeclared processes of a look that a declaration fits, as they were when they were listed, before the search, and still
    /// are. None of a consumer's is one, and nothing below one of those.
    pub(super) fn bystanders(
        &self,
        listing: &Listing,
        report: &HoldersReport,
        running: &[Running],
        undeclared: BTreeSet<Incarnation>,
    ) -> Vec<BystanderSeen> {
        if self.setup.bystanders.is_empty() {
            return Vec::new();
        }
        let of_consumers: BTreeSet<ProcessId> = running.iter().map(|one| one.process).collect();
        let stands_by = |who: Incarnation| {
            let id = process_of(who).filter(|id| !of_consumers.contains(id))?;
            let before = listing.seen.iter().find(|it| it.id == id)?;
            let now = process(id.pid).ok().filter(|now| is_same(before, now))?;
            let declared = self.setup.bystanders.iter().find(|one| one.fits(&now))?;
            let below = parents(listing, before).iter().any(|parent| of_consumers.contains(&parent.id));
            let is_bystander = !below && !may_have_been_given(report, id);
            is_bystander.then_some(BystanderSeen { who, id: declared.id })
        };
        undeclared.into_iter().filter_map(stands_by).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use keyroll_rotation::BystanderId;

    use super::*;

    #[test]
    fn the_outermost_unit_counts_and_a_user_s_unit_is_below_the_user_s_manager() {
        let system = |cgroup: &str| is_in(Some(cgroup), "gateway.service", None);
        for own in
            ["/system.slice/gateway.service", "/system.slice/gateway.service/worker", "/gateway.service"]
        {
            assert!(system(own), "{own}");
        }
        for other in [
            "/system.slice/other.service",
            "/system.slice/other.service/gateway.service",
            "/docker/0123/system.slice/gateway.service",
            "/user.slice/user-7.slice/user@7.service/app.slice/gateway.service",
            "/system.slice/gateway.service.scope",
            "/system.slice",
            "",
        ] {
            assert!(!system(other), "{other}");
        }
        assert!(!is_in(None, "gateway.service", None));
        let user = |cgroup: &str| is_in(Some(cgroup), "gateway.service", Some(7));
        assert!(user("/user.slice/user-7.slice/user@7.service/app.slice/gateway.service"));
        assert!(user("/user.slice/user-7.slice/user@7.service/gateway.service/x"));
        for other in [
            "/system.slice/gateway.service",
            "/user.slice/user-8.slice/user@8.service/app.slice/gateway.service",
            "/user.slice/user-7.slice/user@7.service/app.slice/other.service/gateway.service",
        ] {
            assert!(!user(other), "{other}");
        }
    }

    /// One that fits in all but one thing is not the one that was declared.
    #[test]
    fn every_part_of_a_declaration_has_to_fit() {
        let own = process(std::process::id()).unwrap();
        let own = Process { cgroup: Some("/system.slice/gateway.service".to_owned()), ..own };
        let whole = BystanderSetup {
            id: BystanderId(1),
            unit: Some("gateway.service".to_owned()),
            user: None,
            executable: own.exe.clone(),
        };
        assert!(whole.fits(&own));
        let uid = own.uid.unwrap();
        let by_file = BystanderSetup { unit: None, user: Some(uid.to_string()), ..whole.clone() };
        assert!(by_file.fits(&own));
        let others = [
            BystanderSetup { unit: Some("other.service".to_owned()), ..whole.clone() },
            BystanderSetup { executable: Some(Path::new("/bin/true").to_owned()), ..whole.clone() },
            BystanderSetup { user: Some((uid + 1).to_string()), ..by_file.clone() },
            BystanderSetup { user: Some("nobody-of-this-name".to_owned()), ..by_file.clone() },
            // A unit of the user's own manager is another one.
            BystanderSetup { user: Some(uid.to_string()), ..whole.clone() },
            BystanderSetup { executable: None, ..by_file.clone() },
        ];
        for other in others {
            assert!(!other.fits(&own), "{other:?}");
        }
        assert!(!whole.fits(&Process { cgroup: None, ..own.clone() }));
        assert!(!by_file.fits(&Process { uid: None, ..own }));
    }

    /// Another script may use the value.
    #[test]
    fn an_interpreter_without_its_unit_declares_no_process() {
        use std::process::{Command, Stdio};
        let mut shell =
            Command::new("/bin/sh").args(["-c", "read -r end; :"]).stdin(Stdio::piped()).spawn().unwrap();
        let runs = process(shell.id()).unwrap();
        let runs = Process { cgroup: Some("/system.slice/gateway.service".to_owned()), ..runs };
        let by_file = BystanderSetup {
            id: BystanderId(1),
            unit: None,
            user: runs.uid.map(|uid| uid.to_string()),
            executable: runs.exe.clone(),
        };
        let in_unit =
            BystanderSetup { unit: Some("gateway.service".to_owned()), user: None, ..by_file.clone() };
        let fit = [by_file.fits(&runs), in_unit.fits(&runs)];
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(fit, [false, true]);
    }
}
