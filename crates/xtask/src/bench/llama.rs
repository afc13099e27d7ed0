//! llama.cpp's own programs, built once from the pinned source of llama-cpp-python.

use std::{fs, path::Path, path::PathBuf};

use crate::shell::{answers, program_in, say};

const SOURCE: &str = "https://files.pythonhosted.org/packages/ec/e9/e7de2b0463ea3ffbf0ede6cb21b58c1258a8f6521aae45ca773a59fe7cf3/llama_cpp_python-0.3.36.tar.gz";
const SHA256: &str = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e";
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
    if !answers("cmake", &["--version"]) || !answers("curl", &["--version"]) {
        return Err("building llama.cpp needs cmake, curl and a C++ compiler: install them, then run this again".into());
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
    let archive = "llama_cpp_python.tar.gz";
    say("fetching llama.cpp's source");
    program_in(place, "curl", &["--fail", "--location", "--silent", "--show-error", "--output", archive, SOURCE])?;
    let sums = place.join("llama_cpp_python.sha256");
    fs::write(&sums, format!("{SHA256}  {archive}\n")).map_err(|error| format!("{}: {error}", sums.display()))?;
    program_in(place, "sha256sum", &["--check", "--quiet", "llama_cpp_python.sha256"])?;
    program_in(place, "tar", &["--extract", "--file", archive])
}
