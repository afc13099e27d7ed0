//! Writes a model of a real shape with random values, for benchmarks: `random_model 1.3b|7b FILE [circles]`. What it says
//! cannot be foreseen, or it goes in circles.

#[path = "../benches/shape/random.rs"]
mod random;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (size, file, circles) = match &arguments[..] {
        [size, file] => (size, file, false),
        [size, file, text] if text == "circles" => (size, file, true),
        _ => return Err("usage: random_model 1.3b|7b FILE [circles]".into()),
    };
    let layers = match size.as_str() {
        "1.3b" => 4,
        "7b" => 32,
        _ => return Err(format!("{size}: 1.3b and 7b are the sizes").into()),
    };
    random::write(Path::new(file), layers, circles)
}
