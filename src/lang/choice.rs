//! What the locale says about the language.

use super::Lang;

/// The variables of the locale, the first one set wins (POSIX, 8.2).
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// The language of the locale, asked of `variable` (the environment, in the program). Chinese for `zh`, `zh_CN.UTF-8` and
/// any other Chinese, unless its characters are not UTF-8, which is all this program writes; English for everything else.
pub fn from_locale(variable: impl Fn(&str) -> Option<String>) -> Lang {
    let set = VARIABLES.iter().find_map(|v| variable(v).filter(|value| !value.is_empty()));
    set.map_or(Lang::English, |locale| of(&locale))
}

/// `language[_TERRITORY][.codeset][@modifier]`.
fn of(locale: &str) -> Lang {
    let (name, modifier) = locale.split_once('@').unwrap_or((locale, ""));
    let (name, codeset) = name.split_once('.').unwrap_or((name, "UTF-8"));
    let language = name.split(['_', '-']).next().unwrap_or_default();
    let utf8 = codeset.eq_ignore_ascii_case("UTF-8") || codeset.eq_ignore_ascii_case("utf8");
    if language.eq_ignore_ascii_case("zh") && utf8 && modifier.is_empty() { Lang::Chinese } else { Lang::English }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_locales_in_utf8_mean_chinese() {
        for locale in ["zh_CN.UTF-8", "zh_CN.utf8", "zh_CN", "zh", "zh_SG.UTF-8", "zh-Hans"] {
            assert_eq!(of(locale), Lang::Chinese, "{locale}");
        }
        for locale in
            ["C", "POSIX", "C.UTF-8", "en_US.UTF-8", "zh_CN.GB18030", "zh_CN.GBK", "zha_CN.UTF-8", "de_DE@euro"]
        {
            assert_eq!(of(locale), Lang::English, "{locale}");
        }
    }

    #[test]
    fn the_first_variable_set_wins_and_empty_is_not_set() {
        let told = |set: &[(&str, &str)]| {
            from_locale(|v| set.iter().find(|(name, _)| *name == v).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(told(&[]), Lang::English);
        assert_eq!(told(&[("LANG", "zh_CN.UTF-8")]), Lang::Chinese);
        assert_eq!(told(&[("LC_ALL", ""), ("LC_MESSAGES", "zh_CN.UTF-8"), ("LANG", "en_US.UTF-8")]), Lang::Chinese);
        assert_eq!(told(&[("LC_ALL", "C"), ("LC_MESSAGES", "zh_CN.UTF-8"), ("LANG", "zh_CN.UTF-8")]), Lang::English);
    }
}
