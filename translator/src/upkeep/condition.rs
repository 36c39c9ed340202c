//! Conditions in the status of an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The API takes no more bytes than this as a condition's message.
const MESSAGE: usize = 32_768;

/// What a condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) is: bool,
    /// In one word.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

/// Sets one condition among those of others, which stay. Its time changes only with its status.
pub(crate) fn set(conditions: &mut Vec<Condition>, of: &str, verdict: &Verdict, generation: Option<i64>) {
    let status = if verdict.is { "True" } else { "False" };
    let known = conditions.iter_mut().find(|condition| condition.type_ == of);
    let since = known.as_ref().filter(|known| known.status == status);
    let condition = Condition {
        type_: of.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: shortened(&verdict.message),
        observed_generation: generation,
        last_transition_time: since.map_or_else(|| Time(Timestamp::now()), |known| known.last_transition_time.clone()),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// As much of a message as the API takes.
pub(crate) fn shortened(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(is: bool, message: &str) -> Verdict {
        Verdict {
            is,
            reason: "Because",
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_condition_changes_its_time_only_with_its_status_and_those_of_others_stay() {
        let then = Time(Timestamp::UNIX_EPOCH);
        let other = Condition {
            type_: "Audited".into(),
            status: "True".into(),
            reason: "ByHand".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: then.clone(),
        };
        let mut conditions = vec![other.clone()];
        set(&mut conditions, "Ready", &verdict(true, "a"), Some(1));
        conditions[1].last_transition_time = then.clone();
        set(&mut conditions, "Ready", &verdict(true, "b"), Some(2));
        assert_eq!(conditions[0], other);
        assert_eq!(conditions.len(), 2);
        let ready = &conditions[1];
        assert_eq!((&*ready.message, ready.observed_generation), ("b", Some(2)));
        assert_eq!(ready.last_transition_time, then);
        set(&mut conditions, "Ready", &verdict(false, "c"), Some(2));
        assert_ne!(conditions[1].last_transition_time, then);
    }

    #[test]
    fn a_message_is_no_longer_than_the_api_takes() {
        let message = shortened(&"ä".repeat(MESSAGE));
        assert!(message.len() <= MESSAGE && message.len() > MESSAGE - 2);
    }
}
