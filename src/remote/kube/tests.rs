//! The API against a small server in the process.
