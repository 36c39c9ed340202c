//! What the allocator remembers beside what is in the API: nothing that matters is lost with it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use meridian_model::ServiceKey;
use serde_json::Value;
use tokio::time::Instant;

use crate::pools::plan::{Plan, Recent, Services, Verdict};
use crate::pools::service::Service;

/// For this long whoever had an address may still be asked under it, by names that were looked up before.
const AVOIDED: Duration = Duration::from_mins(10);

/// Addresses remembered.
const MOST: usize = 4096;

/// For this long is remembered what was written.
const AGAIN: Duration = Duration::from_mins(5);

/// Which addresses were freed a short time ago.
#[derive(Debug, Default)]
pub(super) struct Recency {
    held: HashSet<IpAddr>,
    freed: VecDeque<(Instant, IpAddr)>,
}

impl Recency {
    /// The longest free first.
    pub(super) fn recent(&mut self, now: Instant) -> Recent {
        while self.freed.front().is_some_and(|(since, _)| *since + AVOIDED <= now) {
            self.freed.pop_front();
        }
        self.freed.iter().map(|(_, address)| *address).collect()
    }

    /// Takes in who has what.
    pub(super) fn note(&mut self, plan: &Plan, services: &Services, now: Instant) {
        let mut held = HashSet::new();
        for (key, decision) in &plan.decisions {
            held.extend(decision.addresses.iter().copied());
            if decision.verdict != Verdict::Released {
                held.extend(services.get(key).into_iter().flat_map(Service::held));
            }
        }
        let mut freed: Vec<IpAddr> = self.held.difference(&held).copied().collect();
        freed.sort_unstable();
        self.freed.retain(|(_, address)| !held.contains(address));
        self.freed.extend(freed.into_iter().map(|address| (now, address)));
        while self.freed.len() > MOST {
            self.freed.pop_front();
        }
        self.held = held;
    }
}

/// So often the same may be written of one service within [`AGAIN`]: whoever undoes it will undo it once more.
const PATIENT: u32 = 5;

/// What was written of services lately.
#[derive(Debug, Default)]
pub(super) struct Quarrels(HashMap<ServiceKey, (Value, u32, Instant)>);

impl Quarrels {
    /// Takes in that a status was written. Whether it was written again and again.
    pub(super) fn goes_on(&mut self, key: &ServiceKey, patch: &Value, now: Instant) -> bool {
        let said = &patch["status"]["loadBalancer"];
        self.0.retain(|_, (_, _, since)| now < *since + AGAIN);
        let entry = self.0.entry(key.clone());
        let (last, times, _) = entry.or_insert_with(|| (said.clone(), 0, now));
        if last == said {
            *times += 1;
        } else {
            (*last, *times) = (said.clone(), 1);
        }
        !said.is_null() && *times >= PATIENT
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_again_and_again_is_a_quarrel() {
        let (mut quarrels, now) = (Quarrels::default(), Instant::now());
        let web = ServiceKey::new("shop", "web");
        let patch = |address: &str| json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
        for _ in 1..PATIENT {
            assert!(!quarrels.goes_on(&web, &patch("198.51.100.1"), now));
        }
        assert!(quarrels.goes_on(&web, &patch("198.51.100.1"), now));
        assert!(!quarrels.goes_on(&web, &patch("198.51.100.2"), now));
        assert!(!quarrels.goes_on(&ServiceKey::new("shop", "api"), &patch("198.51.100.1"), now));
    }
}
