//! Pure edits: text in, text out, everything else untouched.
