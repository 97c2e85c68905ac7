use std::collections::BTreeSet;

use keyroll_codes::Code;
use keyroll_link::{HostHello, machine_digest};
use keyroll_observe::machine_ids;
use keyroll_ssh::{Program, Reach, Reached, Verb, programs, reach};

use super::at_once::Telling;
use super::chosen::Remote;
use super::pins::{Pins, Standing};
use super::unreached::not_reached;
use crate::installation::Installation;
use crate::places::Places;
use crate::problem::Problem;

/// What is needed to reach hosts.
pub(super) struct Way {
    programs: Vec<Program>,
    pub(super) pins: Pins,
    key: [u8; 32],
}

impl Way {
    /// The programs for hosts that are installed beside this one, and the accepted machines.
    ///
    /// # Errors
    /// hosts.json cannot be read.
    pub(super) fn of(installation: &Installation) -> Result<Self, Problem> {
        Self::with(Pins::read(installation)?)
    }

    /// The same of a state folder; `declared` = the hosts of the configuration, if it could be read.
    ///
    /// # Errors
    /// hosts.json cannot be read.
    pub(super) fn at(places: &Places, declared: Option<BTreeSet<String>>) -> Result<Self, Problem> {
        Self::with(Pins::at(places, declared)?)
    }

    fn with(pins: Pins) -> Result<Self, Problem> {
        let key = pins.key()?;
        // Without any, a host that has no installed one is told so.
        let own = std::env::current_exe().ok();
        let beside = own.as_deref().and_then(std::path::Path::parent);
        let programs = beside.and_then(|folder| programs(folder).ok()).unwrap_or_default();
        Ok(Self { programs, pins, key })
    }

    /// Connects to a host and starts keyroll-host there. Which machine it is was not compared yet.
    ///
    /// # Errors
    /// The host cannot be reached, or keyroll-host does not start there.
    pub(super) async fn reach(&self, remote: &Remote, telling: &Telling) -> Result<Reached, Problem> {
        self.start(remote, Verb::Serve, telling).await
    }

    /// The same of what keyroll-host is to do there.
    ///
    /// # Errors
    /// As [`Self::reach`].
    pub(super) async fn start(
        &self,
        remote: &Remote,
        verb: Verb,
        telling: &Telling,
    ) -> Result<Reached, Problem> {
        let address = &remote.address;
        let to = Reach {
            name: remote.name.clone(),
            user: address.user.clone(),
            host: address.host.clone(),
            port: address.port,
            sudo: address.sudo,
            program: address.program.clone(),
            verb,
        };
        let mut told = |text: &str| telling.progress(text);
        reach(&to, &self.programs, &self.key, &mut told).await.map_err(|error| not_reached(remote, error))
    }

    /// This machine, as a host's greeting would name it.
    pub(super) fn machine_here(&self) -> Option<String> {
        Some(machine_digest(&self.key, "id", &machine_ids().id?))
    }

    /// Refuses another machine than the accepted one, before anything is asked of it. Returns whether none was accepted
    /// under this name.
    ///
    /// # Errors
    /// It is another machine.
    pub(super) fn refuse_other(&self, name: &str, hello: &HostHello) -> Result<bool, Problem> {
        match self.pins.standing(name, hello) {
            Standing::New => Ok(true),
            Standing::Accepted { .. } => Ok(false),
            Standing::Other { accepted, by } => Err(other("look at", name, &accepted, &by)),
            Standing::Twin(twin) => Err(same_as("look at", name, &twin)),
        }
    }
}

/// Another machine was accepted under this name.
pub(super) fn other(attempted: &str, name: &str, accepted: &str, by: &str) -> Problem {
    Problem::new(Code::HostChanged, format!("{attempted} {name}"))
        .because(format!("it is another machine than the one that was accepted at {accepted} by {by}"))
        .help(format!(
            "if it was replaced: keyroll hosts accept {name} --again; else correct its connect in keyroll.toml"
        ))
}

/// The machine has another name.
pub(super) fn same_as(attempted: &str, name: &str, twin: &str) -> Problem {
    Problem::new(Code::HostChanged, format!("{attempted} {name}"))
        .because(format!("it is the machine of {twin}: both have the same machine-id"))
        .help(format!(
            "remove one of them from keyroll.toml, or correct its connect; a cloned image has the id of its original: on \
             the clone, empty /etc/machine-id and run systemd-machine-id-setup; then keyroll hosts accept {name}"
        ))
}
