//! What making a container anew would make live beside the value.

use keyroll_manager::{Compose, Container, ContainerVerb};
use keyroll_observe::{Image, ProcessId};
use keyroll_port::Live;
use keyroll_rotation::Difference;

use super::live::{LiveReport, Subject, own_variables};
use super::{FileSetup, Local};

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
        let own: Vec<&str> = files.iter().flat_map(|file| own_variables(file)).collect();
        self.mounted(subject, process, report);
        let brings = match compose.brings(&own) {
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

    /// What stands in a mounted file beside the value, nobody sees from outside.
    fn mounted(&self, subject: &Subject<'_>, process: &ProcessId, report: &mut LiveReport) {
        for id in &subject.consumer.files {
            if self.setup.file(*id).is_some_and(|file| own_variables(file).is_empty()) {
                self.variables(subject, process, *id, &mut Vec::new(), report);
            }
        }
    }
}
