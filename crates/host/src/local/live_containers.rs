//! What making a container anew would make live beside the value.

use std::path::Path;

use keyroll_copy::{Format, Slot};
use keyroll_manager::{Compose, Container, ContainerVerb, Docker, Run};
use keyroll_needle::Needles;
use keyroll_observe::{Image, ProcessId};
use keyroll_port::Live;
use keyroll_rotation::Difference;

use super::live::{LiveReport, Subject, own_variables};
use super::{CopySetup, FileSetup, Local};

impl Local {
    /// The settings of a service that its containers were not made with.
    pub(super) fn service(
        &self,
        subject: &Subject<'_>,
        process: &ProcessId,
        compose: &Compose,
        report: &mut LiveReport,
    ) {
        let consumer = &subject.consumer.name;
        let files: Vec<&FileSetup> =
            subject.consumer.files.iter().filter_map(|id| self.setup.file(*id)).collect();
        let written = files.iter().flat_map(|file| in_project(file, &compose.service));
        let own: Vec<&str> = files.iter().flat_map(|file| own_variables(file)).chain(written).collect();
        let named = files.iter().map(|file| (file.path.as_path(), own_variables(file)));
        let from: Vec<(&Path, &str)> =
            named.flat_map(|(path, names)| names.into_iter().map(move |name| (path, name))).collect();
        self.mounted(subject, process, report);
        let brings = match compose.brings(&own, &from) {
            Ok(brings) => brings,
            Err(failure) => {
                let what = format!("what a restart of '{consumer}' would make live");
                report.not_visible.push(format!("{what}: could not {}", failure.attempted));
                return;
            }
        };
        report.not_visible.extend(brings.not_visible);
        for edit in brings.edits {
            let name = format!("{consumer}/{}:{}", edit.kind, edit.name.escape_debug());
            let digest = self.digest(&[name.as_bytes(), edit.mark.expose()]);
            let difference = Difference { name: name.into(), digest };
            report.live.push(Live { difference, what: edit.what, since_unix_ms: None });
        }
    }

    /// A container that is restarted keeps its image and its environment; one that a command makes anew does not.
    pub(super) fn container(
        &self,
        subject: &Subject<'_>,
        process: &ProcessId,
        container: &Container,
        image: &Image,
        report: &mut LiveReport,
    ) {
        self.mounted(subject, process, report);
        let ContainerVerb::Recreate(line) = &container.verb else { return };
        if let Some(script) = line.script() {
            self.changed(subject, "restart", &script, &script, image, report);
        }
        report.not_visible.push(format!(
            "what else '{}' is made with: only its restart command knows",
            subject.consumer.name
        ));
    }

    /// Containers that do not run and were made with the value that goes: with a start of theirs it is back, and no file
    /// shows it. They are looked for where a consumer is a container.
    pub(super) fn stopped_containers(&self, needles: &Needles, goes: u32) -> Vec<String> {
        let slots = self.setup.consumers.iter().flat_map(|consumer| &consumer.slots);
        let mut engines: Vec<&Docker> = Vec::new();
        for slot in slots {
            let engine = match &slot.run {
                Run::Compose(compose) => &compose.docker,
                Run::Container(container) => &container.docker,
                Run::Process(_) | Run::Reread(_) | Run::Unit(_) | Run::AtRest(_) | Run::Supervisor(_) => {
                    continue;
                }
                Run::Pm2(_) | Run::Adapter(_) | Run::Master(_) | Run::Cron(_) | Run::Agent(_) => continue,
            };
            if !engines.contains(&engine) {
                engines.push(engine);
            }
        }
        let mut lines = Vec::new();
        for engine in engines {
            match engine.stopped() {
                Ok(stopped) => {
                    for (name, starts_with) in stopped {
                        let mut holds = false;
                        needles.find(starts_with.expose(), &mut |hit| holds |= hit.id.0 == goes);
                        if holds {
                            let name = name.escape_debug();
                            lines.push(format!("the stopped container {name}: it was made with the value, and a start of it brings that back (docker rm {name})"));
                        }
                    }
                }
                Err(failure) => lines.push(format!("stopped containers: could not {}", failure.attempted)),
            }
        }
        lines
    }

    /// What stands in a mounted file beside the value, nobody sees from outside.
    fn mounted(&self, subject: &Subject<'_>, process: &ProcessId, report: &mut LiveReport) {
        for id in &subject.consumer.files {
            if self.setup.file(*id).is_some_and(|file| own_variables(file).is_empty()) {
                self.variables(subject, process, *id, &mut Vec::new(), report);
            }
        }
    }
}

/// The variables of a service that hold the value in the project's own file.
fn in_project<'a>(file: &'a FileSetup, service: &str) -> Vec<&'a str> {
    let named = file.copies.iter().filter_map(|copy| match copy {
        CopySetup::Value { format: Format::Compose, slot: Slot::At(pointer), .. } => match pointer.steps() {
            [services, of, kind, name]
                if services == "services" && of == service && kind == "environment" =>
            {
                Some(name.as_str())
            }
            _ => None,
        },
        CopySetup::Value { .. } | CopySetup::Within(_) | CopySetup::Login { .. } => None,
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CopySource, Write};

    /// Else the value itself would be shown as an edit that nobody accepted, and no restart would ever bring it.
    #[test]
    fn a_variable_that_holds_the_value_in_the_project_is_the_consumers_own() {
        let copies =
            ["/services/web/environment/KEY", "/services/other/environment/B", "/services/web/image"];
        let copies = copies.map(|at| CopySetup::Value {
            format: Format::Compose,
            slot: Format::Compose.slot(at, None).unwrap(),
            source: CopySource::Field("value".into()),
        });
        let path = "/srv/shop/compose.yaml".into();
        let (planned, write, copies) = (None, Write::Rename, copies.into());
        let file = FileSetup { path, planned, write, copies, generated: false, generator: None, own: None };
        assert_eq!(in_project(&file, "web"), ["KEY"]);
        assert_eq!(in_project(&file, "db"), [""; 0]);
    }
}
