//! A file of an original, made a joiner's: its address and name where it speaks of itself, every master where it lists
//! them all. What is then still said of the original is found and judged by [`mentions`].

use std::{net::IpAddr, ops::Range};

use serde_yaml::Value;

use super::{
    EditError,
    structured::{self, Key, Path, with_host},
};

/// Whose file it was, whose it becomes, and who the masters are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The original: short name, Kubernetes name, address.
    pub source: (String, String, IpAddr),
    /// The joiner, the same.
    pub joiner: (String, String, IpAddr),
    /// The masters of now: short name and address.
    pub originals: Vec<(String, IpAddr)>,
    /// The masters to be, originals first.
    pub all: Vec<IpAddr>,
}

/// Settings that list etcd's members, whatever they list now. Spelled without dashes and underscores, in lower case.
const MEMBER_LISTS: [&str; 3] = ["etcdservers", "etcdendpoints", "etcdhosts"];

/// A mention of the original in a joiner's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// One-based line.
    pub line: usize,
    /// What is mentioned.
    pub what: String,
    /// The surroundings, cut.
    pub excerpt: String,
    /// Why it is right there, if it is known.
    pub explained: Option<&'static str>,
}

/// A JSON or YAML file made the joiner's, value by value; everything else is kept to the byte.
///
/// # Errors
/// It is neither JSON nor YAML, or a value's place can't be told apart in the text.
pub fn structured_for_joiner(text: &str, who: &Who) -> Result<String, EditError> {
    let mut out = text.to_owned();
    // Each turn changes one value for good; the bound is for a value that two rules would change back and forth.
    for _ in 0..1000 {
        let docs = structured::parse(&out)?;
        let strings = structured::strings(&docs);
        let next = strings.iter().enumerate().find_map(|(number, (path, value))| {
            let before = number.checked_sub(1).map(|n| strings[n].1.as_str());
            let key = key_of(&docs, path, before);
            if is_secret(&docs, path) {
                return None;
            }
            change(value, &key, who).map(|(part, new)| (path.clone(), part, new, key))
        });
        let Some((path, part, new, key)) = next else { return Ok(out) };
        let what = if key.is_empty() { format!("`{new}`") } else { key };
        out = structured::replace(&out, &path, &part, &new, &what)?;
    }
    Err(EditError::Elusive(trs!("a value that changes without end").into()))
}

/// An environment file or a unit made the joiner's: flags and variables in lines that are no comments.
pub fn plain_for_joiner(text: &str, who: &Who) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let mut line = line.to_owned();
        while let Some((part, new)) = (!is_comment(&line)).then(|| change(&line, "", who)).flatten() {
            line.replace_range(part, &new);
        }
        line
    });
    lines.collect()
}

/// Whether a text is an environment file: nothing but comments and `NAME=value`, with continued lines.
pub fn is_environment(text: &str) -> bool {
    let mut goes_on = false;
    let mut any = false;
    let fits = text.lines().all(|line| {
        let code = line.trim_start();
        let code = code.strip_prefix("export ").unwrap_or(code);
        let name = code.split_once('=').map(|(name, _)| name);
        let fits = goes_on
            || code.trim().is_empty()
            || is_comment(line)
            || name.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        any |= name.is_some();
        goes_on = line.ends_with('\\') && !is_comment(line);
        fits
    });
    fits && any
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(['#', ';']) || line.trim_start().starts_with("//")
}

/// What a value is the value of: the mapping's key, a named entry's name, the flag before it.
fn key_of(docs: &[Value], path: &Path, before: Option<&str>) -> String {
    match path.as_slice() {
        [head @ .., Key::Name(key)] if key == "value" => {
            structured::at(docs, head).and_then(|entry| entry.get("name")?.as_str()).unwrap_or(key).to_owned()
        }
        [.., Key::Name(key)] => key.clone(),
        _ => match before.and_then(|b| b.strip_prefix("--")) {
            Some(flag) if !flag.contains(['=', ' ']) => flag.to_owned(),
            _ => String::new(),
        },
    }
}

/// A Secret's data, which is base64 and says nothing in the clear.
fn is_secret(docs: &[Value], path: &Path) -> bool {
    let [Key::Index(doc), Key::Name(data), ..] = path.as_slice() else { return false };
    data == "data" && docs.get(*doc).and_then(|d| d.get("kind")?.as_str()) == Some("Secret")
}

/// The first part of a text that has to be another for the joiner.
fn change(text: &str, key: &str, who: &Who) -> Option<(Range<usize>, String)> {
    if let Some(new) = value_for(text, key, who) {
        return Some((0..text.len(), new));
    }
    let space = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    let mut from = 0;
    while let Some(begin) = text[from..].find(|c| !space(c)).map(|n| from + n) {
        let end = text[begin..].find(space).map_or(text.len(), |n| begin + n);
        // NAME="--flag=value" is three tokens, `--flag=value` one, with the flag as its key.
        let (flag, at) = match text[begin..end].split_once('=') {
            Some((flag, _)) => (flag.trim_start_matches('-'), begin + flag.len() + 1),
            None => (flag_before(&text[..begin]).unwrap_or(""), begin),
        };
        if let Some(new) = value_for(&text[at..end], flag, who) {
            return Some((at..end, new));
        }
        from = end;
    }
    None
}

/// `--flag VALUE` and `NAME="VALUE`: what stands before a value that has no `=` of its own.
fn flag_before(text: &str) -> Option<&str> {
    let last = text.trim_end_matches([' ', '\t', '"', '\'']).split_whitespace().next_back()?;
    last.strip_prefix("--").or_else(|| last.strip_suffix('=')).filter(|f| !f.contains('='))
}

fn value_for(value: &str, key: &str, who: &Who) -> Option<String> {
    let key: String = key.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect();
    if key == "apiservercount" {
        let count = who.all.len().to_string();
        return (value.parse::<usize>().is_ok() && value != count).then_some(count);
    }
    let (from, to) = (who.source.2, who.joiner.2);
    let has = |ip: IpAddr| value.split(',').any(|one| names(one, ip));
    let listed = who.originals.iter().filter(|(_, ip)| has(*ip)).count();
    let is_members = MEMBER_LISTS.contains(&key.as_str());
    // Members that an earlier growth brought may be missing in it.
    let is_short_list = is_members && listed > 1;
    if is_short_list || (listed == who.originals.len() && (is_members || who.originals.len() > 1)) {
        return every_master(value, who);
    }
    if listed == 1 && !value.contains(',') && has(from) {
        return Some(with_host(value, from, to)).filter(|new| new != value);
    }
    if value == who.source.1 {
        return Some(who.joiner.1.clone()).filter(|new| new != value);
    }
    (value == who.source.0 && who.source.0 != who.joiner.0).then(|| who.joiner.0.clone())
}

/// The list with every master that it has not yet, in the form it has them.
fn every_master(value: &str, who: &Who) -> Option<String> {
    let like = value.split(',').rfind(|one| who.originals.iter().any(|(_, ip)| names(one, *ip)))?;
    let ip = who.originals.iter().find(|(_, ip)| names(like, *ip))?.1;
    let missing = who.all.iter().filter(|m| !value.split(',').any(|one| names(one, **m)));
    let list: Vec<_> = [value.to_owned()].into_iter().chain(missing.map(|m| with_host(like, ip, *m))).collect();
    (list.len() > 1).then(|| list.join(","))
}

/// A file of a master with every master in its lists of etcd's members; nothing else is changed. `own` is whose file it is.
///
/// # Errors
/// As [`structured_for_joiner`].
pub fn with_every_member(text: &str, who: &Who, own: &(String, String, IpAddr)) -> Result<String, EditError> {
    // What is said of itself stays as it is when it becomes its own.
    structured_for_joiner(text, &Who { source: own.clone(), joiner: own.clone(), ..who.clone() })
}

/// Whether a URL or address is at that address.
fn names(one: &str, ip: IpAddr) -> bool {
    // Any other address tells whether the host would have been replaced.
    let other = if ip.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { IpAddr::from([0; 16]) };
    ip != other && with_host(one, ip, other) != one
}

/// Where a joiner's file still mentions the original, and whether that is right there.
pub fn mentions(text: &str, who: &Who) -> Vec<Mention> {
    let address = who.source.2.to_string();
    let words: Vec<&str> = [&who.source.1, &who.source.0, &address].map(String::as_str).into();
    let mut found: Vec<Mention> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((at, what)) = words.iter().find_map(|w| Some((word_at(line, w)?, *w))) else { continue };
        let explained = match () {
            () if is_comment(line) || comment_before(line, at) => Some(trs!("a comment")),
            () if lists_all(line, what == address, who) => Some(trs!("a list of all masters")),
            () if one_of_lines(text, line, what, who) => Some(trs!("one of a list of all masters, a line each")),
            () => None,
        };
        let mention = Mention { line: number + 1, what: what.to_owned(), excerpt: excerpt(line, at), explained };
        found.push(mention);
    }
    found
}

fn comment_before(line: &str, at: usize) -> bool {
    line[..at].match_indices(" #").any(|(n, _)| line[..n].matches('"').count().is_multiple_of(2))
}

/// Whether every other original stands in the same line. With one original it takes a joiner to make it a list.
fn lists_all(line: &str, by_address: bool, who: &Who) -> bool {
    let has = |word: &str| word_at(line, word).is_some();
    match who.originals.len() {
        1 => by_address && who.all[1..].iter().any(|ip| has(&ip.to_string())),
        _ => who.originals.iter().all(|(name, ip)| if by_address { has(&ip.to_string()) } else { has(name) }),
    }
}

/// Whether every other original has a line that is the same but for the address or name and for its numbering.
fn one_of_lines(text: &str, line: &str, what: &str, who: &Who) -> bool {
    let bare = |line: &str, word: &str| {
        let line = line.replacen(word, "@", 1);
        line.trim().chars().filter(|c| !c.is_ascii_digit() && *c != ',').collect::<String>()
    };
    let same = bare(line, what);
    let others = who.originals.iter().filter(|(name, _)| *name != who.source.0);
    let mut words = others.map(|(name, ip)| match what {
        w if w == who.source.2.to_string() => ip.to_string(),
        w if w == who.source.1 => w.replacen(&who.source.0, name, 1),
        _ => name.clone(),
    });
    // A server of its own in a list of one is no list.
    who.originals.len() > 1
        && words.all(|word| text.lines().any(|l| word_at(l, &word).is_some() && bare(l, &word) == same))
}

/// Where a word stands in a line that is not part of a longer name or address.
fn word_at(line: &str, word: &str) -> Option<usize> {
    let is_address = word.parse::<IpAddr>().is_ok();
    let inside = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = line[..*at].chars().next_back();
        let mut after = line[at + word.len()..].chars();
        let next = after.next();
        let longer = is_address && next == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit());
        !before.is_some_and(|c| inside(c) || c == '.') && !next.is_some_and(inside) && !longer
    })
}

fn excerpt(line: &str, at: usize) -> String {
    let before = line[..at].chars().rev().take(40).count();
    let begin = line[..at].char_indices().rev().take(before).last().map_or(at, |(n, _)| n);
    let text: String = line[begin..].chars().take(100).collect();
    crate::remote::clean::line(text.trim())
}

/// Keys of kubeconfigs and their like whose value must not be shown.
const SECRET_KEYS: [&str; 8] =
    ["client-key-data", "token", "password", "secret", "client-secret", "id-token", "refresh-token", "access-token"];

/// The text as it may be shown: values of keys, tokens and a Secret's data are covered.
pub fn masked(text: &str) -> String {
    let Ok(docs) = structured::parse(text) else { return text.to_owned() };
    let mut out = text.to_owned();
    for (path, value) in structured::strings(&docs) {
        let named = matches!(path.last(), Some(Key::Name(key)) if SECRET_KEYS.contains(&key.as_str()));
        if !named && !is_secret_data(&docs, &path) {
            continue;
        }
        // A block of several lines is covered line by line; a word that short would cover half the file.
        for line in value.lines().filter(|l| l.len() >= 6) {
            out = out.replace(line, &tr!("(secret, {length} characters)", length = line.len()));
        }
    }
    out
}

fn is_secret_data(docs: &[Value], path: &Path) -> bool {
    let [Key::Index(doc), Key::Name(data), ..] = path.as_slice() else { return false };
    matches!(data.as_str(), "data" | "stringData")
        && docs.get(*doc).and_then(|d| d.get("kind")?.as_str()) == Some("Secret")
}

#[cfg(test)]
#[path = "joiner_tests.rs"]
mod tests;
