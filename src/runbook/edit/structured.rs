//! One value of a JSON or YAML file replaced where it stands, every other byte kept.
//!
//! A hand-written file has tabs, comments and an order of its own that no serializer gives back. So the place is found in
//! the text, and parsing is what proves it: the edited text must mean exactly the old value but for the one that was to
//! change. A mention in a comment, in another list, or behind an anchor fails that proof and is never touched.

use std::ops::Range;

use serde_yaml::Value;

use super::EditError;

/// One step down into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// An entry of a mapping.
    Name(String),
    /// An item of a list; the first one of a path is the number of the document.
    Index(usize),
}

/// From the file down to a value.
pub(super) type Path = Vec<Key>;

/// The documents of a file: one for JSON, one or more for YAML.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, EditError> {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return Ok(vec![value]);
    }
    let docs = serde_yaml::Deserializer::from_str(text).map(<Value as serde::Deserialize>::deserialize);
    let docs = docs.collect::<Result<Vec<_>, _>>().map_err(|e| EditError::Unreadable(e.to_string()))?;
    if docs.iter().all(|d| d.is_mapping() || d.is_null()) && docs.iter().any(Value::is_mapping) {
        return Ok(docs);
    }
    Err(EditError::Unreadable(trs!("it holds no mapping").into()))
}

/// Every text in the documents with the path to it, in the file's order.
pub(super) fn strings(docs: &[Value]) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    for (number, doc) in docs.iter().enumerate() {
        walk(doc, &mut vec![Key::Index(number)], &mut found);
    }
    found
}

fn walk(value: &Value, path: &mut Path, found: &mut Vec<(Path, String)>) {
    match value {
        Value::String(text) => found.push((path.clone(), text.clone())),
        Value::Sequence(items) => {
            for (number, item) in items.iter().enumerate() {
                path.push(Key::Index(number));
                walk(item, path, found);
                path.pop();
            }
        }
        Value::Mapping(entries) => {
            for (key, entry) in entries {
                let Some(name) = key.as_str() else { continue };
                path.push(Key::Name(name.to_owned()));
                walk(entry, path, found);
                path.pop();
            }
        }
        Value::Tagged(tagged) => walk(&tagged.value, path, found),
        _ => {}
    }
}

/// The value at a path.
pub(super) fn at<'v>(docs: &'v [Value], path: &[Key]) -> Option<&'v Value> {
    let (Key::Index(number), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(docs.get(*number)?, |value, key| match key {
        Key::Name(name) => value.get(name.as_str()),
        Key::Index(number) => value.get(number),
    })
}

fn at_mut<'v>(docs: &'v mut [Value], path: &[Key]) -> Option<&'v mut Value> {
    let (Key::Index(number), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(docs.get_mut(*number)?, |value, key| match key {
        Key::Name(name) => value.get_mut(name.as_str()),
        Key::Index(number) => value.get_mut(number),
    })
}

/// The file with `part` of the text at `path` replaced by `new`; `what` names it in an error.
pub(super) fn replace(
    text: &str,
    path: &[Key],
    part: &Range<usize>,
    new: &str,
    what: &str,
) -> Result<String, EditError> {
    let lost = || EditError::Elusive(what.to_owned());
    let docs = parse(text)?;
    let old = at(&docs, path).and_then(Value::as_str).ok_or_else(lost)?.to_owned();
    let (before, after) = (old.get(..part.start).ok_or_else(lost)?, old.get(part.end..).ok_or_else(lost)?);
    let whole = format!("{before}{new}{after}");
    if whole == old {
        return Ok(text.to_owned());
    }
    let mut expected = docs.clone();
    *at_mut(&mut expected, path).ok_or_else(lost)? = Value::String(whole.clone());
    let literals = literals(text, &old).into_iter().map(|r| (r, quoted(&whole)));
    // The part alone for an item that is plain, single-quoted or a block; the whole item where the part is empty.
    let piece = &old[part.clone()];
    let (search, put) = if piece.is_empty() { (old.as_str(), whole.as_str()) } else { (piece, new) };
    let plain = text.match_indices(search).map(|(at, s)| (at..at + s.len(), put.to_owned()));
    let mut right = proven(text, literals.chain(plain), &expected);
    if right.is_empty() {
        // What is plain now may need quotes: a list with commas inside of [ ].
        let plain = text.match_indices(old.as_str()).map(|(at, s)| (at..at + s.len(), quoted(&whole)));
        right = proven(text, plain, &expected);
    }
    match <[String; 1]>::try_from(right) {
        Ok([edited]) => Ok(edited),
        Err(_) => Err(lost()),
    }
}

/// The edits after which the text means what it should, each once.
fn proven(text: &str, edits: impl Iterator<Item = (Range<usize>, String)>, expected: &[Value]) -> Vec<String> {
    let mut right: Vec<String> = Vec::new();
    for (range, put) in edits {
        let edited = format!("{}{put}{}", &text[..range.start], &text[range.end..]);
        if !right.contains(&edited) && parse(&edited).is_ok_and(|docs| docs == expected) {
            right.push(edited);
        }
    }
    right
}

/// The file with an item put before the one at `path`, in the form that one has; `what` names it in an error.
pub(super) fn insert_before(text: &str, path: &[Key], item: &str, what: &str) -> Result<String, EditError> {
    let lost = || EditError::Elusive(what.to_owned());
    let docs = parse(text)?;
    let next = at(&docs, path).and_then(Value::as_str).ok_or_else(lost)?.to_owned();
    let Some((Key::Index(number), items_at)) = path.split_last() else { return Err(lost()) };
    let mut expected = docs.clone();
    let items = at_mut(&mut expected, items_at).and_then(Value::as_sequence_mut).ok_or_else(lost)?;
    items.insert(*number, Value::String(item.to_owned()));
    let literals = literals(text, &next).into_iter().map(|r| (r.start, quoted(item)));
    let plain = text.match_indices(next.as_str()).map(|(at, _)| (at, item.to_owned()));
    for (at, put) in literals.chain(plain) {
        // Single quotes stand before the item and count to what leads up to it.
        let open = if text[..at].ends_with('\'') { at - 1 } else { at };
        let put = if open < at { format!("'{put}'") } else { put };
        let line = text[..open].rfind('\n').map_or(0, |n| n + 1);
        let lead = &text[line..open];
        let edited = match lead.trim() {
            "-" => format!("{}{lead}{put}\n{}", &text[..line], &text[line..]),
            "" => format!("{}{put},\n{lead}{}", &text[..open], &text[open..]),
            _ => format!("{}{put}, {}", &text[..open], &text[open..]),
        };
        if parse(&edited).is_ok_and(|docs| docs == expected) {
            return Ok(edited);
        }
    }
    Err(lost())
}

/// Where a double-quoted literal that means `value` stands, its quotes included.
fn literals(text: &str, value: &str) -> Vec<Range<usize>> {
    let literal = |at: usize| {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<String>();
        let means = values.next()?.ok()?;
        (means == value).then(|| at..at + values.byte_offset())
    };
    text.match_indices('"').filter_map(|(at, _)| literal(at)).collect()
}

fn quoted(text: &str) -> String {
    // JSON's quoting is YAML's too. `Value`'s Display does not escape slashes, as hand-written files do not.
    serde_json::Value::String(text.to_owned()).to_string()
}

/// A value's host replaced where it is `from`: a URL or a bare address, with or without port, or several apart by commas.
/// What the value has and has not (scheme, port, path, spaces) stays.
pub fn with_host(value: &str, from: std::net::IpAddr, to: std::net::IpAddr) -> String {
    value.split(',').map(|one| one_with_host(one, from, to)).collect::<Vec<_>>().join(",")
}

fn one_with_host(url: &str, from: std::net::IpAddr, to: std::net::IpAddr) -> String {
    let begins = url.len() - url.trim_start().len();
    let host_at = url.find("://").map_or(begins, |n| n + 3);
    let (head, rest) = url.split_at(host_at);
    // `--flag=https://…` is no URL: who asks has to take the value out first, so that the flag counts.
    if !head.trim_start().trim_end_matches("://").chars().all(|c| c.is_ascii_alphanumeric() || c == '+') {
        return url.to_owned();
    }
    let ends = |tail: &str| tail.is_empty() || tail.starts_with([':', '/', ' ', '?']);
    let bracketed = |ip: std::net::IpAddr| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    if let Some(tail) = rest.strip_prefix(&bracketed(from)).filter(|t| ends(t)) {
        return format!("{head}{}{tail}", bracketed(to));
    }
    // A bare IPv6 address, such as --advertise-address has.
    let bare = rest.trim_end();
    if bare == from.to_string() { format!("{head}{to}{}", &rest[bare.len()..]) } else { url.to_owned() }
}
