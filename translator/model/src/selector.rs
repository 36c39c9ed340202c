//! [`Selector`]: what a `LabelSelector` says (`meta/v1`).

use crate::{Labels, Name};

/// A selector of labels: all of its requirements hold. One without requirements selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Box<[Requirement]>);

/// What is asked of one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The label has one of these values.
    In(Name, Box<[Name]>),
    /// The label has none of these values, or is not there.
    NotIn(Name, Box<[Name]>),
    /// The label is there.
    Exists(Name),
    /// The label is not there.
    DoesNotExist(Name),
}

impl Selector {
    /// Whether the selector selects what has these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.get(key).is_some(),
            Self::DoesNotExist(key) => labels.get(key).is_none(),
        }
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<T: IntoIterator<Item = Requirement>>(requirements: T) -> Self {
        let mut requirements: Vec<_> = requirements.into_iter().collect();
        requirements.sort_unstable();
        Self(requirements.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    fn names(values: &[&str]) -> Box<[Name]> {
        values.iter().map(|&value| value.into()).collect()
    }

    #[test]
    fn requirements_mean_what_kubernetes_says() {
        let is = |requirement: Requirement, pairs: &[(&str, &str)]| {
            Selector::from_iter([requirement]).matches(&labels(pairs))
        };
        let values = || names(&["a", "b"]);
        assert!(is(Requirement::In("k".into(), values()), &[("k", "b")]));
        assert!(!is(Requirement::In("k".into(), values()), &[("k", "c")]));
        assert!(!is(Requirement::In("k".into(), values()), &[]));
        assert!(is(Requirement::NotIn("k".into(), values()), &[]));
        assert!(!is(Requirement::NotIn("k".into(), values()), &[("k", "a")]));
        assert!(is(Requirement::Exists("k".into()), &[("k", "")]));
        assert!(is(Requirement::DoesNotExist("k".into()), &[("other", "")]));
    }

    #[test]
    fn all_requirements_count_and_none_selects_everything() {
        let both: Selector = [Requirement::Exists("a".into()), Requirement::Exists("b".into())]
            .into_iter()
            .collect();
        assert!(!both.matches(&labels(&[("a", "1")])));
        assert!(both.matches(&labels(&[("a", "1"), ("b", "2")])));
        assert!(Selector::default().matches(&labels(&[])));
    }
}
