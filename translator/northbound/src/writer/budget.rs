//! How much may be deleted at once.

use std::fmt;
use std::str::FromStr;

/// How many of its rows Meridian may delete at once, those aside whose owners stay and want other rows. More is taken for a mistake, such as an empty list from a source
/// that lost its data, and waits for somebody to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionBudget {
    /// A share of the rows owned, and never less than a floor that a small cluster needs for ordinary life.
    Share {
        /// Per cent of the rows owned.
        percent: u8,
        /// Never less than this.
        floor: usize,
    },
    /// A number of rows.
    Rows(usize),
    /// Whatever is asked for.
    Unlimited,
}

/// The floor of a budget given as a share: a node and its pods, roughly.
const FLOOR: usize = 50;

impl Default for DeletionBudget {
    fn default() -> Self {
        Self::Share {
            percent: 20,
            floor: FLOOR,
        }
    }
}

impl DeletionBudget {
    /// How many rows may go at once when `owned` are there.
    pub fn allows(self, owned: usize) -> usize {
        match self {
            Self::Share { percent, floor } => floor.max(owned.saturating_mul(percent.into()) / 100),
            Self::Rows(rows) => rows,
            Self::Unlimited => usize::MAX,
        }
    }
}

/// A text that is no budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no deletion budget: expected a number of rows, a percentage such as 20%, or unlimited")]
pub struct BudgetError(String);

impl FromStr for DeletionBudget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let error = || BudgetError(text.to_owned());
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Rows).map_err(|_| error());
        };
        match percent.parse() {
            Ok(percent @ 0..=100) => Ok(Self::Share { percent, floor: FLOOR }),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for DeletionBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share { percent, floor } => write!(f, "{percent}%, at least {floor}"),
            Self::Rows(rows) => write!(f, "{rows}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_a_fifth_may_go_and_never_less_than_fifty() {
        let budget = DeletionBudget::default();
        assert_eq!(budget.allows(10), 50);
        assert_eq!(budget.allows(1_000), 200);
    }

    #[test]
    fn budgets_are_read_as_they_are_meant() {
        assert_eq!("10".parse(), Ok(DeletionBudget::Rows(10)));
        assert_eq!("unlimited".parse(), Ok(DeletionBudget::Unlimited));
        assert_eq!("5%".parse::<DeletionBudget>().unwrap().allows(10_000), 500);
        assert!("120%".parse::<DeletionBudget>().is_err());
        assert!("many".parse::<DeletionBudget>().is_err());
    }
}
