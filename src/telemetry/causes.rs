//! Formats an error with all its causes on one line.

use std::error::Error;

/// Returns the message of `error` and those of its causes, separated by colons. Some errors of libraries repeat their
/// cause. It is written once.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::with_causes;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] KafkaError);

    #[test]
    fn every_cause_is_written_once() {
        let code = RDKafkaErrorCode::BrokerTransportFailure;
        let text = with_causes(&Outer(KafkaError::MetadataFetch(code)));
        assert!(text.starts_with("the outer one: "), "{text}");
        assert_eq!(text.matches("Broker transport failure").count(), 1, "{text}");
    }
}
