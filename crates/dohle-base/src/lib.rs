//! The nouns that every other room speaks in: ids, offsets, epochs, sizes, time values, Kafka's error
//! codes, a seeded generator of random numbers, configuration keys and metric cells.
//!
//! Knows no IO, no clock and nothing above it: values in, values out.
