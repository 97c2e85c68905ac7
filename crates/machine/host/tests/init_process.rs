//! The init process of a container: the program below it is the instance, as long as there is one, and as long as the init
//! process is seen not to hold the old version.

use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;

use keyroll_host::{ConsumerSetup, SearchLimits, SlotSetup};
use keyroll_manager::{Applied, AppliedBy, Attempt, InstanceProcess, Workload};
use keyroll_observe::{Listing, ProcessId, process};
use keyroll_port::{Failure, Host as _, Proving, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Visibility, Which};
use keyroll_testkit::command::wait;

use crate::local::{Place, fields, file, variable};
use crate::prove;

/// A container whose first process has the name of an init process.
#[derive(Debug)]
struct Container(Vec<ProcessId>);

impl Workload for Container {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Ok(Applied { done: "nothing".to_owned(), output: None })
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Nothing("it is a test")
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        let one = |(at, process): (usize, &ProcessId)| InstanceProcess {
            process: *process,
            instance: None,
            main: at == 0,
        };
        Ok(self.0.iter().enumerate().map(one).collect())
    }

    fn is_init(&self, process: &ProcessId) -> bool {
        self.0.first() == Some(process)
    }
}

/// A process of the container. Dropping it ends it.
struct Running(Child);

impl Running {
    fn new() -> Self {
        let running = Self(Command::new("sleep").arg("600").spawn().unwrap());
        // Until its program is loaded, its identity is that of the test's own program.
        let name = format!("/proc/{}/comm", running.0.id());
        wait("its program", || fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep"));
        running
    }

    fn id(&self) -> ProcessId {
        process(self.0.id()).unwrap().id
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Which of the processes a look shows as instances, each with what it shows of the old version, and for how many there is
/// evidence.
async fn shown(processes: &[&Running], search: SearchLimits) -> (Vec<(ProcessId, Visibility)>, usize) {
    let place = Place::new();
    let path = place.write("app.env", &format!("KEY={}\n", place.new));
    let run = Arc::new(Container(processes.iter().map(|one| one.id()).collect()));
    let slot = SlotSetup { instance: None, run, checks: vec![None], log: None, ready: None };
    let consumer = ConsumerSetup {
        name: "app".into(),
        files: vec![FileId(0)],
        fetch: None,
        slots: vec![slot],
        follows: false,
        served: None,
        succeeded: false,
    };
    let host = place.host_with(vec![file(&path, vec![variable("KEY")])], vec![consumer], search);
    let (old, new) = (fields(&place.old), fields(&place.new));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let looked = host.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
    let own = looked.enumeration.instances.iter().filter(|it| it.consumer == Some(ConsumerId(0)));
    let seen = own.filter_map(|it| Some((keyroll_host::process_of(it.who)?, it.old))).collect();
    let of = Proving { consumer: ConsumerId(0), slot: Some(0), which: Which::New, values, watched: false };
    let proved = prove(&host, of, Sessions::default).await;
    (seen, proved.evidence.unwrap().proofs.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_process_is_represented_by_the_program_below_it_only_where_all_of_it_is_seen() {
    let (init, program) = (Running::new(), Running::new());
    let whole = SearchLimits::default();
    let (seen, evidence) = shown(&[&init, &program], whole).await;
    assert_eq!((seen, evidence), (vec![(program.id(), Visibility::No)], 1));
    // With nothing below it, it is the program.
    let (seen, evidence) = shown(&[&init], whole).await;
    assert_eq!((seen, evidence), (vec![(init.id(), Visibility::No)], 1));
    // What is not visible of it may hold the old version.
    let little = SearchLimits { memory_bytes_max: 1, ..whole };
    let (seen, evidence) = shown(&[&init, &program], little).await;
    let both = [&init, &program].map(|one| (one.id(), Visibility::NotVisible));
    assert_eq!((seen, evidence), (both.to_vec(), 2));
}
