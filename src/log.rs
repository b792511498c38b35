//! Kafka: the consumer, the transaction, the restore, the topics.

mod settings;

pub use settings::{KafkaSettings, TopicNames};
