//! A text in both languages.

use serde::Deserialize;

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
pub(crate) fn chinese() -> bool {
    false
}

/// A text of the code in both languages: `both!("{n} points", "{n} 分", n = points)` makes a `String`.
macro_rules! both {
    ($en:literal, $zh:literal $(, $name:ident = $value:expr)* $(,)?) => {
        if $crate::training::chinese() { format!($zh $(, $name = $value)*) } else { format!($en $(, $name = $value)*) }
    };
}
pub(crate) use both;
