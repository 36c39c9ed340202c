//! The thread that announces: it waits for frames, for the time, and for orders.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Role;
use super::devices::{Device, Devices};
use super::frame::{self, Mac};
use super::machine::Machine;
use super::socket::{Family, PacketSocket};
use super::words::{Asker, Heard, Say, Time};
use super::{AnnouncementStatus, Shared, Wanted, lock};

/// Frames of one socket in one turn, so that nobody who floods it keeps the others waiting.
const TURN: usize = 256;
/// More than any frame that is of interest.
const FRAME: usize = 2048;
/// When what failed is tried again, if nothing is heard of the host before.
const RETRY: Duration = Duration::from_secs(5);

/// An address on a device.
type Key = (IpAddr, String);

#[derive(Debug)]
struct Entry {
    machine: Machine,
    /// What was last published of it.
    known: Option<(Role, Option<Mac>)>,
    since: Instant,
}

/// A device that addresses are announced on.
#[derive(Debug)]
struct Port {
    device: Device,
    sockets: BTreeMap<Family, PacketSocket>,
}

/// Everything the thread has.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    wake: UnixDatagram,
    epoch: Instant,
    ports: BTreeMap<String, Port>,
    entries: BTreeMap<Key, Entry>,
    /// Of addresses that are wanted, perhaps of a device.
    problems: BTreeMap<(IpAddr, Option<String>), (String, Instant)>,
    /// The host has to be looked at again.
    look: Option<Time>,
    publish: bool,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, wake: UnixDatagram) -> Self {
        Self {
            shared,
            wake,
            epoch: Instant::now(),
            ports: BTreeMap::new(),
            entries: BTreeMap::new(),
            problems: BTreeMap::new(),
            look: None,
            publish: false,
        }
    }

    /// Works until it is told to end.
    pub(super) fn run(mut self) {
        loop {
            if let Err(error) = self.wait() {
                tracing::warn!(%error, "announcements: cannot wait");
            }
            while self.wake.recv(&mut [0]).is_ok() {}
            let mut orders = lock(&self.shared.orders);
            if orders.end {
                return;
            }
            let due = self.look.is_some_and(|look| look <= self.now());
            let place = std::mem::take(&mut orders.changed) || due;
            // A frame is no cause to copy them.
            let wanted = place.then(|| orders.wanted.clone());
            drop(orders);
            if let Some(wanted) = wanted {
                self.look = None;
                self.place(&wanted);
            }
            self.listen();
            self.tick();
            self.publish();
        }
    }

    fn now(&self) -> Time {
        self.epoch.elapsed()
    }

    fn wait(&self) -> io::Result<()> {
        let machines = self.entries.values().filter_map(|entry| entry.machine.due());
        let timeout = match machines.chain(self.look).min() {
            // A millisecond late rather than early and in vain.
            Some(due) => {
                let milliseconds = due.saturating_sub(self.now()).as_micros().div_ceil(1000);
                PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let sockets = self.ports.values().flat_map(|port| port.sockets.values());
        let mut waited: Vec<_> = std::iter::once(self.wake.as_fd())
            .chain(sockets.map(AsFd::as_fd))
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut waited, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Puts what is wanted onto the devices that are there.
    fn place(&mut self, wanted: &[Wanted]) {
        let devices = match Devices::look() {
            Ok(devices) => devices,
            Err(error) => {
                tracing::warn!(%error, "announcements: cannot look at the host");
                self.look = Some(self.now() + RETRY);
                return;
            }
        };
        let before = std::mem::take(&mut self.problems);
        let mut targets = BTreeMap::new();
        for wanted in wanted {
            let names = devices.of(wanted.address, &wanted.interfaces);
            if names.is_empty() {
                let problem = "no device is in a network of the address, and there is no default route";
                self.problem(wanted.address, None, problem.to_owned());
            }
            for name in names {
                match devices.get(&name) {
                    None => self.problem(
                        wanted.address,
                        Some(name),
                        "there is no such Ethernet device".to_owned(),
                    ),
                    Some(device) if !device.usable => {
                        self.problem(
                            wanted.address,
                            Some(name),
                            "the device is down or has no carrier".to_owned(),
                        );
                    }
                    Some(_) => {
                        targets.insert((wanted.address, name), wanted.rank);
                    }
                }
            }
        }
        self.follow(&devices);
        let now = self.now();
        for (key, entry) in &mut self.entries {
            if !targets.contains_key(key) {
                entry.machine.leave(now);
            }
        }
        for (key, rank) in targets {
            if let Err(error) = self.open(&key, &devices) {
                self.entries.remove(&key);
                self.problem(key.0, Some(key.1), error.to_string());
                self.look = Some(now + RETRY);
                continue;
            }
            let Some(port) = self.ports.get(&key.1) else { continue };
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.machine.set_rank(now, rank);
                continue;
            }
            let entry = Entry {
                machine: Machine::new(now, port.device.mac, rank, RandomState::new().hash_one(&key)),
                known: None,
                since: Instant::now(),
            };
            self.entries.insert(key, entry);
        }
        self.attune();
        for (key, problem) in &mut self.problems {
            if let Some((_, since)) = before.get(key).filter(|(text, _)| *text == problem.0) {
                problem.1 = *since;
            } else {
                tracing::warn!(address = %key.0, device = key.1, problem = problem.0, "cannot announce");
            }
        }
        self.publish = true;
    }

    fn problem(&mut self, address: IpAddr, device: Option<String>, problem: String) {
        self.problems.insert((address, device), (problem, Instant::now()));
    }

    /// Forgets devices that went, and what was on them.
    fn follow(&mut self, devices: &Devices) {
        let now = self.now();
        self.ports.retain(|name, port| match devices.get(name) {
            Some(device) if device.usable && device.link.ifindex() == port.device.link.ifindex() => {
                port.device = device.clone();
                true
            }
            _ => false,
        });
        let ports = &self.ports;
        self.entries.retain(|(_, name), entry| match ports.get(name) {
            Some(port) => {
                entry.machine.set_mac(now, port.device.mac);
                true
            }
            None => false,
        });
    }

    fn open(&mut self, (address, name): &Key, devices: &Devices) -> io::Result<()> {
        let Some(device) = devices.get(name) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let port = self.ports.entry(name.clone()).or_insert_with(|| Port {
            device: device.clone(),
            sockets: BTreeMap::new(),
        });
        let family = Family::of(*address);
        if let MapEntry::Vacant(place) = port.sockets.entry(family) {
            place.insert(PacketSocket::open(family, &device.link)?);
        }
        Ok(())
    }

    /// Lets sockets hear what there are machines for, and closes those without.
    fn attune(&mut self) {
        let mut problems = Vec::new();
        for (name, port) in &mut self.ports {
            let here = |entry: &&Key| entry.1 == *name;
            let crowd = self.entries.keys().filter(here).count();
            port.sockets.retain(|family, socket| {
                let of_family = |key: &&Key| here(key) && Family::of(key.0) == *family;
                let addresses: Vec<_> = self.entries.keys().filter(of_family).map(|key| key.0).collect();
                if let Err(error) = socket.listen(&addresses) {
                    problems.extend(
                        addresses
                            .iter()
                            .map(|address| (*address, name.clone(), error.to_string())),
                    );
                }
                !addresses.is_empty()
            });
            for (_, entry) in self.entries.iter_mut().filter(|(key, _)| here(key)) {
                entry.machine.set_crowd(crowd);
            }
        }
        self.ports.retain(|_, port| !port.sockets.is_empty());
        if !problems.is_empty() {
            self.look = Some(self.now() + RETRY);
        }
        for (address, name, error) in problems {
            self.problem(address, Some(name), format!("cannot hear requests: {error}"));
        }
    }

    /// Reads what has come.
    fn listen(&mut self) {
        // Another device of this node may be in the same network.
        let own: BTreeSet<_> = self.ports.values().map(|port| port.device.mac).collect();
        let mut buffer = [0; FRAME];
        let mut said = Vec::new();
        for (name, port) in &self.ports {
            for socket in port.sockets.values() {
                for _ in 0..TURN {
                    match socket.receive(&mut buffer) {
                        Ok(Some(frame)) => said.extend(frame::read(frame).into_iter().map(|said| (name.clone(), said))),
                        Ok(None) => break,
                        Err(error) => {
                            // As a device says when it goes down.
                            tracing::debug!(%error, device = name, "announcements: receive");
                            self.look = Some(self.epoch.elapsed());
                            break;
                        }
                    }
                }
            }
        }
        let now = self.now();
        for (name, (address, heard)) in said {
            let (Heard::Claimed { mac }
            | Heard::Asked {
                by: Asker { mac, .. }, ..
            }) = heard;
            let key = (address, name);
            if let Some(entry) = self.entries.get_mut(&key).filter(|_| !own.contains(&mac)) {
                let say = entry.machine.heard(now, heard);
                self.say(&key, &say);
            }
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let mut said = Vec::new();
        for (key, entry) in &mut self.entries {
            if entry.machine.due().is_some_and(|due| due <= now) {
                said.push((key.clone(), entry.machine.tick(now)));
            }
        }
        for (key, say) in said {
            self.say(&key, &say);
        }
        let before = self.entries.len();
        self.entries.retain(|_, entry| !entry.machine.gone());
        if self.entries.len() != before {
            self.publish = true;
            self.attune();
        }
    }

    fn say(&mut self, (address, name): &Key, say: &[Say]) {
        let Some(port) = self.ports.get(name) else { return };
        let Some(socket) = port.sockets.get(&Family::of(*address)) else {
            return;
        };
        let frames = say.iter().flat_map(|say| frame::write(*say, *address, port.device.mac));
        for frame in frames {
            if let Err(error) = socket.send(&frame) {
                tracing::debug!(%error, device = name, "announcements: send");
                self.look = Some(self.epoch.elapsed() + Duration::from_millis(100));
            }
        }
    }

    /// Tells of what changed.
    fn publish(&mut self) {
        let now = self.now();
        for ((address, device), entry) in &mut self.entries {
            let known = (entry.machine.role(), entry.machine.other(now));
            if entry.known == Some(known) {
                continue;
            }
            let (role, other) = known;
            if entry.known.is_none_or(|(before, _)| before != role) {
                tracing::info!(%address, device, ?role, other = other.map(tracing::field::display), "announcement");
                entry.since = Instant::now();
            }
            entry.known = Some(known);
            self.publish = true;
        }
        if !std::mem::take(&mut self.publish) {
            return;
        }
        let mut problems = self.problems.clone();
        let mut all = Vec::with_capacity(self.entries.len() + problems.len());
        for ((address, device), entry) in &self.entries {
            let problem = problems.remove(&(*address, Some(device.clone())));
            let status = AnnouncementStatus {
                address: *address,
                interface: Some(device.clone()),
                role: entry.known.map(|(role, _)| role),
                seconds: 0,
                other: entry.known.and_then(|(_, other)| other).map(|mac| mac.to_string()),
                problem: problem.map(|(text, _)| text),
            };
            all.push((status, entry.since));
        }
        for ((address, interface), (problem, since)) in problems {
            let status = AnnouncementStatus {
                address,
                interface,
                role: None,
                seconds: 0,
                other: None,
                problem: Some(problem),
            };
            all.push((status, since));
        }
        *lock(&self.shared.status) = all;
    }
}
