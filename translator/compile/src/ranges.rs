//! Ranges of numbers, be they addresses or ports: put together, and cut into the blocks that networks and masks tell.

/// First and last number of a range.
pub(crate) type Range = (u128, u128);

/// The same numbers in ranges that neither overlap nor touch, sorted.
pub(crate) fn union(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut union: Vec<Range> = Vec::new();
    for (first, last) in ranges {
        match union.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => union.push((first, last)),
        }
    }
    union
}

/// The same numbers, of so many bits, as few blocks: their first number, and how many of the lower bits are any. The block of all
/// numbers is told in two halves, because neither a set of networks nor a mask can have it.
pub(crate) fn blocks(ranges: Vec<Range>, width: u32) -> Vec<(u128, u32)> {
    let mut blocks = Vec::new();
    for (mut first, last) in union(ranges) {
        loop {
            let aligned = first.trailing_zeros().min(width - 1);
            let size = (last - first).checked_add(1).map_or(127, u128::ilog2);
            let bits = aligned.min(size);
            blocks.push((first, bits));
            match first.checked_add(1 << bits) {
                Some(next) if next <= last => first = next,
                _ => break,
            }
        }
    }
    blocks
}
