//! [`Ledger`]: which complaints there are, what has been told of them, and what is to be told when.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::complaint::Complaint;

/// What is over by itself within this time nobody has to be told: a pod that is known before its node, an address that is
/// free in a moment.
const SETTLE: Duration = Duration::from_secs(2);

/// A complaint that lasts is told again, less often each time, but always before the API server forgets the event, which
/// it does after an hour.
const AGAIN: (Duration, Duration) = (Duration::from_mins(5), Duration::from_mins(30));

/// Complaints that are kept in mind. More of them wait until some are settled.
const MOST: usize = 2_000;

/// The last that was told of a complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The event's name.
    pub(super) event: String,
    /// How often it was told, if we know.
    pub(super) count: Option<i32>,
}

#[derive(Debug)]
struct Entry {
    /// Whether it is one at present.
    stands: bool,
    /// Not to be told before.
    due: Instant,
    /// How long after the next time.
    again: Duration,
    told: Option<Told>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<Complaint, Entry>);

impl Ledger {
    /// Takes over the complaints of now.
    pub(super) fn replace(&mut self, complaints: Vec<Complaint>, now: Instant) {
        let complaints: BTreeSet<Complaint> = complaints.into_iter().collect();
        // What was told is remembered until it may be told again, lest what comes and goes be told each time.
        self.0.retain(|complaint, entry| {
            entry.stands = complaints.contains(complaint);
            entry.stands || (entry.told.is_some() && entry.due > now)
        });
        for complaint in complaints {
            if self.0.len() >= MOST {
                break;
            }
            self.0.entry(complaint).or_insert(Entry {
                stands: true,
                due: now + SETTLE,
                again: AGAIN.0,
                told: None,
            });
        }
    }

    /// The next to be told, and when.
    pub(super) fn next(&self) -> Option<(Instant, Complaint)> {
        let standing = self.0.iter().filter(|(_, entry)| entry.stands);
        let (complaint, entry) = standing.min_by_key(|(_, entry)| entry.due)?;
        Some((entry.due, complaint.clone()))
    }

    /// What was last told of a complaint.
    pub(super) fn last(&self, complaint: &Complaint) -> Option<&Told> {
        self.0.get(complaint)?.told.as_ref()
    }

    /// Notes that it was told.
    pub(super) fn told(&mut self, complaint: &Complaint, told: Told, now: Instant) {
        if let Some(entry) = self.put_off(complaint, now) {
            entry.told = Some(told);
        }
    }

    /// Notes that there is nobody to tell.
    pub(super) fn moot(&mut self, complaint: &Complaint, now: Instant) {
        self.put_off(complaint, now);
    }

    fn put_off(&mut self, complaint: &Complaint, now: Instant) -> Option<&mut Entry> {
        let entry = self.0.get_mut(complaint)?;
        entry.due = now + entry.again;
        entry.again = (entry.again * 2).min(AGAIN.1);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::complaint::Subject;

    fn complaint(pod: &str) -> Complaint {
        Complaint {
            subject: Subject::Pod,
            namespace: "shop".into(),
            name: pod.into(),
            reason: "FailedAddressAllocation",
            action: "AllocateAddress",
            note: "no free address".into(),
        }
    }

    fn told(count: i32) -> Told {
        Told {
            event: "web.1".into(),
            count: Some(count),
        }
    }

    /// The pod that is due at a time.
    fn due(ledger: &Ledger, now: Instant) -> Option<String> {
        let (due, complaint) = ledger.next()?;
        (due <= now).then_some(complaint.name)
    }

    #[test]
    fn what_is_over_at_once_is_not_told() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        ledger.replace(vec![complaint("web")], start);
        assert_eq!(due(&ledger, start), None);
        ledger.replace(Vec::new(), start + SETTLE / 2);
        assert_eq!(ledger.next(), None);
    }

    #[test]
    fn what_lasts_is_told_again_less_and_less_often() {
        let (mut ledger, mut now) = (Ledger::default(), Instant::now());
        ledger.replace(vec![complaint("web")], now);
        let mut minutes = Vec::new();
        for count in 1..6 {
            let (next, web) = ledger.next().unwrap();
            minutes.push((next - now).as_secs() / 60);
            now = next;
            ledger.told(&web, told(count), now);
            // Whatever else happens meanwhile.
            ledger.replace(vec![complaint("web"), complaint("db")], now);
            ledger.replace(vec![complaint("web")], now);
        }
        assert_eq!(minutes, [0, 5, 10, 20, 30]);
        assert_eq!(ledger.last(&complaint("web")), Some(&told(5)));
    }

    #[test]
    fn what_comes_and_goes_is_told_no_more_often_than_what_stays() {
        let (mut ledger, mut now) = (Ledger::default(), Instant::now());
        let first = now + SETTLE;
        ledger.replace(vec![complaint("web")], now);
        ledger.told(&complaint("web"), told(1), first);
        while now < first + AGAIN.0 - Duration::from_secs(20) {
            now += Duration::from_secs(10);
            ledger.replace(Vec::new(), now);
            assert_eq!(ledger.next(), None);
            ledger.replace(vec![complaint("web")], now);
            assert_eq!(due(&ledger, now), None);
        }
        assert_eq!(due(&ledger, first + AGAIN.0).as_deref(), Some("web"));
        assert_eq!(ledger.last(&complaint("web")), Some(&told(1)));
    }

    #[test]
    fn what_was_settled_long_ago_is_forgotten() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        ledger.replace(vec![complaint("web")], start);
        ledger.told(&complaint("web"), told(1), start);
        ledger.replace(Vec::new(), start + AGAIN.0);
        assert_eq!(ledger.last(&complaint("web")), None);
    }

    #[test]
    fn a_pod_that_is_gone_is_not_asked_for_over_and_over() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        ledger.replace(vec![complaint("web")], start);
        ledger.moot(&complaint("web"), start);
        assert_eq!(ledger.next().unwrap().0, start + AGAIN.0);
    }

    #[test]
    fn no_number_of_complaints_makes_it_grow_without_end() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let many: Vec<_> = (0..MOST + 100).map(|n| complaint(&format!("p{n:05}"))).collect();
        ledger.replace(many.clone(), start);
        assert_eq!(ledger.0.len(), MOST);
        // The rest gets its turn.
        ledger.replace(many[200..].to_vec(), start);
        assert!(ledger.0.contains_key(&many[MOST + 50]));
    }
}
