//! Ports in the words of a match: ranges as values with a mask, which, unlike comparisons, one of a set may be.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::ranges;

/// The elements of a set that has exactly these ports; none of no ports.
pub(crate) fn set(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> String {
    let ranges = ranges
        .into_iter()
        .filter(|range| !range.is_empty())
        .map(|range| (u128::from(*range.start()), u128::from(*range.end())));
    let mut text = String::new();
    for (port, bits) in ranges::blocks(ranges.collect(), u16::BITS) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing into a string cannot fail.
        let _ = match bits {
            0 => write!(text, "{port}"),
            // A mask has the format of the value.
            _ => write!(text, "{port:#x}/{:#x}", (0xffff << bits) & 0xffff),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_is_told_by_masks() {
        assert_eq!(set([80..=80, 443..=443]), "80, 443");
        assert_eq!(set([1000..=1003]), "0x3e8/0xfffc");
        assert_eq!(
            set([0..=u16::MAX]),
            "0x0/0x8000, 0x8000/0x8000",
            "a mask of nothing is none"
        );
        assert_eq!(set([80..=81, 80..=80, 81..=82]), "0x50/0xfffe, 82");
        assert_eq!(set([]), "");
    }

    proptest! {
        #[test]
        fn a_port_is_in_the_set_if_a_range_has_it(
            ranges in prop::collection::vec((0u16..300, 0u16..300), 0..5),
            port in 0u16..320,
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(a, b)| a.min(b)..=a.max(b)).collect();
            let text = set(ranges.clone());
            let has = |element: &str| match element.split_once('/') {
                Some((value, mask)) => {
                    let [value, mask] =
                        [value, mask].map(|hex| u16::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap());
                    port & mask == value
                }
                None => port == element.parse::<u16>().unwrap(),
            };
            let found = text.split(", ").filter(|element| !element.is_empty() && has(element)).count();
            prop_assert_eq!(found, usize::from(ranges.iter().any(|range| range.contains(&port))), "{}", text);
        }
    }
}
