//! The measured downtimes of consumers with one instance, with those that the plan announced. Each is a line of
//! `downtimes.jsonl` in the state folder; nothing depends on them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use keyroll_config::Secret;
use keyroll_port::Back;
use serde::{Deserialize, Serialize};

use super::saved_plan::Saved;
use crate::operator::{DowntimeShown, MeasuredBy};
use crate::places::Places;
use crate::plans::announced;

/// One line: a measured downtime.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    rotation: String,
    consumer: String,
    measured_s: f64,
    by: MeasuredBy,
    /// It was measured while the rotation rolled back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    back: bool,
}

impl Measured {
    /// Every downtime that any driver recorded.
    pub fn all(places: &Places) -> Vec<Self> {
        let lines = fs::File::open(file(places)).map(|file| BufReader::new(file).lines());
        // A killed driver may leave an incomplete line.
        let read = |line: String| serde_json::from_str(&line).ok();
        lines.into_iter().flatten().map_while(Result::ok).filter_map(read).collect()
    }
}

fn file(places: &Places) -> PathBuf {
    places.state.join("downtimes.jsonl")
}

/// The downtimes of one rotation.
pub struct Downtimes {
    file: PathBuf,
    rotation: String,
    announced: Vec<DowntimeShown>,
    measured: Vec<Measured>,
    /// The rotation rolls back: what was measured on the way forward is not shown again.
    back: bool,
}

impl Downtimes {
    /// The announced downtimes, and those that earlier drivers measured.
    pub fn of(places: &Places, rotation: &str, secret: &Secret) -> Self {
        Self::among(&Measured::all(places), places, rotation, secret)
    }

    fn among(measured: &[Measured], places: &Places, rotation: &str, secret: &Secret) -> Self {
        let mut announced = announced(secret);
        announced.sort_by(|one, other| one.consumer.cmp(&other.consumer));
        let measured = measured.iter().filter(|one| one.rotation == rotation).cloned().collect();
        Self { file: file(places), rotation: rotation.to_owned(), announced, measured, back: false }
    }

    /// The downtimes of a past rotation, by the configuration of its plan; none if that is not readable.
    pub fn past(measured: &[Measured], places: &Places, saved: &Saved) -> Vec<DowntimeShown> {
        let config = saved.config().ok();
        let secret = config.as_ref().and_then(|config| config.secret(&saved.secret).ok());
        secret.map_or_else(Vec::new, |secret| {
            let all = Self::among(measured, places, &saved.id, secret);
            all.longest(|_| true)
        })
    }

    /// From now on the rotation rolls back, or goes forward again.
    pub(crate) fn turn(&mut self, back: bool) {
        self.back = back;
    }

    /// Records a downtime; returns it with the announced one.
    #[expect(
        clippy::disallowed_methods,
        reason = "appends to a log of measurements; a torn line is skipped when it is read"
    )]
    pub fn measured(&mut self, consumer: &str, length: Duration, back: Back) -> Option<DowntimeShown> {
        let by = match back {
            Back::Ready => MeasuredBy::Ready,
            Back::Proven => MeasuredBy::Proven,
        };
        let measured_s = Duration::from_millis(u64::try_from(length.as_millis()).ok()?).as_secs_f64();
        let (rotation, consumer) = (self.rotation.clone(), consumer.to_owned());
        let one = Measured { rotation, consumer, measured_s, by, back: self.back };
        // It is shown even if it cannot be written.
        let open = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.file);
        if let (Ok(mut file), Ok(line)) = (open, serde_json::to_string(&one)) {
            // Starts with a line end, so that an incomplete line of a killed driver spoils no other.
            drop(file.write_all(format!("\n{line}").as_bytes()));
        }
        let announced = self.announced.iter().find(|downtime| downtime.consumer == one.consumer);
        let shown = announced.map(|downtime| with(downtime, Some(&one)));
        self.measured.push(one);
        shown
    }

    /// Every announced downtime, with the longest of this direction; one without a measurement was not measured.
    pub fn shown(&self) -> Vec<DowntimeShown> {
        self.longest(|one| one.back == self.back)
    }

    /// The longest downtime of a consumer counts: a retry restarts it again.
    fn longest(&self, counts: impl Fn(&Measured) -> bool) -> Vec<DowntimeShown> {
        let longest = |downtime: &DowntimeShown| {
            let its = self.measured.iter().filter(|one| one.consumer == downtime.consumer && counts(one));
            its.max_by(|one, other| one.measured_s.total_cmp(&other.measured_s))
        };
        self.announced.iter().map(|downtime| with(downtime, longest(downtime))).collect()
    }
}

/// An announced downtime with a measured one.
fn with(announced: &DowntimeShown, one: Option<&Measured>) -> DowntimeShown {
    let (measured_s, by) = (one.map(|one| one.measured_s), one.map(|one| one.by));
    DowntimeShown { measured_s, by, ..announced.clone() }
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    const CONFIG: &str = "version = 1\n[secrets.ring]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
        [[secrets.ring.consumers]]\nname = \"bot\"\nruns = { restart = [\"./r\"], pid_file = \"./p\", drain = \"30s\" }\n\
        reads = { file = \"./key\" }\n";

    #[test]
    fn what_a_killed_driver_measured_is_shown_and_its_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::within(folder.path());
        places.ensure().unwrap();
        let config = Config::parse(CONFIG, "/srv/keyroll.toml").unwrap();
        let secret = config.secrets.values().next().unwrap();
        let mut first = Downtimes::of(&places, "r1", secret);
        let shown = first.shown();
        assert_eq!((shown[0].announced_s, shown[0].measured_s), ((0, 210), None));
        assert!(shown[0].text().contains("not measured"), "{}", shown[0].text());
        first.measured("bot", Duration::from_millis(2_500), Back::Ready).unwrap();
        first.measured("bot", Duration::from_millis(1_250), Back::Proven).unwrap();
        assert_eq!(first.measured("another", Duration::ZERO, Back::Ready), None);
        let mut file =
            fs::OpenOptions::new().append(true).open(places.state.join("downtimes.jsonl")).unwrap();
        file.write_all(b"{\"rotation\":\"r1\",\"consu").unwrap();
        let mut again = Downtimes::of(&places, "r1", secret);
        again.measured("bot", Duration::from_millis(3_000), Back::Ready).unwrap();
        let again = Downtimes::of(&places, "r1", secret).shown();
        assert_eq!((again[0].measured_s, again[0].by), (Some(3.0), Some(MeasuredBy::Ready)));
        assert_eq!(Downtimes::of(&places, "r2", secret).shown()[0].measured_s, None);
        // The way forward took 3 s; that says nothing about a rollback, nor about a single restart.
        let mut back = Downtimes::of(&places, "r1", secret);
        back.turn(true);
        assert_eq!(back.shown()[0].measured_s, None);
        let shown = back.measured("bot", Duration::from_millis(1_500), Back::Proven).unwrap();
        assert_eq!((shown.measured_s, shown.by), (Some(1.5), Some(MeasuredBy::Proven)));
        assert_eq!(back.shown()[0].measured_s, Some(1.5));
        let mut next = Downtimes::of(&places, "r1", secret);
        assert_eq!(next.shown()[0].measured_s, Some(3.0));
        next.turn(true);
        assert_eq!(next.shown()[0].measured_s, Some(1.5));
    }
}
