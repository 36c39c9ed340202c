//! nftables on the host, in an own table: what pods send beyond their VPC (`masquerade`) and what may pass between VPCs at all
//! (`isolation`), and what comes for services (`frontends`, `cluster_ips`).
//!
//! By the `nft` program, from standard input: the rules are text that a person can read and try. Tables of others are
//! never touched.

mod cluster_ips;
mod endpoints;
mod frontends;
mod isolation;
mod masquerade;
mod table;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::host::Device;
use super::services::Plan;
use crate::netlink;
use table::{Present, TABLE, Table};

/// Why the rules are not in place.
#[derive(Debug, thiserror::Error)]
pub(super) enum NftablesError {
    #[error("run nft: {0}")]
    Run(#[from] std::io::Error),
    #[error("nft: {0}")]
    Refused(String),
}

/// The table, and by what to see whether somebody else changed it.
#[derive(Debug, Default)]
pub(super) struct Nftables {
    written: Option<Table>,
    /// That of the ruleset when the table was written or last found as it was written.
    generation: Option<u32>,
    /// What the table looks like. To list it takes longer than to change it, so that is done once the changes are over.
    listing: Option<String>,
}

/// How the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    AsWritten,
    Changed,
    /// Somebody wrote nftables' rules before the table was listed; their own, most likely.
    Uncertain,
}

impl Nftables {
    /// Writes the rules if they changed, or, where somebody may have touched them, if they are no longer what was written. True
    /// if others' rules stood in their place, under which connections may have begun.
    pub(super) fn ensure(
        &mut self,
        devices: &[Device],
        plan: &Plan,
        tunnel: SocketAddr,
        touched: bool,
    ) -> Result<bool, NftablesError> {
        let wanted = rules(devices, plan, tunnel);
        let found = if touched { self.look() } else { Found::AsWritten };
        let before = self.written.take();
        if before.as_ref() == Some(&wanted) && found == Found::AsWritten {
            self.written = before;
            return Ok(false);
        }
        let (start, generation) = (Instant::now(), netlink::ruleset_generation().ok());
        match &before {
            Some(before) if found == Found::AsWritten => change(before, &wanted)?,
            _ => replace(&wanted)?,
        }
        let now = netlink::ruleset_generation().ok();
        // One transaction, and so nobody else's.
        let alone = now.filter(|now| generation.map(|before| before.wrapping_add(1)) == Some(*now));
        self.generation = alone;
        self.listing = None;
        if alone.is_none() || (found == Found::Uncertain && before.is_some()) {
            self.listing = Some(list()?);
        }
        tracing::debug!(took = ?start.elapsed(), "table {TABLE} is written");
        if found == Found::Changed && before.as_ref() == Some(&wanted) {
            tracing::warn!("somebody changed the nftables table {TABLE}; it has been put back");
        }
        self.written = Some(wanted);
        Ok(found == Found::Changed)
    }

    fn look(&mut self) -> Found {
        let generation = netlink::ruleset_generation().ok();
        let untouched = generation.is_some() && generation == self.generation;
        let listing = match &self.listing {
            Some(_) if untouched => return Found::AsWritten,
            Some(listing) => listing,
            None if untouched => {
                let listing = list().ok();
                // Else it may not be as it was written.
                let same = netlink::ruleset_generation().ok() == generation;
                self.listing = listing.filter(|_| same);
                return Found::AsWritten;
            }
            None => return Found::Uncertain,
        };
        if !list().is_ok_and(|now| now == *listing) {
            return Found::Changed;
        }
        self.generation = generation;
        Found::AsWritten
    }
}

/// Writes what differs where that is enough, else the whole table.
fn change(before: &Table, wanted: &Table) -> Result<(), NftablesError> {
    match wanted.difference(before).map(|difference| write(&difference)) {
        Some(Ok(())) => return Ok(()),
        Some(Err(error)) => tracing::debug!(%error, "the table is written as a whole"),
        None => {}
    }
    replace(wanted)
}

/// Writes the whole table, whatever is there.
fn replace(wanted: &Table) -> Result<(), NftablesError> {
    // Without what packets added: only names are read.
    let listing = nft(&["-t", "list", "table", "inet", "meridian"], "").unwrap_or_default();
    // One transaction of the kernel: there is no moment without rules.
    let Err(error) = write(&wanted.replace(&Present::read(&listing))) else {
        return Ok(());
    };
    if listing.is_empty() {
        return Err(error);
    }
    tracing::debug!(%error, "the table is deleted and written");
    write(&format!("delete table {TABLE}\n{wanted}"))
}

fn rules(devices: &[Device], plan: &Plan, tunnel: SocketAddr) -> Table {
    let mut table = Table::default();
    masquerade::add(&mut table, devices, plan);
    isolation::add(&mut table, devices);
    frontends::add(&mut table, devices, plan, tunnel);
    table
}

fn set(items: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
}

/// The names of some of the host's own devices, as a set.
fn names<'a>(devices: impl IntoIterator<Item = &'a Device>) -> String {
    set(devices.into_iter().map(|device| format!("{:?}", device.name)))
}

/// Refuses at once what a rule matches.
fn reject(matched: &str) -> [String; 2] {
    ["meta l4proto tcp reject with tcp reset", "reject"].map(|how| format!("{matched} {how}"))
}

fn family(v4: bool) -> &'static str {
    if v4 { "ip" } else { "ip6" }
}

fn list() -> Result<String, NftablesError> {
    let listing = nft(&["list", "table", "inet", "meridian"], "")?;
    Ok(table::without_learned(&listing))
}

fn write(commands: &str) -> Result<(), NftablesError> {
    nft(&["-f", "-"], commands).map(drop)
}

fn nft(arguments: &[&str], input: &str) -> Result<String, NftablesError> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // An nft that refuses early closes its end; its message tells why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    Err(NftablesError::Refused(message))
}

#[cfg(test)]
mod tests {
    use meridian_api::port::{PortFacts, PortKind, VpcFacts};

    use super::*;

    pub(super) fn device(name: &str, ips: &[&str]) -> Device {
        Device {
            name: name.into(),
            userspace: true,
            local_host_ports: false,
            pods: vec![],
            facts: PortFacts {
                ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
                vpc: (!name.starts_with("meridian")).then(|| VpcFacts {
                    name: name.into(),
                    services: true,
                    outside: true,
                    networks: vec![],
                }),
                ..PortFacts::new(PortKind::Management, "0a:58:0a:f4:00:02")
            },
        }
    }

    pub(super) fn text(devices: &[Device], plan: &Plan) -> String {
        rules(devices, plan, "192.0.2.1:6081".parse().unwrap()).to_string()
    }
}
