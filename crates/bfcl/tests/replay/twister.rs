//! The generator gives what CPython's gave.

use crate::records::{data_folder, list, text};
use bfcl::twister::Twister;
use python::{Dict, Value, float_of, json_loads};

#[test]
fn data_every_recorded_draw_is_drawn_again() {
    let Some(folder) = data_folder() else { return };
    let vectors = std::fs::read_to_string(folder.join("rng_vectors.json")).unwrap();
    let vectors = json_loads(&vectors).unwrap();
    let vectors = vectors.as_list().unwrap();
    for vector in vectors {
        let vector = vector.as_dict().unwrap();
        let seed = vector.get("seed").and_then(Value::as_int).unwrap();
        let mut twister = Twister::new(seed.unsigned_abs());
        let recorded = vector.iter().find(|(key, _)| {
            let name = key.as_str().unwrap();
            name.starts_with("first")
        });
        for (i, expected) in recorded.unwrap().1.as_list().unwrap().iter().enumerate() {
            let found = draw(&mut twister, vector);
            assert_eq!(found.repr(), expected.repr(), "seed {seed}, draw {i}");
        }
    }
    println!("{} vectors", vectors.len());
    assert!(!vectors.is_empty());
}

fn draw(twister: &mut Twister, vector: &Dict) -> Value {
    let argument = |i: usize| &list(vector, "args")[i];
    match text(vector, "op") {
        "randint" => {
            let bound = |i| argument(i).as_int().unwrap();
            Value::Int(twister.randint(bound(0), bound(1)))
        }
        "uniform" => {
            let bound = |i| float_of(argument(i)).unwrap();
            Value::Float(twister.uniform(bound(0), bound(1)))
        }
        "random" => Value::Float(twister.random()),
        other => panic!("unknown operation `{other}`"),
    }
}
