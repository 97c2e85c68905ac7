use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which addresses the name of a server may lead to. Who wrote the name decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addresses {
    /// Any: the operator wrote it.
    #[default]
    Any,
    /// Those of other machines than keyroll's: somebody wrote it who may not use what listens there.
    OtherMachines,
}

/// Why a name is not connected to: it leads to the machine that keyroll runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnMachine {
    /// The name as it was written.
    pub host: String,
    /// The address that it leads to.
    pub address: IpAddr,
    /// What that address is.
    pub kind: &'static str,
}

impl fmt::Display for OwnMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address, kind } = self;
        write!(
            f,
            "{host} leads to {address} ({kind}): a SecretRotation object may not reach the machine that keyroll runs on"
        )
    }
}

impl std::error::Error for OwnMachine {}

impl Addresses {
    /// Resolves a name once: at least one address. The caller connects to these, and does not resolve the name again: it
    /// could then lead elsewhere.
    ///
    /// # Errors
    /// The name does not resolve, or leads to no address that may be connected to ([`OwnMachine`]).
    pub async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((host, port)).await?;
        let permitted = self.permitted(host, found).map_err(io::Error::other)?;
        match permitted.is_empty() {
            true => Err(io::Error::other("the name leads to no address")),
            false => Ok(permitted),
        }
    }

    /// Those of the addresses that were found for a name which may be connected to. A host that is written as loopback is not
    /// judged: no object may write it, the operator's spec may, and what an open rotation began with must be able to end.
    ///
    /// # Errors
    /// All of them are of the machine that keyroll runs on.
    pub(crate) fn permitted(
        self,
        host: &str,
        found: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, OwnMachine> {
        let judges = self == Self::OtherMachines && !is_loopback(host);
        let (mut permitted, mut refused) = (Vec::new(), None);
        for found in found {
            match own_machine(found.ip()).filter(|_| judges) {
                Some(kind) => refused = refused.or(Some((found.ip(), kind))),
                None => permitted.push(found),
            }
        }
        if let Some((address, kind)) = refused
            && permitted.is_empty()
        {
            return Err(OwnMachine { host: host.to_owned(), address, kind });
        }
        Ok(permitted)
    }
}

/// Whether the name itself says that it is this machine: without encryption, anything else would show what is said and
/// could be forged.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What an address of the machine that keyroll runs on is, or of a service that the cloud gives that machine alone; none: it
/// is another machine's. Addresses of its network cards are not known here.
pub fn own_machine(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => own_v4(address),
        IpAddr::V6(address) => own_v6(address),
    }
}

fn own_v4(address: Ipv4Addr) -> Option<&'static str> {
    // All of 0.0.0.0/8 is "this host on this network" (RFC 1122).
    match address.octets() {
        [0, ..] => Some("unspecified"),
        _ if address.is_loopback() => Some("loopback"),
        _ if address.is_link_local() => Some("link-local"),
        // Of a machine at Azure and at Alibaba Cloud:
        // <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>,
        // <https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata>.
        [168, 63, 129, 16] | [100, 100, 100, 200] => Some("a service of the cloud"),
        _ => None,
    }
}

fn own_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        // fd00:ec2::/32 are the services of a machine at AWS:
        // <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>.
        [0xfd00, 0x0ec2, ..] => Some("a service of the cloud"),
        // The same at Google Cloud: <https://cloud.google.com/compute/docs/metadata/querying-metadata>.
        [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Some("a service of the cloud"),
        // An IPv4 address behind a translation (RFC 6052).
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => {
            own_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ if address.is_loopback() => Some("loopback"),
        _ if address.is_unicast_link_local() => Some("link-local"),
        // Mapped (`::ffff:127.0.0.1`) and compatible ones (`::127.0.0.1`, of which `::` is one).
        _ => address.to_ipv4().and_then(own_v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a name of somebody else may lead that resolves to these addresses.
    fn led(host: &str, found: &[&str]) -> Result<Vec<String>, String> {
        let found = found.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443));
        let permitted = Addresses::OtherMachines.permitted(host, found);
        let texts = |all: Vec<SocketAddr>| all.iter().map(|one| one.ip().to_string()).collect();
        permitted.map(texts).map_err(|refused| refused.to_string())
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for local in ["127.0.0.1", "127.9.9.9", "::1", "localhost"] {
            assert!(is_loopback(local), "{local}");
        }
        let others = ["db.example.org", "192.0.2.1", "localhost.example.org", "127.0.0.1.example.org"];
        for other in others.into_iter().chain(["0.0.0.0", "::", "/run/postgresql", ""]) {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_name_that_leads_to_the_own_machine_is_refused_with_the_name_and_the_reason() {
        for (address, kind) in [
            ("127.0.0.1", "loopback"),
            ("127.255.0.9", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::127.0.0.1", "loopback"),
            ("64:ff9b::7f00:1", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("::ffff:0.0.0.0", "unspecified"),
            ("169.254.169.254", "link-local"),
            ("::ffff:169.254.169.254", "link-local"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fd00:ec2::254", "a service of the cloud"),
            ("fd20:ce::254", "a service of the cloud"),
            ("168.63.129.16", "a service of the cloud"),
            ("100.100.100.200", "a service of the cloud"),
            ("::ffff:100.100.100.200", "a service of the cloud"),
        ] {
            let refused = led("db.example.com", &[address]).unwrap_err();
            let address: IpAddr = address.parse().unwrap();
            let said = format!("db.example.com leads to {address} ({kind}): ");
            assert!(refused.starts_with(&said), "{refused}");
        }
        for other in [
            "10.0.0.1",
            "128.0.0.1",
            "168.63.129.17",
            "100.100.100.201",
            "168.254.0.1",
            "203.0.113.7",
            "2001:db8::1",
            "fec0::1",
            "fd00:ec3::254",
        ] {
            assert_eq!(led("db.example.com", &[other]), Ok(vec![other.to_owned()]));
        }
        assert!(led("db.example.com", &["::ffff:10.0.0.1"]).is_ok());
        assert!(led("db.example.com", &["64:ff9b::a00:1"]).is_ok());
    }

    #[test]
    fn of_a_name_that_leads_to_several_the_own_machine_is_left_out() {
        let mixed = led("db.example.com", &["127.0.0.1", "203.0.113.7", "::1"]);
        assert_eq!(mixed, Ok(vec!["203.0.113.7".to_owned()]));
        assert!(led("db.example.com", &["::1", "127.0.0.1"]).unwrap_err().contains("leads to ::1 "));
        assert_eq!(led("db.example.com", &[]), Ok(Vec::new()));
    }

    /// Every name but the few that are refused where an object is read is judged by its address.
    #[test]
    fn names_of_loopback_in_another_form_are_judged_by_their_address() {
        for host in [
            "localhost.",
            "LOCALHOST",
            "db.localhost",
            "ip6-localhost",
            "127.1",
            "0x7f000001",
            "evil.example",
        ] {
            assert!(led(host, &["127.0.0.1"]).is_err(), "{host}");
        }
        for written in ["localhost", "127.0.0.1", "::1"] {
            assert!(led(written, &[written.replace("localhost", "127.0.0.1").as_str()]).is_ok(), "{written}");
        }
    }

    #[test]
    fn a_name_of_the_operator_may_lead_anywhere() {
        let found = ["127.0.0.1", "::1", "169.254.169.254", "203.0.113.7"];
        let found = found.map(|address| SocketAddr::new(address.parse().unwrap(), 443));
        assert_eq!(Addresses::Any.permitted("db.example.com", found), Ok(found.to_vec()));
    }

    /// `127.1` resolves on every machine without a server of names.
    #[tokio::test]
    async fn what_a_name_resolves_to_is_judged_where_it_is_resolved() {
        let any = Addresses::Any.resolve("127.1", 443).await.unwrap();
        assert_eq!(any, ["127.0.0.1:443".parse::<SocketAddr>().unwrap()]);
        let refused = Addresses::OtherMachines.resolve("127.1", 443).await.unwrap_err();
        let refused = refused.get_ref().and_then(|refused| refused.downcast_ref::<OwnMachine>()).unwrap();
        assert_eq!(
            (refused.host.as_str(), refused.address, refused.kind),
            ("127.1", any[0].ip(), "loopback")
        );
    }
}
