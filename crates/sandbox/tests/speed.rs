//! How fast the sandbox is, printed. Measurements, not truths: run by hand, alone on the machine.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::thread;
use std::time::Instant;

use sandbox::{Pool, PythonConfig, PythonTool, SandboxConfig};
use serde_json::{Map, Value, json};

fn pool(workers: usize) -> Pool {
    let python = PythonConfig {
        workers,
        ..PythonConfig::default()
    };
    Pool::new(python, SandboxConfig::default()).unwrap()
}

fn arguments() -> Map<String, Value> {
    Map::from_iter([("x".to_owned(), json!(1))])
}

#[test]
#[ignore = "a measurement"]
fn calls_and_sessions_a_second() {
    for workers in [1, 2] {
        let pool = pool(workers);
        let tool = PythonTool {
            name: "f",
            source: "def f(x):\n    return x + 1",
        };
        let calls = 1500;
        for _ in 0..3 {
            let begun = Instant::now();
            thread::scope(|scope| {
                for _ in 0..workers {
                    scope.spawn(|| {
                        for _ in 0..calls {
                            assert_eq!(pool.call(tool, &arguments()).text, "2");
                        }
                    });
                }
            });
            let rate = (calls * workers) as f64 / begun.elapsed().as_secs_f64();
            println!("{workers} workers: {rate:.0} calls/s, a process each");
        }
    }
    let pool = pool(2);
    for count in [100, 1000] {
        let begun = Instant::now();
        let mut sessions: Vec<_> = (0..count).map(|_| pool.session().unwrap()).collect();
        let opened = begun.elapsed().as_secs_f64();
        let source = "kept = 0\ndef f(x):\n    global kept\n    kept += x\n    return kept";
        let begun = Instant::now();
        for session in &mut sessions {
            session.load(source, "tools.py").unwrap();
        }
        let loaded = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        for round in 1..=5 {
            for session in &mut sessions {
                let kept = session.call("f", &arguments(), None).unwrap();
                assert_eq!(kept, round.to_string());
            }
        }
        let called = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        drop(sessions);
        let closed = begun.elapsed().as_secs_f64();
        let each = f64::from(count);
        println!(
            "{count} sessions: opened {:.0}/s, loaded {:.0}/s, called {:.0}/s, closed {:.0}/s",
            each / opened,
            each / loaded,
            5.0 * each / called,
            each / closed
        );
    }
}
