//! The record batch: from bytes to a batch and back, the codecs, and decoding that streams within a budget.
//!
//! Knows neither topics nor requests, nor who assigns offsets.
