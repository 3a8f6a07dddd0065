//! The wire: frames, headers, every message in every version, and the schemas of internal records.
//!
//! Does not know what a message means; records inside a message stay bytes.
