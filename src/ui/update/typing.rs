//! Lines that are typed: finding a step, finding text, a filter; and the palette.

use crate::{
    lang,
    ui::{
        keys::{self, Action, Binding},
        model::{Model, Palette, Panel, Prompt, PromptKind},
    },
};

/// Opens a line to type in.
pub fn open(model: &mut Model, kind: PromptKind) {
    let before = match kind {
        PromptKind::Step => String::new(),
        PromptKind::Text => model.journal.needle.clone(),
        PromptKind::Filter => model.journal.filter_text.clone(),
    };
    // A filter is changed more often than written anew.
    let typed = if kind == PromptKind::Filter { before.clone() } else { String::new() };
    model.prompt = Some(Prompt { kind, typed, selected: model.selected, before });
}

/// What was typed changed: the screen shows at once what it comes to.
pub fn retyped(model: &mut Model) {
    if let Some(palette) = &mut model.palette {
        palette.selected = 0;
    }
    let Some(prompt) = &model.prompt else { return };
    let typed = prompt.typed.clone();
    match prompt.kind {
        PromptKind::Filter => model.journal.set_filter(&typed),
        PromptKind::Text => {
            model.journal.needle = typed.to_lowercase();
            model.journal.older_match(true);
        }
        PromptKind::Step => {
            let from = prompt.selected;
            if let Some(found) = find_step(model, &typed, from) {
                select(model, found);
            }
        }
    }
}

/// The first step at or after the one of before whose title, id or chapter has all the words; from the top where there
/// is none.
fn find_step(model: &Model, typed: &str, from: usize) -> Option<usize> {
    let words: Vec<String> = typed.split_whitespace().map(str::to_lowercase).collect();
    let matches = |i: &usize| {
        let info = &model.steps[*i].info;
        let text = format!("{} {} {}", info.title, info.id, info.chapter.word()).to_lowercase();
        words.iter().all(|w| text.contains(w.as_str()))
    };
    let count = model.steps.len();
    (from..count).chain(0..from.min(count)).find(matches)
}

fn select(model: &mut Model, step: usize) {
    if model.selected != step {
        model.selected = step;
        model.scroll.step = 0;
        model.along = model.current() == Some(step);
    }
}

/// Enter: what was found or filtered stays.
pub fn submit(model: &mut Model) {
    let Some(prompt) = model.prompt.take() else { return };
    match prompt.kind {
        PromptKind::Step if find_step(model, &prompt.typed, model.selected).is_none() => {
            model.say(tr!("no step has “{typed}” in it", typed = prompt.typed));
            select(model, prompt.selected);
        }
        PromptKind::Text if !prompt.typed.is_empty() => {
            let found = model
                .journal
                .backwards()
                .next()
                .is_some_and(|e| crate::ui::journal::contains(&e.text, &model.journal.needle));
            model.say(if found { trs!("< and > go to other matches") } else { trs!("not found") });
        }
        _ => {}
    }
}

/// Esc: as it was before.
pub fn cancel(model: &mut Model) {
    model.palette = None;
    let Some(prompt) = model.prompt.take() else { return };
    match prompt.kind {
        PromptKind::Step => select(model, prompt.selected),
        PromptKind::Text => model.journal.needle = prompt.before,
        PromptKind::Filter => model.journal.set_filter(&prompt.before),
    }
}

/// Opens the palette.
pub fn palette(model: &mut Model) {
    model.palette = Some(Palette::default());
}

/// What the palette offers for what was typed: every line of the table that holds below it and makes sense now. What
/// decides something has a key of its own and is not here: Enter decides nothing.
pub fn offers(model: &Model) -> Vec<&'static Binding> {
    let typed = model.palette.as_ref().map(|p| p.typed.to_lowercase()).unwrap_or_default();
    let words: Vec<&str> = typed.split_whitespace().collect();
    let offered = keys::bindings(model, keys::below_help(model)).filter(|b| !decides(b.action));
    let matches = |b: &&Binding| {
        // English too: it is what the keyboard gives at once.
        let all = [b.does, b.short, lang::words(b.does), lang::words(b.short)];
        let text = all.join(" ").to_lowercase();
        words.iter().all(|w| text.contains(w))
    };
    offered.filter(matches).collect()
}

fn decides(action: Action) -> bool {
    use Action as A;
    matches!(action, A::Yes | A::Refuse | A::Retry | A::Undo | A::Skip | A::Stop | A::Start | A::Submit | A::Palette)
}

/// Moves in the palette.
pub fn choose(model: &mut Model, by: isize) {
    let count = offers(model).len();
    if let Some(palette) = &mut model.palette {
        palette.selected = palette.selected.saturating_add_signed(by).min(count.saturating_sub(1));
    }
}

/// Enter in the palette: closes it; what is to be done.
pub fn chosen(model: &mut Model) -> Option<Action> {
    let selected = model.palette.as_ref()?.selected;
    let action = offers(model).get(selected).map(|b| b.action);
    model.palette = None;
    action
}

/// `/`: where the journals are looked at, text; else a step.
pub fn find(model: &mut Model) {
    open(model, if model.focus == Panel::Journal { PromptKind::Text } else { PromptKind::Step });
}
