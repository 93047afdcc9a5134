//! From YAML text to a small tree in which everything knows its line.
//!
//! The parser's event stream is used instead of its loader: a loader swallows duplicate keys, recurses as deep as the
//! text says, and expands aliases. Here a text of n bytes makes at most n nodes, whatever it says.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::{Problems, is_plain, quoted};

/// Deepest nesting; the schema needs five.
const MAX_DEPTH: usize = 32;

/// A value and the one-based line it begins on.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing written, `~` or `null`.
    Null,
    /// Text as written, quotes resolved; numbers and booleans are text until a key wants one.
    Text(String),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping, in the file's order, duplicates kept.
    Map(Vec<Entry>),
    /// Something that has been reported already: silence from here on.
    Reported,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// Reads the text's one document. `None` when it is no YAML or empty; why has been added to the problems.
pub(super) fn read(text: &str, problems: &mut Problems) -> Option<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let cleaned = refuse_control_characters(text, problems);
    let mut builder = Builder { problems, open: Vec::new(), root: None, documents: 0 };
    let mut parser = Parser::new_from_str(&cleaned);
    while let Some(next) = parser.next_event() {
        let goes_on = match next {
            Ok((event, span)) => builder.event(event, span.start.line()),
            Err(error) => {
                syntax_error(&error, &cleaned, builder.problems);
                return None;
            }
        };
        if !goes_on {
            return None;
        }
    }
    let root = builder.root.take();
    if root.is_none() && problems.list.is_empty() {
        problems.add_whole(trs!("the file is empty"), trs!("start from the sample in the README"));
    }
    root
}

/// Reports control characters, once a line, and replaces them: the parser takes a NUL for the end of the text.
fn refuse_control_characters(text: &str, problems: &mut Problems) -> String {
    let bad = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || (!is_plain(c) && !c.is_control());
    for (i, line) in text.split('\n').enumerate() {
        if let Some(c) = line.chars().find(|c| bad(*c)) {
            problems.add(
                i + 1,
                tr!("the line holds an invisible character, {character}", character = c.escape_unicode()),
                trs!("type the line again by hand; it was probably pasted"),
            );
        }
    }
    text.chars().map(|c| if bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn syntax_error(error: &ScanError, text: &str, problems: &mut Problems) {
    let line = error.marker().line().clamp(1, text.lines().count().max(1));
    let indented_by_tab = |n: usize| {
        let indent = text.lines().nth(n.saturating_sub(1)).unwrap_or_default();
        indent.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
    };
    let remedy = if indented_by_tab(line) || indented_by_tab(line + 1) {
        trs!("indent with spaces: YAML allows no tabs there")
    } else {
        trs!("look for a missing quote, bracket or space after a colon, on this line or just above it")
    };
    problems.add(line, tr!("this is not YAML: {why}", why = quoted(error.info()).trim_matches('`')), remedy);
}

/// A collection that is still open.
enum Open {
    List(usize, Vec<Value>),
    /// Line, entries, and the key that waits for its value.
    Map(usize, Vec<Entry>, Option<(String, usize)>),
    /// A collection that has been reported: what is in it is dropped.
    Dropped,
}

struct Builder<'p> {
    problems: &'p mut Problems,
    open: Vec<Open>,
    root: Option<Value>,
    documents: usize,
}

impl Builder<'_> {
    /// Takes one event in; false ends the reading.
    fn event(&mut self, event: Event<'_>, line: usize) -> bool {
        match event {
            Event::DocumentStart(_) => return self.document(line),
            Event::Alias(_) => {
                self.problems.add(
                    line,
                    trs!("aliases (`*name`) are not used in a cluster file"),
                    trs!("write the value out"),
                );
                self.insert(Value { line, kind: Kind::Reported });
            }
            Event::Scalar(text, style, _, tag) => {
                let kind = self.scalar(text.into_owned(), style, tag.as_deref(), line);
                self.insert(Value { line, kind });
            }
            Event::SequenceStart(_, tag) => return self.start(tag.as_deref(), line, Open::List(line, Vec::new())),
            Event::MappingStart(_, tag) => return self.start(tag.as_deref(), line, Open::Map(line, Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            _ => {}
        }
        true
    }

    fn document(&mut self, line: usize) -> bool {
        self.documents += 1;
        if self.documents > 1 {
            self.problems.add(
                line,
                trs!("a second document begins here"),
                trs!("keep one cluster a file, without `---` in it"),
            );
            return false;
        }
        true
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Kind {
        if self.tagged(tag, line) {
            return Kind::Reported;
        }
        if style == ScalarStyle::Plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
            return Kind::Null;
        }
        Kind::Text(text)
    }

    fn tagged(&mut self, tag: Option<&Tag>, line: usize) -> bool {
        if let Some(tag) = tag {
            let shown = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
            self.problems.add(
                line,
                tr!("the tag {shown} is not used in a cluster file", shown = quoted(&shown)),
                trs!("leave it out"),
            );
        }
        tag.is_some()
    }

    fn start(&mut self, tag: Option<&Tag>, line: usize, open: Open) -> bool {
        if self.open.len() >= MAX_DEPTH {
            self.problems.add(
                line,
                trs!("brackets are nested too deep here"),
                trs!("compare with the sample in the README"),
            );
            return false;
        }
        let dropped = self.tagged(tag, line);
        self.open.push(if dropped { Open::Dropped } else { open });
        true
    }

    fn end(&mut self, line: usize) {
        let value = match self.open.pop() {
            Some(Open::List(line, items)) => Value { line, kind: Kind::List(items) },
            Some(Open::Map(line, entries, _)) => Value { line, kind: Kind::Map(entries) },
            Some(Open::Dropped) | None => Value { line, kind: Kind::Reported },
        };
        self.insert(value);
    }

    fn insert(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::Dropped) => {}
            Some(Open::List(_, items)) => items.push(value),
            Some(Open::Map(_, entries, waiting)) => match waiting.take() {
                Some((key, line)) => entries.push(Entry { key, line, value }),
                None => *waiting = Some((key_text(&value, self.problems), value.line)),
            },
        }
    }
}

/// A key's text; what is no plain text is reported and becomes a key that nobody asks for.
fn key_text(value: &Value, problems: &mut Problems) -> String {
    match &value.kind {
        Kind::Text(text) => text.clone(),
        Kind::Reported => String::new(),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            problems.add(value.line, trs!("a key must be plain text"), trs!("write `key: value`"));
            String::new()
        }
    }
}
