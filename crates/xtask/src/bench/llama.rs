//! llama.cpp's own programs, built once from the pinned source of llama-cpp-python.

use std::path::{Path, PathBuf};

use crate::shell::{answers, program_in, root, say};

const ARCHIVE: &str = "llama_cpp_python-0.3.36.tar.gz";
const FOLDER: &str = "llama_cpp_python-0.3.36/vendor/llama.cpp";
/// Its best for AVX2 alone: what a build for every machine of the last ten years has.
const AVX2: [&str; 5] = ["-DGGML_NATIVE=OFF", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON"];

/// The path of a program of theirs, such as `llama-bench`, built for this very processor, or for AVX2.
pub fn build(place: &Path, avx2: bool, name: &str) -> Result<PathBuf, String> {
    let build = place.join(if avx2 { "llama-avx2" } else { "llama-native" });
    let made = build.join("bin").join(name);
    if made.exists() {
        return Ok(made);
    }
    if !answers("cmake", &["--version"]) || !answers("python3", &["-m", "pip", "--version"]) {
        return Err(
            "building llama.cpp needs cmake, Python with pip and a C++ compiler: install them, then run this again"
                .into(),
        );
    }
    if !place.join(FOLDER).exists() {
        fetch(place)?;
    }
    say("building llama.cpp (some minutes, once)");
    let mut configure = vec!["-S", FOLDER, "-B"];
    let folder = build.display().to_string();
    configure.push(&folder);
    configure.extend(["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF"]);
    // Their server's page: built with npm, or fetched.
    configure.extend(["-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF"]);
    configure.push(if avx2 { AVX2[0] } else { "-DGGML_NATIVE=ON" });
    configure.extend(AVX2[1..].iter().filter(|_| avx2));
    program_in(place, "cmake", &configure)?;
    program_in(place, "cmake", &["--build", &folder, "--target", name, "--parallel"])?;
    Ok(made)
}

fn fetch(place: &Path) -> Result<(), String> {
    say("fetching llama.cpp's source");
    let pinned = root().join("tests/golden/llama.txt").display().to_string();
    let source = ["--no-deps", "--no-binary", "llama_cpp_python", "--require-hashes", "--requirement", &pinned];
    program_in(place, "python3", &[&["-m", "pip", "download", "--quiet"], source.as_slice()].concat())?;
    program_in(place, "tar", &["--extract", "--file", ARCHIVE])
}
