//! What confirms and what never does; how leaving goes.

use std::sync::Arc;

use banister::{
    engine::{
        Event, Risk,
        confirm::Choice,
        event::{Outcome, StepState},
    },
    ui::{Answer, Effect, Model, Msg, Theme, update},
};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use secrecy::ExposeSecret;

use crate::{
    fixtures::{asked, ch, failed, feed, fresh, join, key, now, observed, question, running, scene},
    screens::{draw, text},
};

const SIZE: (u16, u16) = (80, 24);

fn at(scene: impl Fn(&mut Model)) -> Model {
    let mut model = fresh(SIZE, Theme::default());
    scene(&mut model);
    model
}

fn shown(model: &Model) -> String {
    text(&draw(model, SIZE))
}

fn type_word(model: &mut Model, word: &str) -> Vec<Effect> {
    word.chars().flat_map(|c| update(model, ch(c))).collect()
}

/// The yes to the join, with what was typed.
fn yes(typed: &str) -> Effect {
    Effect::Answer(Answer::Go { step: join(), typed: typed.to_owned() })
}

#[test]
fn y_confirms_what_can_be_taken_back_and_what_disrupts() {
    for risk in [Risk::Reversible, Risk::Disruptive] {
        let mut model = at(|m| asked(m, risk));
        assert_eq!(update(&mut model, ch('y')), [yes("")], "{risk}");
        assert_eq!(update(&mut model, ch('y')), [], "the second y answers nothing");
    }
}

#[test]
fn a_disruptive_step_says_what_is_down_and_every_question_says_what_one_death_does() {
    let disruptive = shown(&at(|m| asked(m, Risk::Disruptive)));
    assert!(disruptive.contains("Down meanwhile") && disruptive.contains("stalls every write"), "{disruptive}");
    for risk in [Risk::Reversible, Risk::Disruptive, Risk::Irreversible] {
        let text = shown(&at(|m| asked(m, risk)));
        for part in ["before", "meanwhile", "after", "etcd is DOWN", "still up"] {
            assert!(text.contains(part), "{risk}: {part}\n{text}");
        }
    }
}

#[test]
fn enter_alone_never_confirms_anything() {
    for name in crate::fixtures::SCENES {
        let mut model = scene(name, SIZE, Theme::default());
        let effects = update(&mut model, key(KeyCode::Enter));
        let harmless = |e: &Effect| matches!(e, Effect::Start | Effect::Secret { .. });
        assert!(effects.iter().all(harmless), "{name}: {effects:?}");
    }
    let mut model = at(|m| asked(m, Risk::Irreversible));
    assert_eq!(update(&mut model, key(KeyCode::Enter)), []);
    assert!(shown(&model).contains("Enter alone confirms nothing"));
}

#[test]
fn pasted_text_never_confirms_and_says_so() {
    for (risk, pasted) in [(Risk::Reversible, "y"), (Risk::Disruptive, "y\n"), (Risk::Irreversible, "master04\n")] {
        let mut model = at(|m| asked(m, risk));
        assert_eq!(update(&mut model, Msg::Paste(pasted.into())), []);
        assert!(shown(&model).contains("pasted text confirms nothing"), "{}", shown(&model));
        assert_eq!(update(&mut model, key(KeyCode::Enter)), [], "and Enter after it neither");
    }
}

#[test]
fn only_the_exact_name_confirms_a_point_of_no_return() {
    for wrong in ["master05", "master0", "master044", "Master04", " master04", "y", "yes"] {
        let mut model = at(|m| asked(m, Risk::Irreversible));
        assert_eq!(type_word(&mut model, wrong), [], "{wrong}");
        assert_eq!(update(&mut model, key(KeyCode::Enter)), [], "{wrong}");
        assert!(shown(&model).contains("nothing was confirmed"), "{wrong}");
    }
    let mut model = at(|m| asked(m, Risk::Irreversible));
    type_word(&mut model, "master05");
    feed(&mut model, [key(KeyCode::Backspace), ch('4')]);
    assert_eq!(update(&mut model, key(KeyCode::Enter)), [yes("master04")]);
}

#[test]
fn a_y_typed_ahead_or_held_down_is_not_an_answer() {
    let mut model = at(|m| {
        crate::fixtures::started(m);
        feed(m, [Msg::Engine(Event::Asking(question(Risk::Reversible)))]);
    });
    assert_eq!(update(&mut model, ch('y')), [], "it came with the question");
    assert!(shown(&model).contains("press it again"));
    // Held down: the terminal repeats it every 30 ms; each repeat keeps the question shut.
    for millis in (40_000..42_000).step_by(30) {
        feed(&mut model, [Msg::Tick(now(millis))]);
        assert_eq!(update(&mut model, ch('y')), []);
    }
    feed(&mut model, [Msg::Tick(now(42_500))]);
    assert_eq!(update(&mut model, ch('y')), [yes("")]);
    let mut model = at(|m| asked(m, Risk::Reversible));
    let mut repeat = KeyEvent::new(KeyCode::Char('y'), KeyModifiers::NONE);
    repeat.kind = KeyEventKind::Repeat;
    assert_eq!(update(&mut model, Msg::Key(repeat)), []);
}

#[test]
fn keys_that_mean_nothing_here_close_the_question_to_a_y_for_a_moment() {
    // A paste without bracketed paste arrives as keys.
    let mut model = at(|m| asked(m, Risk::Reversible));
    for c in "sudo mydeploy".chars() {
        assert_eq!(update(&mut model, ch(c)), [], "{c}");
    }
}

#[test]
fn a_question_that_cannot_be_seen_cannot_be_answered() {
    let mut model = at(|m| asked(m, Risk::Reversible));
    feed(&mut model, [Msg::Resize(60, 20)]);
    assert_eq!(update(&mut model, ch('y')), []);
    feed(&mut model, [Msg::Resize(80, 24), Msg::Tick(now(43_000))]);
    assert_eq!(update(&mut model, ch('y')), [yes("")]);
}

#[test]
fn no_stops_here_and_esc_only_looks_around() {
    let stop = Effect::Answer(Answer::Stop { step: join() });
    let mut model = at(|m| asked(m, Risk::Reversible));
    assert_eq!(update(&mut model, ch('n')).as_slice(), std::slice::from_ref(&stop));

    let mut model = at(|m| asked(m, Risk::Irreversible));
    assert_eq!(update(&mut model, key(KeyCode::Esc)), []);
    assert!(shown(&model).contains("Join master04 waits for your answer"));
    assert_eq!(update(&mut model, ch('y')), [], "put aside, a y is no answer");
    feed(&mut model, [ch('a')]);
    assert!(shown(&model).contains("Type master04"));
    feed(&mut model, [key(KeyCode::Esc)]);
    assert_eq!(update(&mut model, ch('n')), [stop]);
}

#[test]
fn leaving_asks_while_something_runs_and_never_cuts_it_off() {
    for quit in [ch('q'), Msg::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL))] {
        let mut model = at(running);
        assert_eq!(update(&mut model, quit), []);
        assert!(shown(&model).contains("Something is running"));
        assert_eq!(update(&mut model, ch('y')), [Effect::StopSoon]);
        assert!(shown(&model).contains("STOPPING"));
        let end = Msg::Engine(Event::Finished(Outcome::Stopped, "stopped by the operator".into()));
        assert_eq!(update(&mut model, end), [Effect::Quit], "only when the engine has ended");
    }
}

#[test]
fn leaving_twice_wants_a_word_typed() {
    let mut model = at(running);
    feed(&mut model, [ch('q'), ch('y'), ch('q')]);
    assert_eq!(update(&mut model, key(KeyCode::Enter)), []);
    type_word(&mut model, "leav");
    assert_eq!(update(&mut model, key(KeyCode::Enter)), []);
    type_word(&mut model, "e");
    assert_eq!(update(&mut model, key(KeyCode::Enter)), [Effect::Quit]);
}

#[test]
fn a_stop_asked_for_answers_the_next_question_with_no() {
    let mut model = at(running);
    feed(&mut model, [ch('q'), ch('y')]);
    let next = Msg::Engine(Event::Asking(question(Risk::Reversible)));
    assert_eq!(update(&mut model, next), [Effect::Answer(Answer::Stop { step: join() })]);
}

#[test]
fn leaving_at_a_question_or_a_failed_step_answers_no() {
    let mut model = at(|m| asked(m, Risk::Reversible));
    feed(&mut model, [ch('q')]);
    assert_eq!(update(&mut model, ch('y')), [Effect::Answer(Answer::Stop { step: join() })]);
    let mut model = at(failed);
    feed(&mut model, [ch('q')]);
    assert_eq!(update(&mut model, ch('y')), [Effect::Choose(Choice::Stop)]);
    let mut model = at(|_| ());
    assert_eq!(update(&mut model, ch('q')), [Effect::Quit], "nothing has begun");
}

#[test]
fn a_signal_ends_gently_without_asking() {
    assert_eq!(update(&mut at(running), Msg::Terminate), [Effect::StopSoon]);
    let mut model = at(|m| asked(m, Risk::Irreversible));
    assert_eq!(update(&mut model, Msg::Terminate), [Effect::Answer(Answer::Stop { step: join() })]);
    assert_eq!(update(&mut at(failed), Msg::Terminate), [Effect::Choose(Choice::Stop)]);
    let mut model = scene("connecting-secret", SIZE, Theme::default());
    assert_eq!(update(&mut model, Msg::Terminate), [Effect::Secret { id: 2, secret: None }, Effect::Quit]);
}

#[test]
fn a_bug_stops_the_engine_safely_and_stays_on_screen() {
    let mut model = at(running);
    assert_eq!(update(&mut model, Msg::Fatal("poller: index out of bounds".into())), [Effect::StopSoon]);
    let end = Msg::Engine(Event::Finished(Outcome::Stopped, "stopped".into()));
    assert_eq!(update(&mut model, end), []);
    assert!(shown(&model).contains("poller: index out of bounds"), "{}", shown(&model));
    assert_eq!(update(&mut model, ch('q')), [Effect::Quit]);
    let mut model = at(|m| asked(m, Risk::Irreversible));
    let stop = Effect::Answer(Answer::Stop { step: join() });
    assert_eq!(update(&mut model, Msg::Fatal("x".into())), [stop]);
}

#[test]
fn a_failed_step_does_nothing_until_a_choice_is_made() {
    let mut model = at(failed);
    for c in [KeyCode::Enter, KeyCode::Char('y'), KeyCode::Char(' '), KeyCode::Esc] {
        assert_eq!(update(&mut model, key(c)), [], "{c}");
    }
    assert_eq!(update(&mut at(failed), ch('r')), [Effect::Choose(Choice::Retry)]);
    assert_eq!(update(&mut at(failed), ch('s')), [Effect::Choose(Choice::Stop)]);
    let mut model = at(failed);
    assert_eq!(update(&mut model, ch('u')), [], "asks once more");
    assert!(shown(&model).contains("Remove the member master04"));
    feed(&mut model, [Msg::Tick(now(60_000))]);
    assert_eq!(update(&mut model, ch('y')), [Effect::Choose(Choice::Undo)]);
}

#[test]
fn a_blocked_survey_does_not_go_on() {
    let mut model = at(|m| feed(m, [Msg::Survey(Arc::new(observed(true)))]));
    assert_eq!(update(&mut model, key(KeyCode::Enter)), []);
    let text = shown(&model);
    assert!(text.contains("BLOCKED: 2 findings") && text.contains("bring master03 back"), "{text}");
    assert_eq!(update(&mut model, ch('r')), [Effect::LookAgain]);
    let mut model = at(|m| feed(m, [Msg::Survey(Arc::new(observed(false)))]));
    assert_eq!(update(&mut model, key(KeyCode::Enter)), [Effect::Start]);
    assert_eq!(update(&mut model, key(KeyCode::Enter)), [], "once");
}

#[test]
fn a_host_key_is_taken_only_by_a_y_that_could_be_meant() {
    let mut model = scene("connecting-host-key", SIZE, Theme::default());
    assert_eq!(update(&mut model, key(KeyCode::Enter)), []);
    assert_eq!(update(&mut model, Msg::Paste("y".into())), []);
    feed(&mut model, [Msg::Tick(now(9_000))]);
    assert_eq!(update(&mut model, ch('y')), [Effect::AcceptHostKey { id: 1, yes: true }]);
    let mut model = scene("connecting-host-key", SIZE, Theme::default());
    assert_eq!(update(&mut model, key(KeyCode::Esc)), [Effect::AcceptHostKey { id: 1, yes: false }]);
}

#[test]
fn a_secret_is_never_shown_and_may_be_pasted() {
    let mut model = scene("connecting-secret", SIZE, Theme::default());
    feed(&mut model, [Msg::Paste("-pasted\n".into()), key(KeyCode::Backspace)]);
    assert!(!shown(&model).contains("s3c"), "{}", shown(&model));
    assert!(!format!("{model:?}").contains("s3c-paste"), "nor in Debug");
    let effects = update(&mut model, key(KeyCode::Enter));
    let [Effect::Secret { id: 2, secret: Some(secret) }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(secret.clone().into_inner().expose_secret(), "s3c-paste");
    assert_eq!(format!("{secret:?}"), "(secret)");
}

#[test]
fn a_step_that_goes_on_closes_its_question() {
    let mut model = at(|m| asked(m, Risk::Reversible));
    feed(&mut model, [Msg::Engine(Event::State(join(), StepState::Running))]);
    assert_eq!(update(&mut model, ch('y')), [], "answered elsewhere");
}

#[test]
fn hostile_output_reaches_no_cell() {
    let mut model = at(running);
    let line = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}evil".to_owned();
    let progress = banister::engine::act::ActProgress::Line(line);
    feed(&mut model, [Msg::Engine(Event::ActProgress(join(), 1, progress)), ch('l')]);
    let text = shown(&model);
    assert!(text.contains("xevil") && !text.contains("owned") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn where_a_name_is_typed_nothing_is_folded_since_x_is_a_letter_of_it() {
    let mut pressed = at(|m| asked(m, Risk::Disruptive));
    feed(&mut pressed, [ch('3')]);
    assert!(shown(&pressed).contains("12 unchanged lines, x unfolds"), "{}", shown(&pressed));
    let mut typed = at(|m| asked(m, Risk::Irreversible));
    feed(&mut typed, [key(KeyCode::Tab), key(KeyCode::Tab)]);
    assert!(shown(&typed).contains("[3 changes]") && !shown(&typed).contains("x unfolds"), "{}", shown(&typed));
    assert!(shown(&typed).contains("# line 2 of the file as it is"), "{}", shown(&typed));
}
