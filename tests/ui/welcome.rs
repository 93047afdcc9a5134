//! The first screen: what is found, what can be chosen, every key of the table.

use banister::ui::{
    Msg, Theme,
    keys::{Action, Context, TABLE},
    welcome::{Chosen, Entry, FoundFile, LastRun, Welcome, update, view},
};
use crossterm::event::KeyCode;
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

use crate::{
    fixtures::{ch, key, now},
    screens::{settings, styled, text},
};

const SIZE: (u16, u16) = (80, 24);

fn run(end: Option<&str>, complete: bool) -> LastRun {
    LastRun {
        operator: "ops@jump01".into(),
        at: "2026-03-14 02:51".into(),
        end: end.map(Into::into),
        complete,
        done: 11,
        undoable: if complete { 0 } else { 7 },
    }
}

fn file(name: &str, cluster: Result<&str, &[&str]>, run: Option<LastRun>) -> Entry {
    Entry::File(FoundFile {
        path: format!("/home/ops/{name}").into(),
        shown: name.into(),
        cluster: cluster.map(Into::into).map_err(|all| all.iter().map(|p| (*p).to_owned()).collect()),
        run,
    })
}

/// With files in every state, or with none.
fn welcome(found: bool, size: (u16, u16)) -> Welcome {
    let mut welcome = Welcome::new(Theme::default(), now(0), size);
    let mut entries = Vec::new();
    if found {
        let stopped = "stopped by the operator before etcd.join@master04";
        entries = vec![
            file("prod.yaml", Ok("prod: 3 masters, 2 to join, workers: 3"), Some(run(Some(stopped), false))),
            file("机房二.yaml", Ok("second: 3 masters, 2 to join, workers: 12"), Some(run(None, false))),
            file("old.yaml", Ok("old: 3 masters, 2 to join, workers: 1"), Some(run(Some("five voters"), true))),
            file("new.yaml", Ok("new: 3 masters, 2 to join, workers: 0"), None),
            file(
                "broken.yaml",
                Err(&["line 4: adress is not a key of a host; write address", "line 9: no join; list the new masters"]),
                None,
            ),
        ];
    }
    let practice = |name: &str, about: &str| Entry::Practice { name: name.into(), about: about.into() };
    entries.push(practice("growth", "Three masters on etcd 3.4.23, two hosts to join: nothing is wrong"));
    entries.push(practice("growth-3.3", "The same on etcd 3.3.25, which knows no learners"));
    welcome.found(entries, vec!["/home/ops".into(), "/home/ops/.config/banister".into()]);
    welcome
}

fn draw(welcome: &Welcome, size: (u16, u16)) -> Buffer {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(size.0, size.1));
    let Ok(_) = terminal.draw(|frame| view(welcome, frame));
    terminal.backend().buffer().clone()
}

fn shown(welcome: &Welcome) -> String {
    text(&draw(welcome, SIZE))
}

#[test]
fn the_first_screen_at_three_sizes() {
    settings().bind(|| {
        for size in [SIZE, (120, 40), (200, 60)] {
            let at = format!("{}x{}", size.0, size.1);
            insta::assert_snapshot!(format!("{}@{at}", "welcome"), styled(&draw(&welcome(true, size), size)));
            insta::assert_snapshot!(format!("{}@{at}", "welcome-none"), styled(&draw(&welcome(false, size), size)));
            let mut help = welcome(true, size);
            update(&mut help, &ch('?'));
            insta::assert_snapshot!(format!("{}@{at}", "welcome-help"), styled(&draw(&help, size)));
        }
    });
}

#[test]
fn every_key_of_the_table_does_something_on_the_first_screen() {
    for binding in TABLE.iter().filter(|b| b.contexts.contains(&Context::Welcome)) {
        for k in binding.keys {
            let label = format!("{} ({:?})", k.name(), binding.action);
            let mut welcome = welcome(true, SIZE);
            if !matches!(binding.action, Action::TakeBack | Action::Open) {
                // Something to go up from.
                update(&mut welcome, &key(KeyCode::Down));
            }
            let before = draw(&welcome, SIZE);
            let chosen = update(&mut welcome, &Msg::Key(k.event()));
            let expected = match binding.action {
                Action::Open => Some(Chosen::Open("/home/ops/prod.yaml".into())),
                Action::TakeBack => Some(Chosen::TakeBack("/home/ops/prod.yaml".into())),
                Action::LookAgain => Some(Chosen::LookAgain),
                Action::Quit => Some(Chosen::Leave),
                _ => None,
            };
            assert_eq!(chosen, expected, "{label}");
            assert!(chosen.is_some() || draw(&welcome, SIZE) != before, "{label}: nothing happened");
        }
    }
}

#[test]
fn a_file_with_problems_is_listed_with_them_and_not_opened() {
    let mut welcome = welcome(true, SIZE);
    for _ in 0..4 {
        update(&mut welcome, &key(KeyCode::Down));
    }
    assert!(shown(&welcome).contains("line 4: adress is not a key of a host"), "{}", shown(&welcome));
    assert_eq!(update(&mut welcome, &key(KeyCode::Enter)), None);
    assert!(shown(&welcome).contains("mend what is listed"), "{}", shown(&welcome));
    assert_eq!(update(&mut welcome, &ch('u')), None, "nothing to take back");
}

#[test]
fn what_is_selected_is_always_in_sight_and_stays_selected_when_looked_for_again() {
    let mut first = welcome(true, SIZE);
    update(&mut first, &key(KeyCode::End));
    assert!(shown(&first).contains("▶ growth-3.3"), "{}", shown(&first));
    assert_eq!(update(&mut first, &key(KeyCode::Enter)), Some(Chosen::Practice("growth-3.3".into())));
    update(&mut first, &key(KeyCode::Home));
    update(&mut first, &key(KeyCode::Down));
    let again = file("aaa.yaml", Ok("aaa: 3 masters, 2 to join, workers: 0"), None);
    first.found(vec![again, file("机房二.yaml", Ok("second"), None)], vec!["/home/ops".into()]);
    assert!(shown(&first).contains("▶ 机房二.yaml"), "{}", shown(&first));
}

#[test]
fn with_no_file_it_says_where_it_looked_and_what_to_write() {
    let none = shown(&welcome(false, SIZE));
    for part in ["None found", "/home/ops/.config/banister", "{ name: master04, address: 10.0.0.4 }", "growth"] {
        assert!(none.contains(part), "{part}\n{none}");
    }
}

#[test]
fn pasted_text_and_unknown_keys_choose_nothing_and_a_signal_leaves() {
    let mut welcome = welcome(true, SIZE);
    assert_eq!(update(&mut welcome, &Msg::Paste("\n".into())), None);
    assert_eq!(update(&mut welcome, &ch('y')), None);
    assert_eq!(update(&mut welcome, &Msg::Terminate), Some(Chosen::Leave));
}

#[test]
fn no_size_makes_the_first_screen_panic() {
    let mut any = welcome(true, SIZE);
    for (w, h) in (1..=90).flat_map(|w| (1..=40).map(move |h| (w, h))) {
        update(&mut any, &Msg::Resize(w, h));
        draw(&any, (w, h));
    }
    update(&mut any, &ch('?'));
    for (w, h) in (1..=90).flat_map(|w| (1..=40).map(move |h| (w, h))) {
        update(&mut any, &Msg::Resize(w, h));
        update(&mut any, &key(KeyCode::PageDown));
        draw(&any, (w, h));
    }
}
