use keyroll_app::operator::{Event, StepState};

use crate::ui::line::{Mark, line};

/// What to draw for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Draw {
    /// Write a line that stays.
    Line(Mark, String),
    /// Write a line over the live one.
    Over(String),
}

/// Gathers the steps of one consumer on one host into a single line that grows while they happen.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    live: Option<Row>,
}

#[derive(Debug, PartialEq)]
struct Row {
    host: String,
    who: String,
    steps: Vec<(String, StepState)>,
}

impl Progress {
    /// What to draw for an event if lines can be overwritten.
    pub(crate) fn on(&mut self, event: &Event) -> Vec<Draw> {
        let Event::HostStep { host, consumer, instance, step, state, detail } = event else {
            let mut draws = self.finish();
            draws.extend(line(event).map(|(mark, text)| Draw::Line(mark, text)));
            return draws;
        };
        let who =
            instance.as_ref().map_or_else(|| consumer.clone(), |instance| format!("{consumer}/{instance}"));
        let mut draws = Vec::new();
        if self.live.as_ref().is_none_or(|row| row.host != *host || row.who != who) {
            draws = self.finish();
            self.live = Some(Row { host: host.clone(), who, steps: Vec::new() });
        }
        if let Some(row) = &mut self.live {
            let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let text = step.word().to_owned();
            row.steps.retain(|(other, _)| other.split(" (").next() != Some(text.as_str()));
            row.steps.push((text + &detail, *state));
            draws.push(Draw::Over(row.text()));
        }
        draws
    }

    /// The live line becomes one that stays.
    pub(crate) fn finish(&mut self) -> Vec<Draw> {
        let row = self.live.take();
        row.map(|row| Draw::Line(Mark::Plain, row.text())).into_iter().collect()
    }
}

impl Row {
    /// `local api/1  ✓ delivered ✓ applied … exercised`.
    fn text(&self) -> String {
        let mut text = format!("{} {:<20}", self.host, self.who);
        for (step, state) in &self.steps {
            let mark = match state {
                StepState::Waiting => "…",
                StepState::Done => "✓",
                StepState::Failed => "✗",
                StepState::Skipped => "–",
            };
            text.push_str(&format!(" {mark} {step}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyroll_app::operator::{HostStep, Phase};

    fn step(instance: &str, step: HostStep, state: StepState) -> Event {
        Event::HostStep {
            host: "local".to_owned(),
            consumer: "api".to_owned(),
            instance: Some(instance.to_owned()),
            step,
            state,
            detail: None,
        }
    }

    #[test]
    fn steps_of_one_instance_share_a_line() {
        let mut progress = Progress::default();
        progress.on(&step("1", HostStep::Delivered, StepState::Done));
        progress.on(&step("1", HostStep::Applied, StepState::Waiting));
        let draws = progress.on(&step("1", HostStep::Applied, StepState::Done));
        let row = "local api/1                ✓ delivered ✓ applied".to_owned();
        assert_eq!(draws, [Draw::Over(row.clone())]);
        let draws = progress.on(&step("2", HostStep::Delivered, StepState::Failed));
        assert_eq!(draws[0], Draw::Line(Mark::Plain, row));
        let draws = progress.on(&Event::Phase { phase: Phase::Quiesce });
        assert_eq!(draws[0], Draw::Line(Mark::Plain, "local api/2                ✗ delivered".to_owned()));
        assert_eq!(draws[1], Draw::Line(Mark::Plain, "── quiesce".to_owned()));
    }
}
