//! What the tests of this crate need of certificates.

use std::path::Path;

/// A file of `tests/fixtures/pki`, made by the `make.sh` there. Valid from the day it was made: take the clock from it.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pki").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
