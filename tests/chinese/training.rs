//! Training's screens in Chinese: a question before a step, and a drill from its story to its debrief.

use std::sync::Arc;

use banister::{
    engine::Risk,
    training::drill::Drill,
    ui::{DrillMsg, Model, Msg, Theme, update},
};
use crossterm::event::KeyCode;

use crate::{
    ALL, chinese,
    fixtures::{asked, ch, feed, fresh, key, now, observed},
    look::{draw, settings, text},
};

const SIZE: (u16, u16) = (80, 24);

fn drilled(name: &str) -> Model {
    let drill = Drill::find(name).unwrap().unwrap();
    let mut model = fresh(SIZE, ALL).with_drill(Arc::new(drill));
    feed(&mut model, [Msg::Tick(now(1000)), Msg::Survey(Arc::new(observed(true)))]);
    model
}

fn shown(model: &Model) -> String {
    text(&draw(model, SIZE))
}

/// Chooses what reads so on the page.
fn choose(model: &mut Model, words: &str) {
    let page = shown(model);
    let line = page.lines().find(|l| l.contains(words)).unwrap_or_else(|| panic!("no {words} in\n{page}"));
    let digit = line.chars().find(char::is_ascii_digit).unwrap();
    update(model, ch(digit));
}

fn compare(name: &str, model: &Model) {
    let mut settings = settings();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/zh"));
    settings.bind(|| insta::assert_snapshot!(name, shown(model)));
}

#[test]
fn a_drill_is_chinese_from_its_story_to_its_debrief() {
    chinese();
    let mut model = drilled("nodename-newline");
    compare("drill-menu", &model);
    choose(&mut model, "提示");
    choose(&mut model, "指出故障");
    compare("drill-name", &model);
    choose(&mut model, "末尾有一个换行符");
    choose(&mut model, "查看文件");
    feed(&mut model, [Msg::Drill(DrillMsg::Outside("/tmp/banister-drill-1".into()))]);
    compare("drill-files", &model);
    feed(&mut model, [Msg::Drill(DrillMsg::File { at: 0, text: Ok("master02.example.com\n".into()) })]);
    compare("drill-file", &model);
    feed(&mut model, [key(KeyCode::Esc), key(KeyCode::Esc)]);
    choose(&mut model, "2  ");
    compare("drill-repair", &model);
    choose(&mut model, "写入不带换行符的节点名");
    let right = Drill::find("nodename-newline").unwrap().unwrap().repairs.iter().position(|r| r.right);
    let done = Msg::Drill(DrillMsg::Done { repair: right, refused: None, cured: true });
    feed(&mut model, [Msg::Tick(now(95_000)), done]);
    compare("drill-debrief", &model);
    let farewell = model.farewell().unwrap();
    assert_eq!(farewell, "演练 nodename-newline：用时 1 分 35 秒 修复，得 90 分（提示 1 次，错误尝试 0 次）");
}

#[test]
fn a_question_before_a_step_is_chinese_with_its_reason() {
    chinese();
    let mut model = fresh(SIZE, Theme { ..ALL }).guided();
    asked(&mut model, Risk::Reversible);
    update(&mut model, ch('1'));
    compare("predict-told", &model);
}
