//! Groups, their members, and their offsets.
//!
//! Does not know how records travel.
