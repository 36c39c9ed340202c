//! `meridian-node denied`: what ovn-controller logs of policies, with pods instead of addresses.
//!
//! Who has an address the Southbound database says, all of it: the other end may be on any node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meridian_api::port::OWNER;
use ovsdb::{Replica, Session, SessionConfig, TableMonitor};
use ovsdb_schemas::southbound::{DATABASE, port_binding};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::args::{Denied, OutputArg};
use super::print;

/// How long to wait for the database.
const PATIENCE: Duration = Duration::from_secs(30);

/// For so long it is taken for known who has which address.
const STALE: Duration = Duration::from_secs(1);

/// Lines that wait to be told of.
const LINES: usize = 64;

/// A packet, as ovn-controller logs it for an ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Packet {
    /// When, as it stands in the log.
    time: String,
    /// `drop`, `allow` or another word of OVN's.
    verdict: String,
    /// `ingress` to a pod, or its `egress`.
    direction: String,
    source: IpAddr,
    destination: IpAddr,
    /// In capitals.
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// What decides: pods that are isolated, or a policy and its rule.
    acl: String,
}

/// The same with whoever has the addresses.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(flatten)]
    packet: &'a Packet,
    /// `namespace/name` of pods; several have one address where they are in several VPCs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<String>,
}

/// Tells of all that is read, until nothing more comes.
pub(super) async fn tell(arguments: Denied) -> anyhow::Result<()> {
    let Denied {
        log,
        all,
        output,
        southbound,
    } = arguments;
    let session = connect(southbound.parse()?).await?;
    let mut lines = read(&log)?;
    let mut owners = (Instant::now(), Owners::of(&session.replica()));
    while let Some(line) = lines.recv().await {
        let line = line.with_context(|| format!("read {}", log.display()))?;
        let Some(packet) = parse(&line).filter(|packet| all || packet.verdict != "allow") else {
            continue;
        };
        if owners.0.elapsed() > STALE {
            owners = (Instant::now(), Owners::of(&session.replica()));
        }
        let event = Event {
            from: owners.1.get(packet.source),
            to: owners.1.get(packet.destination),
            packet: &packet,
        };
        match output {
            OutputArg::Table => print(&event.line())?,
            OutputArg::Json => print(&serde_json::to_string(&event)?)?,
        }
    }
    Ok(())
}

/// The lines of a log as they come. By a thread: whoever pipes them in may take his time.
fn read(log: &Path) -> anyhow::Result<mpsc::Receiver<std::io::Result<String>>> {
    let input: Box<dyn Read + Send> = if log == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(log);
        Box::new(file.with_context(|| format!("read {}", log.display()))?)
    };
    let (sender, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in BufReader::new(input).split(b'\n') {
            let line = line.map(|line| String::from_utf8_lossy(&line).into_owned());
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

async fn connect((remotes, tls): (Vec<ovsdb::Remote>, Option<ovsdb::TlsConfig>)) -> anyhow::Result<Session> {
    let ports = TableMonitor::new(port_binding::TABLE).columns([port_binding::MAC, port_binding::EXTERNAL_IDS]);
    let mut config = SessionConfig::new(DATABASE, remotes).with_monitors([ports]);
    if let Some(tls) = tls {
        config = config.with_tls(tls);
    }
    let session = Session::spawn(config);
    if timeout(PATIENCE, session.ready()).await.is_err() {
        let state = session.state().borrow().clone();
        anyhow::bail!("the Southbound database is not there within {PATIENCE:?}: {state}");
    }
    Ok(session)
}

/// Who has which addresses.
struct Owners(BTreeMap<IpAddr, BTreeSet<String>>);

impl Owners {
    fn of(replica: &Replica) -> Self {
        let mut owners: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        let rows = replica
            .table(port_binding::TABLE)
            .into_iter()
            .flat_map(ovsdb::TableReplica::iter);
        for (_, row) in rows {
            let Some(owner) = row.get(port_binding::EXTERNAL_IDS).get_str(OWNER) else {
                continue;
            };
            // Pods are what people look for; of whatever else it is said what it is.
            let name = owner
                .strip_prefix("pod/")
                .map_or_else(|| owner.replacen('/', " ", 1), str::to_owned);
            let texts = row
                .get(port_binding::MAC)
                .atoms()
                .iter()
                .filter_map(|atom| atom.as_str());
            for address in texts.flat_map(|text| text.split(' ').filter_map(|word| word.parse().ok())) {
                owners.entry(address).or_default().insert(name.clone());
            }
        }
        Self(owners)
    }

    fn get(&self, address: IpAddr) -> Vec<String> {
        self.0.get(&address).into_iter().flatten().cloned().collect()
    }
}

impl Event<'_> {
    fn line(&self) -> String {
        let Packet {
            time,
            verdict,
            source,
            destination,
            protocol,
            port,
            acl,
            ..
        } = self.packet;
        let end = |names: &[String], address| match names {
            [] => format!("{address}"),
            names => format!("{} ({address})", names.join(" or ")),
        };
        let port = port.map(|port| format!(" {port}")).unwrap_or_default();
        format!(
            "{time}  {verdict}  {} -> {}  {protocol}{port}  {acl}",
            end(&self.from, source),
            end(&self.to, destination)
        )
    }
}

/// What a line of the log says of a packet, if it is about an ACL: `TIME|SEQUENCE|acl_log(THREAD)|LEVEL|name="…", verdict=…, severity=…,
/// direction=…: FLOW`.
fn parse(line: &str) -> Option<Packet> {
    let (head, rest) = line.split_once("|name=")?;
    let (time, module) = head.split_once('|')?;
    if !module.contains("|acl_log(") {
        return None;
    }
    let (name, rest) = rest.rsplit_once(", verdict=")?;
    let (verdict, rest) = rest.split_once(',')?;
    let (direction, flow) = rest.split_once("direction=")?.1.split_once(": ")?;
    let mut words = flow.trim().split(',');
    let protocol = words.next()?.trim_end_matches('6').to_uppercase();
    let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
    let field = |v4: &str, v6: &str| fields.get(v4).or_else(|| fields.get(v6)).copied();
    Some(Packet {
        time: time.to_owned(),
        verdict: verdict.to_owned(),
        direction: if direction == "to-lport" { "ingress" } else { "egress" }.to_owned(),
        source: field("nw_src", "ipv6_src")?.parse().ok()?,
        destination: field("nw_dst", "ipv6_dst")?.parse().ok()?,
        protocol,
        port: fields.get("tp_dst").and_then(|port| port.parse().ok()),
        acl: name.trim_matches('"').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-11-26T22:59:07.123Z|00012|acl_log(ovn_pinctrl0)|INFO|name=\"shop:app=web,tier=1:ingress:isolated\", \
                        verdict=drop, severity=info, direction=to-lport: tcp,vlan_tci=0x0000,dl_src=0a:58:0a:f4:00:01,\
                        dl_dst=0a:58:0a:f4:00:05,nw_src=10.244.1.4,nw_dst=10.244.0.5,nw_tos=0,nw_ecn=0,nw_ttl=63,nw_frag=no,tp_src=40000,\
                        tp_dst=80,tcp_flags=syn";

    #[test]
    fn a_line_is_read() {
        let packet = parse(LINE).unwrap();
        assert_eq!(
            (&*packet.time, &*packet.verdict, &*packet.direction),
            ("2026-11-26T22:59:07.123Z", "drop", "ingress")
        );
        assert_eq!(packet.acl, "shop:app=web,tier=1:ingress:isolated");
        assert_eq!((&*packet.protocol, packet.port), ("TCP", Some(80)));
        let event = Event {
            packet: &packet,
            from: vec!["shop/client".to_owned()],
            to: Vec::new(),
        };
        let expected = "2026-11-26T22:59:07.123Z  drop  shop/client (10.244.1.4) -> 10.244.0.5  TCP 80  shop:app=web,tier=1:ingress:isolated";
        assert_eq!(event.line(), expected);
    }

    #[test]
    fn so_is_one_of_ipv6_without_ports() {
        let line = LINE
            .replace("tcp,vlan", "icmp6,vlan")
            .replace("nw_src=10.244.1.4", "ipv6_src=fd00::4");
        let line = line
            .replace("nw_dst=10.244.0.5", "ipv6_dst=fd00::5")
            .replace("tp_src=40000,tp_dst=80,tcp_flags=syn", "icmp_type=128");
        let packet = parse(&line).unwrap();
        assert_eq!((&*packet.protocol, packet.port), ("ICMP", None));
        assert_eq!(packet.source, "fd00::4".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn what_is_no_packet_is_passed_over() {
        for line in [
            "",
            "2026-11-26T22:59:07.123Z|00001|main|INFO|name=\"x\", verdict=drop",
            &LINE[..200],
            &LINE.replace("nw_src", "x"),
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
