//! [`AddressRange`]: addresses from one to another, as an address pool lists them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;

/// Addresses of one family from the first to the last, both included. Written `198.51.100.0/24`,
/// `198.51.100.10-198.51.100.50` or `198.51.100.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// Why a text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRangeError {
    /// None of the three forms.
    #[error("{0:?} is no range of addresses: expected NETWORK/LENGTH, FIRST-LAST or one address")]
    Malformed(String),
    /// A network was written as an address in it.
    #[error("{given} is an address with a prefix length, not a network: did you mean {meant}?")]
    HostBits {
        /// As given.
        given: IpNetwork,
        /// The network it is in.
        meant: IpNetwork,
    },
    /// From one family to the other.
    #[error("{0:?} begins with one family and ends with the other")]
    Families(String),
    /// Nothing is in it.
    #[error("{0:?} ends before it begins")]
    Backwards(String),
}

impl AddressRange {
    /// The first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The last address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        // `IpAddr` has all of IPv4 before all of IPv6.
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }

    /// Whether some address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first.is_ipv4() == other.first.is_ipv4() && self.first <= other.last && other.first <= self.last
    }

    /// How many addresses there are; as many as a number can say where there are more.
    pub fn len(&self) -> u128 {
        number(self.last).saturating_sub(number(self.first)).saturating_add(1)
    }

    /// Never: a range has at least one address.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// All addresses, in order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.first.is_ipv4();
        (number(self.first)..=number(self.last)).map(move |number| {
            if v4 {
                // Both ends are IPv4 addresses, and so is what is between them.
                IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into())
            } else {
                IpAddr::V6(number.into())
            }
        })
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || AddressRangeError::Malformed(text.to_owned());
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| malformed());
        if text.contains('/') {
            let given: IpNetwork = text.trim().parse().map_err(|_| malformed())?;
            let (first, last) = (given.network(), given.broadcast());
            if given.ip() != first {
                let meant = IpNetwork::new(first, given.prefix()).map_err(|_| malformed())?;
                return Err(AddressRangeError::HostBits { given, meant });
            }
            return Ok(Self { first, last });
        }
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (address(first)?, address(last)?),
            None => (address(text)?, address(text)?),
        };
        if first.is_ipv4() != last.is_ipv4() {
            return Err(AddressRangeError::Families(text.to_owned()));
        }
        if last < first {
            return Err(AddressRangeError::Backwards(text.to_owned()));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn three_forms_are_read() {
        assert_eq!(range("198.51.100.0/30").to_string(), "198.51.100.0-198.51.100.3");
        assert_eq!(range("2001:db8::1 - 2001:db8::9").len(), 9);
        assert_eq!(
            range("198.51.100.7").iter().collect::<Vec<_>>(),
            ["198.51.100.7".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(range("::/0").len(), u128::MAX);
    }

    #[test]
    fn a_range_has_its_ends_and_what_is_between() {
        let range = range("198.51.100.10-198.51.100.12");
        let inside = |text: &str| range.contains(text.parse().unwrap());
        assert!(inside("198.51.100.10") && inside("198.51.100.12"));
        assert!(!inside("198.51.100.9") && !inside("198.51.100.13") && !inside("::a"));
        assert_eq!(range.iter().count(), 3);
    }

    #[test]
    fn ranges_that_share_an_address_overlap() {
        let ten = range("198.51.100.10-198.51.100.20");
        assert!(ten.overlaps(&range("198.51.100.20")) && ten.overlaps(&range("198.51.100.0/24")));
        assert!(!ten.overlaps(&range("198.51.100.21-198.51.100.30")) && !ten.overlaps(&range("::/0")));
    }

    #[test]
    fn what_is_no_range_says_why() {
        let refusal = |text: &str| text.parse::<AddressRange>().unwrap_err().to_string();
        assert!(refusal("pool").contains("expected NETWORK/LENGTH, FIRST-LAST or one address"));
        assert!(refusal("198.51.100.7/24").ends_with("did you mean 198.51.100.0/24?"));
        assert!(refusal("198.51.100.7-::1").contains("the other"));
        assert!(refusal("198.51.100.7-198.51.100.1").contains("ends before it begins"));
    }
}
