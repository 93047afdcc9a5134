//! A text in both languages.

use serde::Deserialize;

use crate::lang::{self, Lang};

/// A text in English and in Simplified Chinese, side by side in a data file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    pub zh: String,
}

impl Words {
    /// In the language of the session.
    pub fn get(&self) -> &str {
        if chinese() { &self.zh } else { &self.en }
    }
}

/// Whether the session's language is Chinese.
pub(super) fn chinese() -> bool {
    lang::current() == Lang::Chinese
}
