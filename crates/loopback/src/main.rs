//! Serves folders of `owner/name` as a hub on loopback, to look at the window by hand without a network.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use huacaya_loopback::{Content, Fault, FileSpec, Loopback, RepositorySpec};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, rate) = match arguments.as_slice() {
        [folder] => (folder, None),
        [folder, rate] => (folder, rate.parse().ok()),
        _ => {
            eprintln!("huacaya-loopback <folder of owner/name folders> [bytes per second of each connection]");
            return ExitCode::from(2);
        }
    };
    match serve(Path::new(folder), rate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(folder: &Path, rate: Option<u64>) -> io::Result<()> {
    let hub = Loopback::start();
    for owner in folders(folder)? {
        for repository in folders(&owner)? {
            let name =
                |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let mut spec = RepositorySpec::new(&format!("{}/{}", name(&owner), name(&repository)));
            gather(&repository, "", &mut spec)?;
            println!("{} ({} files)", spec.id, spec.files.len());
            hub.add(spec);
        }
    }
    if let Some(bytes_per_second) = rate {
        hub.fault("", Fault::Slow { bytes_per_second });
    }
    println!("HF_ENDPOINT={}\nModelScope: {}\nproxy: {}", hub.url(), hub.modelscope_url(), hub.proxy_url());
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = entries(path)?.into_iter().filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
}

fn gather(folder: &Path, prefix: &str, spec: &mut RepositorySpec) -> io::Result<()> {
    for path in entries(folder)? {
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            gather(&path, &format!("{name}/"), spec)?;
            continue;
        }
        if name.ends_with(".gguf") {
            spec.tags.push("gguf".to_owned());
        }
        spec.files.push(FileSpec::new(&name, Content::file(&path)?));
    }
    Ok(())
}
