//! The language of what the operator reads: English, as it stands in the code, or Simplified Chinese.
//!
//! How to write a text:
//!
//! 1. `tr!("{host}: cannot be reached at {address}: {why}", host = node.name, address = at, why = e)` makes a `String`. The
//!    English text is the key, and the compiler checks its placeholders. All are named, passed as `name = value`, and
//!    have no format of their own: write `why = format_args!("{e:?}")` for one, and `{{` for a brace.
//! 2. Counts: `tr!("one learner" | "{n} learners" % count, host = host)`. `{n}` is the count.
//! 3. `trs!("done")` makes a `&'static str` of a text without placeholders, for names of enum cases and the like. A
//!    constant holds `mark!("done")`, and [`words`] translates it where it is shown.
//! 4. The Chinese goes to `assets/lang/zh/ROOM.yaml`, as `"English text": "中文"`, with the same placeholders (of a count,
//!    the plural's text is the key). `cargo test --test lang` names what is missing, differs or is left over.
//! 5. In thiserror: `#[error("{}", tr!("{host}: no answer; look at it", host = host))]`; fields are in scope by name, those
//!    of a tuple as `_0`.
//! 6. Never translate: keys of journal, JSON and files, commands, what a host says. Never compare translated text. Names
//!    stay English: etcd, apiserver, SAN, learner's RPC names, paths, flags.
//! 7. Never join sentences from fragments: other languages have another order. Chinese takes two columns a character.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU8, Ordering},
    },
};

mod both;
mod choice;
mod wrap;

pub use both::Words;
pub use choice::from_locale;
pub use wrap::separator;

/// A language the operator can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English, the language of the sources.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Lang {
    /// Every language there is.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// How `--lang` and the cluster file name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The language of that code, as `--lang` and the cluster file take it.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|l| l.code() == code)
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

static CURRENT: AtomicU8 = AtomicU8::new(0);

/// Chooses the language of the whole process. Called at start, before a screen is shown: texts made earlier stay as they
/// are.
pub fn choose(lang: Lang) {
    match lang {
        Lang::English => tr::unset_translator!(),
        Lang::Chinese => tr::set_translator!(Chinese),
    }
    CURRENT.store(lang as u8, Ordering::Relaxed);
}

/// The language chosen; English unless somebody chose.
pub fn current() -> Lang {
    if CURRENT.load(Ordering::Relaxed) == Lang::Chinese as u8 { Lang::Chinese } else { Lang::English }
}

/// The Chinese texts, a file a room.
pub const CHINESE: [(&str, &str); 13] = [
    ("app", include_str!("../../assets/lang/zh/app.yaml")),
    ("cast", include_str!("../../assets/lang/zh/cast.yaml")),
    ("cli", include_str!("../../assets/lang/zh/cli.yaml")),
    ("cluster", include_str!("../../assets/lang/zh/cluster.yaml")),
    ("engine", include_str!("../../assets/lang/zh/engine.yaml")),
    ("pki", include_str!("../../assets/lang/zh/pki.yaml")),
    ("practice", include_str!("../../assets/lang/zh/practice.yaml")),
    ("remote", include_str!("../../assets/lang/zh/remote.yaml")),
    ("runbook", include_str!("../../assets/lang/zh/runbook.yaml")),
    ("survey", include_str!("../../assets/lang/zh/survey.yaml")),
    ("training", include_str!("../../assets/lang/zh/training.yaml")),
    ("ui", include_str!("../../assets/lang/zh/ui.yaml")),
    ("watch", include_str!("../../assets/lang/zh/watch.yaml")),
];

/// A file that does not parse is one without texts: a test holds that each does, and a run must not end over words.
static CATALOG: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    CHINESE.iter().flat_map(|(_, text)| serde_yaml::from_str::<HashMap<_, _>>(text).unwrap_or_default()).collect()
});

/// A text that is not known when this is built (clap's) in the language chosen; `None` where English stands.
pub fn lookup(text: &str) -> Option<&'static str> {
    match current() {
        Lang::English => None,
        Lang::Chinese => chinese(text),
    }
}

fn chinese(text: &str) -> Option<&'static str> {
    CATALOG.get(text).map(String::as_str)
}

/// A marked text in the language chosen; itself where it has no translation.
pub fn words(text: &'static str) -> &'static str {
    match current() {
        Lang::English => text,
        Lang::Chinese => chinese(text).unwrap_or(text),
    }
}

/// The Chinese catalog behind [`tr!`](crate::tr).
struct Chinese;

impl tr::Translator for Chinese {
    fn translate<'a>(&'a self, text: &'a str, _context: Option<&'a str>) -> Cow<'a, str> {
        Cow::Borrowed(chinese(text).unwrap_or(text))
    }

    /// Chinese has no plural: the plural's text is the key of both.
    fn ntranslate<'a>(&'a self, n: u64, one: &'a str, many: &'a str, _context: Option<&'a str>) -> Cow<'a, str> {
        Cow::Borrowed(chinese(many).unwrap_or(if n == 1 { one } else { many }))
    }
}

/// A text in the language chosen, its placeholders filled in; see [`crate::lang`].
#[macro_export]
macro_rules! tr {
    ($text:literal $(,)?) => {{
        // The compiler reads it as a format: a placeholder without its value does not build.
        let _ = ::std::format_args!($text);
        // The comma is for `{{`: without one the text would not be read as a format.
        ::tr::tr!($text,)
    }};
    ($text:literal, $($name:ident = $value:expr),+ $(,)?) => {
        // Values are worked out here, not in the closure that the inner macro makes.
        match ($(&$value,)+) {
            ($($name,)+) => {
                let _ = ::std::format_args!($text, $($name = $name),+);
                ::tr::tr!($text, $($name = $name),+)
            }
        }
    };
    ($one:literal | $many:literal % $n:expr $(, $name:ident = $value:expr)* $(,)?) => {
        match ($n, $(&$value,)*) {
            (n, $($name,)*) => {
                let _ = ::std::format_args!($many, n = n $(, $name = $name)*);
                ::tr::tr!($one | $many % n, $($name = $name,)* n = n)
            }
        }
    };
}

/// A text without placeholders in the language chosen, as a `&'static str`; see [`crate::lang`].
#[macro_export]
macro_rules! trs {
    ($text:literal) => {
        $crate::lang::words($text)
    };
}

/// Marks a constant's text for translation; [`crate::lang::words`] translates it where it is shown.
#[macro_export]
macro_rules! mark {
    ($text:literal) => {
        $text
    };
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;

    use super::*;

    #[test]
    fn english_is_what_stands_in_the_code() {
        let host = "master04";
        assert_eq!(tr!("{host}: a {{brace}} and {what}", host = host, what = 1 + 1), "master04: a {brace} and 2");
        assert_eq!(tr!("no {{placeholder}}"), "no {placeholder}");
        let learners = |n: usize| tr!("one learner on {host}" | "{n} learners on {host}" % n, host = host);
        assert_eq!([learners(1), learners(2)], ["one learner on master04", "2 learners on master04"]);
        assert_eq!([trs!("done"), words(mark!("done"))], ["done", "done"]);
    }

    #[test]
    fn errors_have_their_fields_in_scope() {
        #[derive(Debug, thiserror::Error)]
        enum Wrong {
            #[error("{}", tr!("{host}: {n} things are wrong", host = host, n = things.len()))]
            Named { host: String, things: Vec<u8> },
            #[error("{}", tr!("{what} is wrong", what = _0))]
            Tuple(String),
        }
        let told = [&Wrong::Named { host: "a".into(), things: vec![1] } as &dyn Display, &Wrong::Tuple("b".into())];
        assert_eq!(told.map(ToString::to_string), ["a: 1 things are wrong", "b is wrong"]);
    }

    #[test]
    fn codes_lead_back_to_their_language() {
        assert!(Lang::ALL.iter().all(|l| Lang::from_code(l.code()) == Some(*l)));
        assert_eq!(Lang::from_code("fr"), None);
    }
}
