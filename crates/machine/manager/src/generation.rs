//! What tells a program that began anew inside of its process from the one before it there.

use keyroll_observe::ProcessId;

/// One generation of a program that restarts inside of its process: the process stays the same, and what it opens when it
/// begins does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The process.
    pub process: ProcessId,
    /// The kernel's numbers of the sockets at which it accepts connections; empty = it accepts none now: it is about to
    /// end, or has only begun.
    pub sockets: Vec<u64>,
}

impl Generation {
    /// Whether both are certainly the same one.
    pub fn is(&self, other: &Self) -> bool {
        self.process == other.process && self.sockets.iter().any(|number| other.sockets.contains(number))
    }

    /// Whether both may be the same one: of a process that accepts no connections this is not visible.
    pub fn may_be(&self, other: &Self) -> bool {
        let unclear = self.sockets.is_empty() || other.sockets.is_empty();
        self.is(other) || (self.process == other.process && unclear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_socket_shows_another_generation() {
        let of = |pid, sockets: &[u64]| Generation {
            process: ProcessId { boot: 1, pid, start_ticks: 5 },
            sockets: sockets.to_vec(),
        };
        let one = of(7, &[10, 11]);
        assert!(one.is(&of(7, &[11, 12])) && one.may_be(&of(7, &[11, 12])));
        assert!(!one.is(&of(7, &[12])) && !one.may_be(&of(7, &[12])));
        assert!(!one.is(&of(7, &[])) && one.may_be(&of(7, &[])) && of(7, &[]).may_be(&one));
        assert!(!one.is(&of(8, &[10])) && !one.may_be(&of(8, &[10])) && !one.may_be(&of(8, &[])));
    }
}
