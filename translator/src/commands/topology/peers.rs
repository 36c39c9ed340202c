//! Peers: lines between VPCs that reach each other, left of everything, in lanes so that no two share one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use meridian_compile::{Network, PeerState};

use super::layout::{Layout, count};
use super::style::escape;

/// More lanes than this are no picture any more.
const LANES: usize = 8;
/// Width of a lane.
const LANE: usize = 14;
/// How far apart lines meet a VPC. Those from above do in its upper half, the outer ones lower; those to below in its lower half, the
/// outer ones higher: so lines of one VPC do not cross.
const STEP: usize = 9;
/// Where the first from above meets a VPC, below its upper edge, and where the last to below does.
const ENDS: (usize, usize) = (14, 154);

/// Two rows with a line between them, and its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wire {
    rows: (usize, usize),
    lane: usize,
}

/// What is drawn of all peerings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wires {
    wires: Vec<Wire>,
    /// How many peerings have no line.
    missing: usize,
}

impl Wires {
    pub(super) fn of(layout: &Layout<'_>) -> Self {
        let row = |name: &str| layout.vpcs.iter().position(|vpc| vpc.name == name);
        let all: BTreeSet<(&str, &str)> = layout.topology.vpcs.iter().flat_map(connected).collect();
        let mut pairs: Vec<(usize, usize)> = all
            .iter()
            .filter_map(|(one, other)| Some((row(one)?, row(other)?)))
            .map(|(one, other)| (one.min(other), one.max(other)))
            .collect();
        // The shortest are nearest to the rows, so that long ones go around them.
        pairs.sort_by_key(|&(from, to)| (to - from, from));
        let mut wires: Vec<Wire> = Vec::new();
        for rows in pairs {
            let meets = |wire: &Wire| wire.rows.0 <= rows.1 && rows.0 <= wire.rows.1;
            let is_free = |lane: &usize| !wires.iter().any(|wire| wire.lane == *lane && meets(wire));
            if let Some(lane) = (0..LANES).find(is_free) {
                wires.push(Wire { rows, lane });
            }
        }
        Self {
            missing: all.len() - wires.len(),
            wires,
        }
    }

    /// What all lanes take.
    pub(super) fn width(&self) -> usize {
        let lanes = self.wires.iter().map(|wire| wire.lane + 1).max();
        lanes.map_or(0, |lanes| lanes * LANE)
    }

    /// Draws the lines. A row's cards begin at `x`; the first row is at `y`, and each is `height` below the one before.
    pub(super) fn draw(&self, body: &mut String, layout: &Layout<'_>, (x, y, height): (usize, usize, usize)) {
        for Wire { rows, lane } in &self.wires {
            let name = |row: usize| escape(&layout.vpcs[row].name);
            let from = y + rows.0 * height + ENDS.1 - lane * STEP;
            let to = y + rows.1 * height + ENDS.0 + lane * STEP;
            // Left of the picture's own edge, where its view begins.
            let out = format!("-{}", lane * LANE + LANE / 2);
            let _ = writeln!(
                body,
                r#"<g><title>peers: {} and {}</title><path class="peer" d="M{x} {from}H{out}V{to}H{x}"/><circle class="tip" cx="{x}" cy="{from}" r="4"/><circle class="tip" cx="{x}" cy="{to}" r="4"/></g>"#,
                name(rows.0),
                name(rows.1)
            );
        }
    }

    /// What is said of those that are not drawn.
    pub(super) fn missing(&self) -> Option<String> {
        let missing = count(self.missing, "more peering", "more peerings");
        (self.missing > 0)
            .then(|| format!("{missing} without a line: the tables of --output html and --output json have them all"))
    }
}

/// The peerings of a VPC that are there, each under both names in order.
fn connected(vpc: &Network) -> impl Iterator<Item = (&str, &str)> {
    let connected = vpc.peers.iter().filter(|peer| peer.state == PeerState::Connected);
    connected.map(|peer| {
        let (one, other) = (&*vpc.name, &*peer.name);
        (one.min(other), one.max(other))
    })
}

/// The peers of a VPC in a line, with those that it is not connected to.
pub(super) fn label(vpc: &Network) -> Option<String> {
    let names = |state| {
        let peers = vpc.peers.iter().filter(move |peer| peer.state == state);
        peers.map(|peer| &*peer.name).collect::<Vec<_>>().join(", ")
    };
    let parts = [
        ("⇄", PeerState::Connected),
        ("waits for", PeerState::Waiting),
        ("refused:", PeerState::Refused),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(what, state)| (what, names(state)))
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what} {names}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use meridian_compile::{PeerUse, Topology};

    use super::super::layout::tests::vpc;
    use super::*;

    /// VPCs with these names, each connected to those of its list that name it, too.
    fn topology(vpcs: &[(&str, &[&str])]) -> Topology {
        let vpcs = vpcs.iter().map(|(name, peers)| {
            let peer = |peer: &&str| PeerUse {
                name: (*peer).to_owned(),
                state: PeerState::Connected,
                why: None,
            };
            Network {
                peers: peers.iter().map(peer).collect(),
                ..vpc((*name).to_owned(), 1)
            }
        });
        Topology {
            nodes: Vec::new(),
            vpcs: vpcs.collect(),
            shared: Vec::new(),
            service_cidrs: Vec::new(),
        }
    }

    #[test]
    fn each_peering_is_one_line_and_no_two_that_meet_share_a_lane() {
        let topology = topology(&[("default", &[]), ("a", &["c"]), ("b", &["c"]), ("c", &["a", "b"])]);
        let layout = Layout::of(&topology);
        let wires = Wires::of(&layout);
        let lane = |rows, lane| Wire { rows, lane };
        assert_eq!(wires.wires, [lane((2, 3), 0), lane((1, 3), 1)]);
        assert_eq!((wires.width(), wires.missing()), (2 * LANE, None));
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let names: Vec<String> = (0..30).map(|number| format!("v{number:02}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let vpcs: Vec<(&str, &[&str])> = std::iter::once(("default", &[][..]))
            .chain(all.iter().map(|name| (*name, &*all)))
            .collect();
        let mut topology = topology(&vpcs);
        for vpc in &mut topology.vpcs {
            let own = vpc.name.clone();
            vpc.peers.retain(|peer| peer.name != own);
        }
        let wires = Wires::of(&Layout::of(&topology));
        assert!(wires.wires.len() >= LANES && wires.width() <= LANES * LANE);
        assert_eq!(wires.wires.len() + wires.missing, 30 * 29 / 2);
        let picture = super::super::svg::picture(&topology);
        assert!(
            picture.contains(&format!("{} more peerings without a line", wires.missing)),
            "{picture}"
        );
    }

    #[test]
    fn a_vpc_says_its_peers_by_how_they_fare() {
        let of = |name: &str, state| PeerUse {
            name: name.to_owned(),
            state,
            why: None,
        };
        let network = Network {
            peers: vec![
                of("red", PeerState::Waiting),
                of("green", PeerState::Connected),
                of("white", PeerState::Refused),
                of("teal", PeerState::Connected),
            ],
            ..vpc("blue".to_owned(), 1)
        };
        assert_eq!(
            label(&network).unwrap(),
            "⇄ green, teal · waits for red · refused: white"
        );
        assert_eq!(label(&vpc("blue".to_owned(), 1)), None);
    }
}
