//! An operation as the exact POSIX shell that runs, quoting in one place.
