//! Sets of addresses: networks, single addresses, and the clients of Unix sockets.
//!
//! It knows no connection. Its invariant: an IPv4 address is the same however it is written, mapped into IPv6 or not.

use ipnet::{IpNet, Ipv4Net};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A set of the addresses that peers may have, for [`Proxies`](super::Proxies).
///
/// It is read from a list that is separated by commas: networks in CIDR notation (RFC 4632 §3.1), single addresses, and `unix`
/// for all clients of Unix sockets.
///
/// ```
/// use fleeting::Networks;
///
/// let proxies: Networks = "10.0.0.0/8, 2001:db8::7, unix".parse()?;
/// assert!(proxies.contains(Some("10.1.2.3".parse()?)));
/// assert!(!proxies.contains(Some("192.0.2.1".parse()?)));
/// assert!(proxies.contains(None)); // the client of a Unix socket has no address
///
/// let error = "10.1.2.3/8".parse::<Networks>().unwrap_err();
/// assert_eq!(error, "`10.1.2.3/8` has an address within the network; expected `10.0.0.0/8`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    networks: Vec<IpNet>,
    unix: bool,
}

/// Names the clients of Unix sockets.
const UNIX: &str = "unix";

impl Networks {
    /// Whether `addr` is in one of the networks. `None` stands for the client of a Unix socket.
    pub fn contains(&self, addr: Option<IpAddr>) -> bool {
        match addr.map(|addr| addr.to_canonical()) {
            Some(addr) => self.networks.iter().any(|network| network.contains(&addr)),
            None => self.unix,
        }
    }

    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }
}

impl FromStr for Networks {
    type Err = String;

    /// Reads a list. An empty one is the empty set.
    ///
    /// # Errors
    /// A sentence about the first part that is none of the above.
    fn from_str(list: &str) -> Result<Networks, String> {
        let mut found = Networks::default();
        for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part == UNIX {
                found.unix = true;
            } else {
                found.networks.push(network(part)?);
            }
        }
        Ok(found)
    }
}

/// Reads a network or an address.
fn network(text: &str) -> Result<IpNet, String> {
    let parsed = match text.parse::<IpAddr>() {
        Ok(addr) => Some(IpNet::from(addr)),
        Err(_) => text.parse().ok(),
    };
    let Some(network) = parsed else {
        return Err(format!(
            "`{text}` is no network; expected one such as `10.0.0.0/8` or `2001:db8::/32`, an address, or `{UNIX}`"
        ));
    };
    if network != network.trunc() {
        return Err(format!("`{text}` has an address within the network; expected `{}`", network.trunc()));
    }
    Ok(canonical(network))
}

/// Returns a network of IPv4 addresses that are mapped into IPv6 (RFC 4291 §2.5.5.2) as one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(mapped) = network else { return network };
    let prefix = mapped.prefix_len().checked_sub(MAPPED);
    let parts = mapped.addr().to_ipv4_mapped().zip(prefix);
    let unmapped = parts.and_then(|(addr, prefix)| Ipv4Net::new(addr, prefix).ok());
    unmapped.map_or(network, IpNet::from)
}

impl fmt::Display for Networks {
    /// Writes the list that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix = self.unix.then(|| UNIX.to_string());
        for (at, part) in self.networks.iter().map(ToString::to_string).chain(unix).enumerate() {
            write!(f, "{}{part}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_however_they_are_written() {
        fn check(list: &str, addr: &str, expected: bool) {
            let addr = (addr != UNIX).then(|| addr.parse().unwrap());
            assert_eq!(list.parse::<Networks>().unwrap().contains(addr), expected, "{list:?} {addr:?}");
        }
        check("", "127.0.0.1", false);
        check("", UNIX, false);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("0.0.0.0/0", "::1", false);
        check("0.0.0.0/0", UNIX, false);
        check("0.0.0.0/0", "::ffff:192.0.2.1", true);
        check("::ffff:10.0.0.0/104", "10.255.0.1", true);
        check("::ffff:10.0.0.0/104", "11.0.0.0", false);
        check("::/0", "::1", true);
        check("::/0", "10.0.0.1", false);
        check("10.0.0.0/31", "10.0.0.1", true);
        check("10.0.0.0/31", "10.0.0.2", false);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("unix", UNIX, true);
        check("unix", "127.0.0.1", false);
        check(" 10.0.0.1 ,, unix,2001:db8::/32", "2001:db8:0:1::", true);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for list in
            ["10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "/8", "localhost", "10.0.0.0/08x", "::1/129", "a, b"]
        {
            let error = list.parse::<Networks>().unwrap_err();
            assert!(error.contains("expected one such as"), "{list:?}: {error}");
        }
        let error = "2001:db8::1/32".parse::<Networks>().unwrap_err();
        assert!(error.ends_with("expected `2001:db8::/32`"), "{error}");
    }

    #[test]
    fn a_list_is_written_as_it_is_read() {
        for list in ["", "unix", "10.0.0.0/8, 2001:db8::1/128, unix"] {
            assert_eq!(list.parse::<Networks>().unwrap().to_string(), list);
        }
        assert!("".parse::<Networks>().unwrap().is_empty());
        assert!(!"unix".parse::<Networks>().unwrap().is_empty());
    }
}
