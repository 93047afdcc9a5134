//! How long a whole frame takes, from the model to the bytes for the terminal. Goal: under 1 ms at 200×60.

#[path = "../tests/ui/fixtures.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod fixtures;

use std::io::Sink;

use banister::ui::{Model, Msg, Theme, view};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};

const SIZE: (u16, u16) = (200, 60);

/// Lines the journals panel keeps at most.
const LINES: usize = 100_000;

fn terminal() -> Terminal<CrosstermBackend<Sink>> {
    let viewport = Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1));
    match Terminal::with_options(CrosstermBackend::new(std::io::sink()), TerminalOptions { viewport }) {
        Ok(terminal) => terminal,
        Err(e) => panic!("no terminal to draw into: {e}"),
    }
}

/// A scene, with as many lines in the journals as are kept.
fn model(scene: &str) -> Model {
    let mut model = fixtures::scene(scene, SIZE, Theme::default());
    let all = fixtures::live::lines().into_iter().cycle();
    let per_batch = 20;
    fixtures::feed(&mut model, all.take(LINES / per_batch).map(Msg::Journal));
    model
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame 200x60");
    for scene in [
        "wizard-running",
        "wizard-diffs",
        "live-journal",
        "live-masters",
        "live-certs-whole",
        "confirm-irreversible",
        "failed",
    ] {
        let model = model(scene);
        let mut terminal = terminal();
        group.bench_with_input(BenchmarkId::from_parameter(scene), &model, |b, model| {
            b.iter(|| {
                // Every cell is drawn and sent anew: the dearest frame there is.
                let _ = terminal.clear();
                terminal.draw(|frame| view(model, frame)).map(|_| ())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
