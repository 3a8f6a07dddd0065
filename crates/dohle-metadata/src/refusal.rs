//! A command that was understood and is not carried out.

use std::fmt;

use dohle_base::ErrorCode;

/// Why not: the code for the client's program and a sentence for the person behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client's program sees.
    pub code: ErrorCode,
    /// What a person sees: names the thing and, where there is one, the way out.
    pub message: String,
}

impl Refusal {
    /// A refusal with these words.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}
