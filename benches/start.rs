//! From the start of the program to its first frame in a terminal. Goal: under 50 ms.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set up its terminal has failed")]

#[path = "../tests/pty/terminal.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod terminal;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use terminal::{Terminal, banister};

fn start(c: &mut Criterion) {
    let mut group = c.benchmark_group("start to first frame");
    group.sample_size(20);
    for (name, args) in [("first screen", &[][..]), ("practice", &["practice", "growth"][..])] {
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let once = |_| {
                    let began = Instant::now();
                    let terminal = Terminal::start(&banister(), args, (200, 60), &[]);
                    // The footer is drawn last.
                    terminal.sees("? help");
                    let took = began.elapsed();
                    drop(terminal);
                    took
                };
                (0..iterations).map(once).sum::<Duration>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, start);
criterion_main!(benches);
