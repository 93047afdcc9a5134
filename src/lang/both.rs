//! A text in both languages, side by side in a data file.

use serde::Deserialize;

use super::{Lang, current};

/// A text in English and in Simplified Chinese. In YAML `{ en: …, zh: … }`, or one text for both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Written")]
pub struct Words {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    pub zh: String,
}

/// As it may stand in a file. Somebody's own scenario has one language.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or `{ en: …, zh: … }`")]
enum Written {
    One(String),
    Both(Both),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Both {
    en: String,
    zh: String,
}

impl From<Written> for Words {
    fn from(written: Written) -> Self {
        match written {
            Written::One(text) => Self { en: text.clone(), zh: text },
            Written::Both(Both { en, zh }) => Self { en, zh },
        }
    }
}

impl Words {
    /// In the language of the session.
    pub fn get(&self) -> &str {
        if current() == Lang::Chinese { &self.zh } else { &self.en }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_stands_for_both_languages_and_half_a_pair_for_none() {
        let one: Words = serde_yaml::from_str("my own").unwrap();
        assert_eq!((one.en.as_str(), one.zh.as_str()), ("my own", "my own"));
        let both: Words = serde_yaml::from_str("{ en: mine, zh: 我的 }").unwrap();
        assert_eq!((both.en.as_str(), both.zh.as_str()), ("mine", "我的"));
        for wrong in ["{ en: mine }", "{ en: mine, zh: 我的, de: meins }"] {
            assert!(serde_yaml::from_str::<Words>(wrong).unwrap_err().to_string().contains("zh"), "{wrong}");
        }
    }
}
