//! The workshop: code generation, layers, tidiness, seeds, suites of foreign clients.
