//! What blocks of addresses come to when the exceptions are taken out: as few networks as there can be, because to match on what an
//! address is not takes many flows.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;

use crate::ip;
use crate::ranges::{self, Range};

/// The networks of one family that have exactly the addresses of these blocks, less what each excepts. Sorted.
pub(crate) fn networks<'a>(blocks: impl IntoIterator<Item = (IpNetwork, &'a [IpNetwork])>, v4: bool) -> Vec<IpNetwork> {
    let whole = ip::everything(v4);
    let number = |address| ip::offset(whole, address).expect("what is of another family was passed over");
    let range = |network: &IpNetwork| -> Range { (number(network.network()), number(network.broadcast())) };
    let mut ranges = Vec::new();
    for (cidr, except) in blocks.into_iter().filter(|(cidr, _)| cidr.is_ipv4() == v4) {
        let except: BTreeSet<Range> = except
            .iter()
            .filter(|except| except.is_ipv4() == v4)
            .map(range)
            .collect();
        let (mut first, last) = range(&cidr);
        let mut is_left = true;
        for (from, to) in except {
            if to < first || from > last {
                continue;
            }
            if from > first {
                ranges.push((first, from - 1));
            }
            is_left = to < last;
            if !is_left {
                break;
            }
            first = first.max(to + 1);
        }
        if is_left {
            ranges.push((first, last));
        }
    }
    let width = ip::width(whole);
    let network = |(first, bits): (u128, u32)| {
        let prefix = u8::try_from(u32::from(width) - bits).expect("a width is at most 128");
        IpNetwork::new(ip::nth(whole, first), prefix).expect("the prefix length is one of the family")
    };
    ranges::blocks(ranges, width.into()).into_iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    fn of(blocks: &[(&str, &[&str])], v4: bool) -> Vec<String> {
        let parse = |text: &&str| text.parse::<IpNetwork>().unwrap();
        let blocks: Vec<(IpNetwork, Vec<IpNetwork>)> = blocks
            .iter()
            .map(|(cidr, except)| (parse(cidr), except.iter().map(parse).collect()))
            .collect();
        let networks = networks(blocks.iter().map(|(cidr, except)| (*cidr, &**except)), v4);
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn exceptions_are_taken_out_of_their_own_block_alone() {
        assert_eq!(
            of(&[("10.0.0.0/30", &["10.0.0.1/32"])], true),
            ["10.0.0.0/32", "10.0.0.2/31"]
        );
        assert_eq!(
            of(&[("10.0.0.0/30", &["10.0.0.1/32"]), ("10.0.0.1/32", &[])], true),
            ["10.0.0.0/30"],
            "what one block excepts another may have"
        );
        assert_eq!(of(&[("10.0.0.0/24", &["10.0.0.0/16"])], true), [""; 0]);
        assert_eq!(
            of(
                &[("10.0.0.0/24", &["10.0.0.128/25", "10.0.0.192/26", "10.0.0.128/26"])],
                true
            ),
            ["10.0.0.0/25"],
            "exceptions may overlap"
        );
    }

    #[test]
    fn everything_is_two_halves() {
        assert_eq!(of(&[("0.0.0.0/0", &[])], true), ["0.0.0.0/1", "128.0.0.0/1"]);
        assert_eq!(of(&[("::/0", &[])], false), ["::/1", "8000::/1"]);
        assert_eq!(of(&[("::/0", &["::/1"]), ("10.0.0.0/8", &[])], false), ["8000::/1"]);
        assert_eq!(of(&[("255.255.255.254/31", &[])], true), ["255.255.255.254/31"]);
        assert_eq!(
            of(&[("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", &["::/0"])], false),
            [""; 0]
        );
    }

    fn network() -> impl Strategy<Value = IpNetwork> {
        (0u32..64, 26u8..=32).prop_map(|(host, prefix)| {
            let network = IpNetwork::new(Ipv4Addr::from_bits(0x0a00_0000 + host).into(), prefix).unwrap();
            IpNetwork::new(network.network(), prefix).unwrap()
        })
    }

    proptest! {
        #[test]
        fn an_address_is_in_them_if_a_block_has_it_and_does_not_except_it(
            blocks in prop::collection::vec((network(), prop::collection::vec(network(), 0..4)), 0..4),
        ) {
            let networks = networks(blocks.iter().map(|(cidr, except)| (*cidr, &**except)), true);
            for host in 0..80 {
                let ip = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + host));
                let expected = blocks
                    .iter()
                    .any(|(cidr, except)| cidr.contains(ip) && !except.iter().any(|except| except.contains(ip)));
                let of_it = networks.iter().filter(|network| network.contains(ip)).count();
                prop_assert_eq!(of_it, usize::from(expected), "{} of {:?}", ip, networks);
            }
        }
    }
}
