//! The addresses that a pod asks for by its annotation `meridian.dev/ips`.
//!
//! A range or a network says where the pods of a StatefulSet have theirs: the first one's is its first address, and so on by
//! the pods' ordinals. So what a pod asks for follows from the pod alone.

use std::net::IpAddr;

use meridian_api::range::AddressRange;
use meridian_model::Pod;

use crate::ip;

/// The annotation as a field of the pod.
pub(crate) const FIELD: &str = "metadata.annotations[meridian.dev/ips]";

/// The label of a StatefulSet's pod that has its ordinal, from Kubernetes 1.28 on.
const ORDINAL: &str = "apps.kubernetes.io/pod-index";

/// The addresses, at most one per family; none if it asks for none.
pub(crate) fn addresses(pod: &Pod) -> Option<Result<Box<[IpAddr]>, String>> {
    let text = pod.fixed_ips.as_deref().filter(|text| !text.trim().is_empty())?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for word in text.split(',') {
        let address = match address(word, pod) {
            Ok(address) => address,
            Err(message) => return Some(Err(message)),
        };
        if let Some(first) = addresses.iter().find(|first| first.is_ipv4() == address.is_ipv4()) {
            return Some(Err(format!(
                "{address} is a second address of its family beside {first}: a pod has one per family"
            )));
        }
        addresses.push(address);
    }
    Some(Ok(addresses.into()))
}

fn address(word: &str, pod: &Pod) -> Result<IpAddr, String> {
    let range: AddressRange = word.trim().parse().map_err(|error| {
        format!("{error}; write it like \"10.20.0.17,fd00:20::17\", or for a StatefulSet \"10.20.0.16-10.20.0.31\"")
    })?;
    if range.len() == 1 {
        return Ok(range.first());
    }
    let ordinal = ordinal(pod).ok_or_else(|| {
        format!(
            "{range} is a range, of which the ordinal of a StatefulSet's pod chooses, and the pod has none, neither in the label \
             {ORDINAL} nor at the end of its name: write one address"
        )
    })?;
    if ordinal >= range.len() {
        return Err(format!(
            "{range} has {} addresses, and none for the pod with ordinal {ordinal}: make the range larger, or the \
             StatefulSet smaller",
            range.len()
        ));
    }
    let whole = ip::everything(range.first().is_ipv4());
    let first = ip::offset(whole, range.first()).unwrap_or_default();
    Ok(ip::nth(whole, first + ordinal))
}

fn ordinal(pod: &Pod) -> Option<u128> {
    let label = pod.labels.get(ORDINAL).map(|label| &**label);
    let suffix = || pod.name.rsplit_once('-').map(|(_, suffix)| suffix);
    let text = label.or_else(suffix)?;
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Vec<String>, String> {
        let pod = Pod::test("shop", name).asking_for(text);
        let found = addresses(&pod).unwrap();
        found.map(|ips| ips.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_address_of_each_family_is_read() {
        assert_eq!(
            of("db", "10.20.0.17, fd00:20::17").unwrap(),
            ["10.20.0.17", "fd00:20::17"]
        );
        assert_eq!(of("db", "10.20.0.17/32").unwrap(), ["10.20.0.17"]);
        assert_eq!(addresses(&Pod::test("shop", "db")), None);
        assert_eq!(addresses(&Pod::test("shop", "db").asking_for(" ")), None);
    }

    #[test]
    fn the_ordinal_chooses_of_a_range() {
        assert_eq!(of("db-0", "10.20.0.16-10.20.0.31").unwrap(), ["10.20.0.16"]);
        assert_eq!(
            of("db-15", "10.20.0.16/28,fd00::/64").unwrap(),
            ["10.20.0.31", "fd00::f"]
        );
        let mut pod = Pod::test("shop", "db-7").asking_for("10.20.0.16/28");
        pod.labels = [(ORDINAL, "3")].into_iter().collect();
        assert_eq!(addresses(&pod), Some(Ok(["10.20.0.19".parse().unwrap()].into())));
    }

    #[test]
    fn what_leads_to_no_address_says_why() {
        assert!(
            of("db-16", "10.20.0.16/28")
                .unwrap_err()
                .contains("none for the pod with ordinal 16")
        );
        assert!(of("db", "10.20.0.16/28").unwrap_err().contains("the pod has none"));
        assert!(of("db-x1", "10.20.0.16/28").unwrap_err().contains("the pod has none"));
        assert!(
            of("db", "10.20.0.17,10.20.0.18")
                .unwrap_err()
                .contains("a second address")
        );
        assert!(of("db", "pool").unwrap_err().contains("write it like"));
        assert!(of("db", "10.20.0.17,").unwrap_err().contains("write it like"));
    }
}
