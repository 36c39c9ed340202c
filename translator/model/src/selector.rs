//! [`Selector`]: what a `LabelSelector` says (`meta/v1`).

use std::fmt;

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
    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the selector selects what has these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn sorted(mut self) -> Self {
        if let Self::In(_, values) | Self::NotIn(_, values) = &mut self {
            let mut sorted = std::mem::take(values).into_vec();
            sorted.sort_unstable();
            sorted.dedup();
            *values = sorted.into();
        }
        self
    }

    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.get(key).is_some(),
            Self::DoesNotExist(key) => labels.get(key).is_none(),
        }
    }
}

/// As `kubectl get --selector` takes it.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("everything");
        }
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[Name]| values.iter().map(|value| &**value).collect::<Vec<_>>().join(",");
        match self {
            Self::In(key, values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
            Self::In(key, values) => write!(f, "{key} in ({})", list(values)),
            Self::NotIn(key, values) => write!(f, "{key} notin ({})", list(values)),
            Self::Exists(key) => f.write_str(key),
            Self::DoesNotExist(key) => write!(f, "!{key}"),
        }
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<T: IntoIterator<Item = Requirement>>(requirements: T) -> Self {
        // Two that say the same in another order are one.
        let mut requirements: Vec<_> = requirements.into_iter().map(Requirement::sorted).collect();
        requirements.sort_unstable();
        requirements.dedup();
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
    fn a_selector_is_written_as_kubectl_takes_it() {
        let requirements = [
            Requirement::In("a".into(), names(&["1"])),
            Requirement::In("b".into(), values_of("1 2")),
            Requirement::Exists("c".into()),
            Requirement::DoesNotExist("d".into()),
        ];
        let selector: Selector = requirements.into_iter().collect();
        assert_eq!(selector.to_string(), "a=1,b in (1,2),c,!d");
        assert_eq!(Selector::default().to_string(), "everything");
    }

    fn values_of(text: &str) -> Box<[Name]> {
        text.split(' ').map(Name::from).collect()
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
