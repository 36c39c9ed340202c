//! The mark by which Meridian knows its chassis from those of others.
//!
//! It is a word of `ovn-cms-options`. The agent puts it into `Open_vSwitch.external_ids`, ovn-controller copies the list
//! to `Chassis.other_config` in the Southbound database (ovn-controller(8)), and there the translator finds it.

/// The key, in both databases, of a list of words that others may write to as well.
pub const CMS_OPTIONS: &str = "ovn-cms-options";

const WORD: &str = "meridian-node";

/// The word: `meridian-node`, and with a cluster id `meridian-node:<id>`.
pub fn mark(cluster: Option<&str>) -> String {
    match cluster {
        Some(id) => format!("{WORD}:{id}"),
        None => WORD.to_owned(),
    }
}

/// Whether a list has this mark and no other cluster's.
pub fn is_marked(options: &str, mark: &str) -> bool {
    let mut marks = words(options).filter(|word| is_mark(word)).peekable();
    marks.peek().is_some() && marks.all(|word| word == mark)
}

/// The list with this mark and no other cluster's. Words of others stay, in their order; a list that is right stays as
/// it is, whatever its blanks.
pub fn with_mark(options: &str, mark: &str) -> String {
    if is_marked(options, mark) {
        return options.to_owned();
    }
    let others = words(options).filter(|word| !is_mark(word));
    others.chain([mark]).collect::<Vec<_>>().join(",")
}

fn words(options: &str) -> impl Iterator<Item = &str> {
    options.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn is_mark(word: &str) -> bool {
    word.strip_prefix(WORD)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_of_the_same_cluster_counts() {
        let (none, east) = (mark(None), mark(Some("east")));
        assert!(is_marked("enable-chassis-as-gw, meridian-node", &none));
        assert!(is_marked("meridian-node:east", &east));
        for options in [
            "",
            "meridian-node:east",
            "meridian-nodes",
            "meridian-node,meridian-node:east",
        ] {
            assert!(!is_marked(options, &none), "{options:?}");
        }
        assert!(!is_marked("meridian-node", &east));
        assert!(!is_marked("meridian-node:eastern", &east));
    }

    #[test]
    fn words_of_others_stay_beside_the_mark() {
        let east = mark(Some("east"));
        assert_eq!(with_mark("", &east), "meridian-node:east");
        assert_eq!(
            with_mark("enable-chassis-as-gw,card:a", &east),
            "enable-chassis-as-gw,card:a,meridian-node:east"
        );
        assert_eq!(with_mark("meridian-node,b", &east), "b,meridian-node:east");
        assert_eq!(with_mark("a, meridian-node:east ,b", &east), "a, meridian-node:east ,b");
    }
}
