use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use keyroll_observe::{ProcessId, Sockets};
use keyroll_trace::{Chain, Place, SurveyedSecret, User, chains_of};

use crate::look::{Inventory, LocalIssuer};

/// How long reading the machine's sockets may take.
const SOCKETS_WAIT: Duration = Duration::from_secs(5);

impl Inventory {
    /// Tells what listens where the issuer of a secret is apart from the secret's users: it holds what its clients present.
    pub fn tell_issuers_apart(&mut self, issuers: Vec<LocalIssuer>) {
        self.issuers = issuers;
        self.set_apart();
    }

    /// What was told apart, one sentence for each process: `acme: issuer.py in /srv (pid 12) listens where …`.
    pub fn apart(&self) -> impl Iterator<Item = &str> {
        self.apart.iter().map(|(_, said)| said.as_str())
    }

    /// The same for one secret.
    pub fn apart_of(&self, secret: &str) -> impl Iterator<Item = &str> {
        self.apart.iter().filter(move |(own, _)| own == secret).map(|(_, said)| said.as_str())
    }

    /// Removes such processes from the users of each secret.
    pub(crate) fn set_apart(&mut self) {
        self.apart.clear();
        if self.issuers.is_empty() {
            return;
        }
        let Ok(sockets) = Sockets::read(&self.survey.listing, &[], SOCKETS_WAIT) else { return };
        let mut found = std::mem::take(&mut self.found);
        for one in found.iter_mut().filter(|one| one.managed) {
            let own = self.issuers.iter().filter(|issuer| issuer.secret == one.name);
            let at: Vec<SocketAddr> = own.flat_map(|issuer| issuer.at.clone()).collect();
            let accepts = |user: &User, process: &ProcessId| {
                sockets.listens(process, &at) && self.holds_in_memory_alone(one, user, process)
            };
            let of_user = |user: &User| {
                let all = user.processes.iter().filter(|process| accepts(user, process));
                all.map(|process| (*process, self.program(user, Some(process)))).collect::<Vec<_>>()
            };
            let apart: Vec<(ProcessId, String)> = one.users.iter().flat_map(of_user).collect();
            let said = apart.iter().map(|(process, program)| {
                let said = format!(
                    "{}: {program} (pid {process}) listens where the secret's issuer is, and holds a value in its \
                     memory alone: it is not counted as a user; if it presents the value itself, declare it as a \
                     consumer",
                    one.name
                );
                (one.name.clone(), said)
            });
            self.apart.extend(said);
            let apart: BTreeSet<ProcessId> = apart.into_iter().map(|(process, _)| process).collect();
            one.users.retain_mut(|user| {
                let before = user.processes.len();
                user.processes.retain(|process| !apart.contains(process));
                user.managed_by.is_service() || !user.processes.is_empty() || before == 0
            });
        }
        self.found = found;
    }

    /// Whether nothing shows that a process was given the value, as a consumer is: neither at its start nor by a copy.
    fn holds_in_memory_alone(&self, found: &SurveyedSecret, user: &User, process: &ProcessId) -> bool {
        let given = found
            .sightings
            .iter()
            .any(|one| one.place.process() == Some(process) && !matches!(one.place, Place::Memory { .. }));
        let value = |chain: &Chain| chain.next().is_some_and(|value| found.values.contains(&value));
        !given && !chains_of(&self.survey, found, user).into_iter().any(value)
    }
}
