//! [`Layout`]: what is drawn of a topology and what is only counted, so that a picture stays one.

use meridian_compile::{Cell, Host, Network, SubnetUse, Topology};

/// More nodes than this are one column.
const MOST_NODES: usize = 6;
/// More VPCs than this are counted; the table has them all.
const MOST_VPCS: usize = 12;
/// More shared services than this are counted.
const MOST_SHARED: usize = 8;
/// More Subnets of a VPC than this are counted.
const MOST_SUBNETS: usize = 4;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) topology: &'a Topology,
    /// The columns; empty if there are too many nodes for that.
    pub(super) nodes: &'a [Host],
    /// The rows: the default VPC, and of the others those with the most pods.
    pub(super) vpcs: Vec<&'a Network>,
    /// How many VPCs are not drawn, and how many pods they have.
    pub(super) rest: (usize, usize),
    /// How many of the shared services are named.
    pub(super) shared: usize,
    /// How many lines each VPC has for its Subnets, one of them to count the rest.
    pub(super) lines: usize,
}

impl<'a> Layout<'a> {
    pub(super) fn of(topology: &'a Topology) -> Self {
        let mut vpcs: Vec<&Network> = topology.vpcs.iter().collect();
        if vpcs.len() > MOST_VPCS {
            // The sort is stable, so that those with as many pods stay in the order of their names.
            vpcs[1..].sort_by_key(|vpc| std::cmp::Reverse(vpc.pods));
        }
        let rest = vpcs.split_off(vpcs.len().min(MOST_VPCS));
        Self {
            topology,
            nodes: if topology.nodes.len() > MOST_NODES {
                &[]
            } else {
                &topology.nodes
            },
            lines: vpcs.iter().map(|vpc| lines(vpc)).max().unwrap_or_default(),
            vpcs,
            rest: (rest.len(), rest.iter().map(|vpc| vpc.pods).sum()),
            shared: topology.shared.len().min(MOST_SHARED),
        }
    }

    /// The Subnets of a VPC that are drawn, and how many are not.
    pub(super) fn subnets(vpc: &'a Network) -> (&'a [SubnetUse], usize) {
        let drawn = vpc.subnets.len().min(MOST_SUBNETS);
        (&vpc.subnets[..drawn], vpc.subnets.len() - drawn)
    }

    /// What a node has of a VPC.
    pub(super) fn cell(vpc: &'a Network, node: &Host) -> Option<&'a Cell> {
        vpc.slices.iter().find(|slice| slice.node == node.name)
    }
}

fn lines(vpc: &Network) -> usize {
    let (drawn, rest) = Layout::subnets(vpc);
    drawn.len() + usize::from(rest > 0)
}

/// A number and what it counts.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn vpc(name: String, pods: usize) -> Network {
        Network {
            router: format!("vpc-{name}"),
            name,
            cidrs: vec!["10.8.0.0/16".to_owned()],
            egress: true,
            gateways: Vec::new(),
            uses_shared: true,
            deleting: false,
            fault: None,
            namespaces: 1,
            services: 0,
            shared_services: 0,
            pods,
            peers: Vec::new(),
            slices: Vec::new(),
            subnets: Vec::new(),
            routes: Vec::new(),
        }
    }

    #[test]
    fn of_many_subnets_the_first_are_drawn_and_the_rest_counted() {
        let subnet = |number: usize| SubnetUse {
            name: format!("s{number}"),
            switch: format!("subnet-s{number}"),
            networks: vec!["10.20.0.0/24".parse().unwrap()],
            fault: None,
            pods: [("n".to_owned(), number)].into(),
        };
        let blue = Network {
            subnets: (0..7).map(subnet).collect(),
            ..vpc("blue".to_owned(), 21)
        };
        let topology = Topology {
            nodes: Vec::new(),
            vpcs: vec![vpc("default".to_owned(), 0), blue],
            shared: Vec::new(),
            service_cidrs: Vec::new(),
        };
        assert_eq!(Layout::of(&topology).lines, MOST_SUBNETS + 1);
        let picture = super::super::svg::picture(&topology);
        assert!(
            picture.contains("subnet-s3") && !picture.contains("subnet-s4"),
            "{picture}"
        );
        assert!(picture.contains("and 3 more Subnets"), "{picture}");
    }

    #[test]
    fn of_a_thousand_vpcs_the_largest_are_drawn_and_the_rest_counted() {
        let topology = Topology {
            nodes: Vec::new(),
            vpcs: (0..1000).map(|number| vpc(format!("v{number:03}"), number)).collect(),
            shared: Vec::new(),
            service_cidrs: Vec::new(),
        };
        let layout = Layout::of(&topology);
        let drawn: Vec<&str> = layout.vpcs.iter().map(|vpc| &*vpc.name).collect();
        assert_eq!((drawn[0], drawn[1], drawn.len()), ("v000", "v999", MOST_VPCS));
        assert_eq!(layout.rest.0, 1000 - MOST_VPCS);
        let picture = super::super::svg::picture(&topology);
        assert!(picture.len() < 50_000, "{} bytes", picture.len());
        assert!(picture.contains("988 more VPCs"), "{picture}");
    }

    #[test]
    fn numbers_are_read_in_thousands() {
        assert_eq!(count(1, "pod", "pods"), "1 pod");
        assert_eq!(count(1_234_567, "pod", "pods"), "1,234,567 pods");
    }
}
