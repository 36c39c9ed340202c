//! Selectors of labels.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use meridian_model::{Name, Requirement, Selector};

use super::FieldError;

/// Reads a selector; `field` is where it is.
pub(super) fn selector(field: &str, selector: LabelSelector) -> Result<Selector, FieldError> {
    let labels = selector.match_labels.unwrap_or_default().into_iter();
    let labels = labels.map(|(key, value)| {
        let field = || format!("{field}.matchLabels[{key:?}]");
        check(&key)
            .and(check(&value))
            .map_err(|wrong| FieldError::new(field(), wrong))?;
        Ok(Requirement::In(key.into(), [value.into()].into()))
    });
    let expressions = selector.match_expressions.unwrap_or_default().into_iter().enumerate();
    let expressions =
        expressions.map(|(at, expression)| requirement(&format!("{field}.matchExpressions[{at}]"), expression));
    labels.chain(expressions).collect()
}

/// Labels have no other characters, and selectors are written into names where others would mean something.
fn check(text: &str) -> Result<(), String> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if text.bytes().all(is_fine) {
        return Ok(());
    }
    Err(format!("{text:?} is in no label: labels have letters, digits and -_./"))
}

fn requirement(field: &str, expression: LabelSelectorRequirement) -> Result<Requirement, FieldError> {
    let LabelSelectorRequirement { key, operator, values } = expression;
    check(&key).map_err(|wrong| FieldError::new(format!("{field}.key"), wrong))?;
    let values: Box<[Name]> = values.unwrap_or_default().into_iter().map(Name::from).collect();
    for value in &values {
        check(value).map_err(|wrong| FieldError::new(format!("{field}.values"), wrong))?;
    }
    let (requirement, listed) = match operator.as_str() {
        "In" => (Requirement::In(key.into(), values.clone()), true),
        "NotIn" => (Requirement::NotIn(key.into(), values.clone()), true),
        "Exists" => (Requirement::Exists(key.into()), false),
        "DoesNotExist" => (Requirement::DoesNotExist(key.into()), false),
        other => {
            let message = format_args!("{other:?} is none of In, NotIn, Exists, DoesNotExist");
            return Err(FieldError::new(format!("{field}.operator"), message));
        }
    };
    match (listed, values.is_empty()) {
        (true, true) => Err(FieldError::new(
            format!("{field}.values"),
            format_args!("missing: {operator} needs one at least"),
        )),
        (false, false) => Err(FieldError::new(
            format!("{field}.values"),
            format_args!("{operator} takes none"),
        )),
        _ => Ok(requirement),
    }
}
