//! Questions before a step, and drills, on the screen.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its drill has failed")]

use std::sync::Arc;

use banister::{
    engine::Risk,
    training::drill::Drill,
    ui::{
        Answer, DrillMsg, DrillWish, Effect, Model, Msg, Theme,
        keys::{Action, Context, TABLE},
        update,
    },
};
use crossterm::event::KeyCode;

use crate::{
    fixtures::{asked, ch, feed, fresh, join, key, now, observed},
    screens::{draw, styled, text},
};

const SIZE: (u16, u16) = (80, 24);

fn shown(model: &Model) -> String {
    text(&draw(model, SIZE))
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|c| update(model, ch(c))).collect()
}

/// A guided walk, at the question before joining.
fn guided() -> Model {
    let mut model = fresh(SIZE, Theme::default()).guided();
    asked(&mut model, Risk::Reversible);
    model
}

/// The model in which a key of training has something to do; `None` where it is no such key.
pub fn at(context: Context, action: Action) -> Option<Model> {
    let mut model = match (context, action) {
        (Context::Predict, _) => {
            let mut model = guided();
            // As many choices as there are keys.
            while !shown(&model).contains("   4  ") {
                update(&mut model, key(KeyCode::Esc));
                asked(&mut model, Risk::Reversible);
            }
            model
        }
        (Context::Drill | Context::File | Context::Line, _) => drilled("typo-2378"),
        (_, Action::Drill) => {
            let scene = match context {
                Context::Connecting => "connecting-failed",
                Context::Survey => "survey-blocked",
                Context::Wizard => "wizard-commands",
                Context::Failed => "failed",
                _ => "finished",
            };
            let drill = Drill::find("typo-2378").unwrap().unwrap();
            let mut model = crate::fixtures::scene(scene, SIZE, Theme::default()).with_drill(Arc::new(drill));
            update(&mut model, key(KeyCode::Esc));
            model
        }
        _ => return None,
    };
    let m = &mut model;
    match (context, action) {
        (Context::Predict, Action::GoOn) => drop(press(m, "1")),
        (Context::Drill, Action::Choose(1)) => {
            for _ in 0..2 {
                choose(m, "name the fault");
                choose(m, "A firewall came up");
            }
        }
        (
            Context::Drill,
            Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::Top | Action::Bottom,
        ) => {
            choose(m, "give up");
            if matches!(action, Action::Up | Action::PageUp | Action::Top) {
                feed(m, [key(KeyCode::Down), key(KeyCode::Down)]);
            }
        }
        (Context::File | Context::Line, _) => {
            let text = "a line\n".repeat(30);
            feed(m, [Msg::Drill(DrillMsg::File { at: 0, text: Ok(text) })]);
            if !matches!(action, Action::Down | Action::PageDown | Action::Bottom) {
                feed(m, [ch('j'), ch('j')]);
            }
            if context == Context::Line {
                feed(m, [key(KeyCode::Enter)]);
            }
            if action == Action::Right {
                feed(m, [key(KeyCode::Left)]);
            }
        }
        _ => {}
    }
    Some(model)
}

fn drilled(name: &str) -> Model {
    let drill = Drill::find(name).unwrap().unwrap();
    let mut model = fresh(SIZE, Theme::default()).with_drill(Arc::new(drill));
    feed(&mut model, [Msg::Tick(now(1000)), Msg::Survey(Arc::new(observed(true)))]);
    model
}

#[test]
fn before_a_step_the_trainee_predicts_and_is_told_why() {
    let mut model = guided();
    let before = shown(&model);
    assert!(before.contains("What do you expect?") && before.contains("1-"), "{before}");
    assert!(!before.contains("Right.") && !before.contains("Not so."), "{before}");
    assert_eq!(press(&mut model, "y"), [], "the step is not confirmed by a key that was meant for the question");
    assert_eq!(update(&mut model, key(KeyCode::Enter)), [], "an answer comes first");
    assert!(shown(&model).contains("What do you expect?"));
    press(&mut model, "1");
    let after = shown(&model);
    assert!(after.contains("Right.") || after.contains("Not so."), "{after}");
    assert!(after.contains('✓'), "{after}");
    let score = after.clone();
    press(&mut model, "2");
    assert_eq!(shown(&model), score, "one answer a question");
    update(&mut model, key(KeyCode::Enter));
    let confirm = shown(&model);
    assert!(confirm.contains("May this run?"), "{confirm}");
    feed(&mut model, [Msg::Tick(now(60_000))]);
    assert_eq!(press(&mut model, "y"), [Effect::Answer(Answer::Go { step: join(), typed: String::new() })]);
    assert!(model.farewell().unwrap().contains("of 1 predictions right"));
}

#[test]
fn a_question_left_out_is_not_counted() {
    let mut model = guided();
    update(&mut model, key(KeyCode::Esc));
    assert!(shown(&model).contains("May this run?"));
    assert!(model.farewell().unwrap().contains("0 of 0"));
}

#[test]
fn a_question_before_a_step_fits_the_smallest_terminal() {
    let mut model = guided();
    insta_named("training-predict", &model);
    press(&mut model, "1");
    insta_named("training-predict-told", &model);
}

fn insta_named(name: &str, model: &Model) {
    crate::screens::settings().bind(|| {
        for size in [SIZE, (120, 40), (200, 60)] {
            let mut model = model.clone();
            feed(&mut model, [Msg::Resize(size.0, size.1)]);
            let name = format!("{name}@{}x{}", size.0, size.1);
            insta::assert_snapshot!(name, styled(&draw(&model, size)));
        }
    });
}

#[test]
fn a_drill_holds_the_survey_back_and_opens_with_its_story() {
    let mut model = drilled("typo-2378");
    insta_named("training-drill-menu", &model);
    update(&mut model, key(KeyCode::Esc));
    let survey = shown(&model);
    assert!(survey.contains("held back") && survey.contains("BLOCKED"), "{survey}");
    press(&mut model, "D");
    // Every hint taken, the findings are shown.
    press(&mut model, "333");
    update(&mut model, key(KeyCode::Esc));
    let survey = shown(&model);
    assert!(!survey.contains("held back"), "{survey}");
}

/// Chooses what reads so on the page.
fn choose(model: &mut Model, words: &str) -> Vec<Effect> {
    let page = shown(model);
    let line = page.lines().find(|l| l.contains(words)).unwrap_or_else(|| panic!("no {words} in\n{page}"));
    let digit = line.chars().find(char::is_ascii_digit).unwrap();
    update(model, ch(digit))
}

#[test]
fn named_repaired_and_debriefed() {
    let mut model = drilled("typo-2378");
    assert_eq!(choose(&mut model, "repair it: once it is named"), [], "first it is named");
    choose(&mut model, "name the fault");
    insta_named("training-drill-name", &model);
    choose(&mut model, "A firewall came up");
    assert!(shown(&model).contains("That is not it"));
    choose(&mut model, "name the fault");
    choose(&mut model, "listens for its peers at 2378");
    assert!(shown(&model).contains("Right, that is the fault"));
    choose(&mut model, "2  repair it");
    insta_named("training-drill-repair", &model);
    let wish = choose(&mut model, "Restart etcd on master01 and master03");
    let [Effect::Drill(DrillWish::Repair(wrong))] = wish[..] else { panic!("{wish:?}") };
    assert!(shown(&model).contains("being done"));
    assert_eq!(press(&mut model, "1"), [], "one deed at a time");
    let done = |repair, cured| Msg::Drill(DrillMsg::Done { repair: Some(repair), refused: None, cured });
    feed(&mut model, [done(wrong, false)]);
    assert!(shown(&model).contains("the fault is still there"));
    choose(&mut model, "2  repair it");
    let wish = choose(&mut model, "Write 2380");
    let [Effect::Drill(DrillWish::Repair(right))] = wish[..] else { panic!("{wish:?}") };
    feed(&mut model, [Msg::Tick(now(61_000)), done(right, true)]);
    insta_named("training-drill-debrief", &model);
    assert!(shown(&model).contains("Cured: 70 points"));
    feed(&mut model, [Msg::Tick(now(90_000))]);
    assert!(shown(&model).contains("Cured: 70 points"), "the time stands still");
    assert_eq!(
        model.farewell().as_deref(),
        Some("Drill typo-2378: cured in 1 min 01 s, 70 points (0 hints, 2 wrong tries)")
    );
    update(&mut model, key(KeyCode::Esc));
    assert!(shown(&model).contains("BLOCKED"), "on with the growth, findings and all");
}

#[test]
fn twice_wrong_and_it_is_told() {
    let mut model = drilled("member-down");
    for _ in 0..2 {
        choose(&mut model, "name the fault");
        choose(&mut model, "The disk of master03 is full");
    }
    let told = shown(&model);
    assert!(told.contains("It is this: etcd on master03 does not run"), "{told}");
    choose(&mut model, "2  repair it");
    assert!(shown(&model).contains("What is to be done?"));
}

#[test]
fn given_up_it_is_debriefed_without_points() {
    let mut model = drilled("no-space");
    choose(&mut model, "give up");
    let page = shown(&model);
    assert!(page.contains("Given up: no points") && page.contains("What would have prevented it"), "{page}");
    assert!(model.farewell().unwrap().contains("not cured"));
}

#[test]
fn a_file_is_looked_into_and_a_line_changed() {
    let mut model = drilled("typo-2378");
    choose(&mut model, "look into a file");
    let wish = choose(&mut model, "master02:/etc/etcd/etcd.conf");
    assert_eq!(wish, [Effect::Drill(DrillWish::Open(0))]);
    let text = Ok("one\n--listen-peer-urls https://10.10.33.38:2378 \\\nthree\u{1b}[2J\n".to_owned());
    feed(&mut model, [Msg::Drill(DrillMsg::File { at: 0, text })]);
    feed(&mut model, [ch('j'), key(KeyCode::Enter)]);
    // From ` \` back to the digit.
    feed(&mut model, [key(KeyCode::Left), key(KeyCode::Left), key(KeyCode::Backspace), ch('0')]);
    insta_named("training-drill-file", &model);
    let saved = update(&mut model, key(KeyCode::Enter));
    let text = "one\n--listen-peer-urls https://10.10.33.38:2370 \\\nthree\n".to_owned();
    assert_eq!(saved, [Effect::Drill(DrillWish::Save { file: 0, text })]);
    feed(&mut model, [Msg::Drill(DrillMsg::Done { repair: None, refused: None, cured: false })]);
    assert!(shown(&model).contains("Saved."));
    feed(&mut model, [key(KeyCode::Enter), ch('x'), key(KeyCode::Esc)]);
    assert!(!shown(&model).contains("2370 \\x"), "left as it was");
    let dropped = press(&mut model, "d");
    assert_eq!(dropped, [Effect::Drill(DrillWish::Save { file: 0, text: "one\nthree\n".to_owned() })]);
    feed(&mut model, [key(KeyCode::Esc), key(KeyCode::Esc)]);
    assert!(shown(&model).contains("name the fault"));
}

#[test]
fn a_line_end_is_said_and_taken_away() {
    let mut model = drilled("nodename-newline");
    choose(&mut model, "look into a file");
    choose(&mut model, "master02:/var/lib/calico/nodename");
    feed(&mut model, [Msg::Drill(DrillMsg::File { at: 0, text: Ok("master02.example.com\n".into()) })]);
    assert!(shown(&model).contains("ends with a line end"));
    let save = |text: &str| [Effect::Drill(DrillWish::Save { file: 0, text: text.into() })];
    assert_eq!(press(&mut model, "n"), save("master02.example.com"));
    assert!(shown(&model).contains("ends without a line end"));
    assert_eq!(press(&mut model, "n"), save("master02.example.com\n"));
    // A file without one keeps it so when a line is changed.
    feed(&mut model, [Msg::Drill(DrillMsg::File { at: 0, text: Ok("name".into()) })]);
    feed(&mut model, [key(KeyCode::Enter), ch('s')]);
    assert_eq!(update(&mut model, key(KeyCode::Enter)), save("names"));
}

#[test]
fn a_file_changed_in_another_terminal_is_shown_as_it_is_now() {
    let mut model = drilled("nodename-newline");
    choose(&mut model, "look into a file");
    choose(&mut model, "master02:/var/lib/calico/nodename");
    feed(&mut model, [Msg::Drill(DrillMsg::File { at: 0, text: Ok("old\nold\n".into()) })]);
    feed(&mut model, [ch('j')]);
    let changed = |at, text: &str| Msg::Drill(DrillMsg::Changed { at, text: text.into() });
    feed(&mut model, [changed(1, "another\n"), changed(0, "fresh")]);
    let page = shown(&model);
    assert!(page.contains("fresh") && !page.contains("1 old") && page.contains("ends without a line end"), "{page}");
    feed(&mut model, [key(KeyCode::Enter), ch('x'), changed(0, "newer")]);
    assert!(shown(&model).contains("freshx"), "what is being typed stays: {}", shown(&model));
}

#[test]
fn hints_name_panels_by_the_keys_that_lead_there() {
    for drill in Drill::names().map(|name| Drill::find(name).unwrap().unwrap()) {
        for text in drill.hints.iter().flat_map(|h| [h.en.replace('(', "（").replace(')', "）"), h.zh.clone()]) {
            let keys = text.split('（').skip(1).filter_map(|rest| rest.split('）').next()).filter(|k| k.len() == 1);
            for k in keys {
                let leads = TABLE.iter().any(|b| {
                    matches!(b.action, Action::Focus(_))
                        && b.keys.iter().any(|key| key.name() == k)
                        && b.contexts.contains(&Context::Wizard)
                });
                assert!(leads, "{}: no panel at {k}: {text}", drill.name);
            }
        }
    }
}

#[test]
fn what_is_done_in_another_terminal_counts_as_by_hand() {
    let mut model = drilled("nodename-newline");
    feed(&mut model, [Msg::Drill(DrillMsg::Outside("/tmp/banister-drill-1".into()))]);
    choose(&mut model, "look into a file");
    insta_named("training-drill-files", &model);
    feed(&mut model, [Msg::Drill(DrillMsg::Done { repair: None, refused: None, cured: false })]);
    assert!(shown(&model).contains("Saved."), "{}", shown(&model));
    update(&mut model, key(KeyCode::Esc));
    choose(&mut model, "name the fault");
    choose(&mut model, "ends with a line end");
    choose(&mut model, "2  repair it");
    let wish = choose(&mut model, "Delete calico's pod on master02");
    let [Effect::Drill(DrillWish::Repair(at))] = wish[..] else { panic!("{wish:?}") };
    // Not the right one by itself, and not counted: the file had been changed before.
    feed(&mut model, [Msg::Drill(DrillMsg::Done { repair: Some(at), refused: None, cured: true })]);
    assert!(shown(&model).contains("Cured: 100 points"), "{}", shown(&model));
}

#[test]
fn without_a_drill_its_key_does_nothing() {
    let mut model = fresh(SIZE, Theme::default());
    feed(&mut model, [Msg::Survey(Arc::new(observed(true)))]);
    let before = shown(&model);
    assert_eq!(press(&mut model, "D"), []);
    assert_eq!(shown(&model), before);
    assert!(!before.contains("drill"), "{before}");
}
