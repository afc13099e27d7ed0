//! Programs that keep models as files in folders: LM Studio, Jan, ModelScope, and the cache of Hugging Face's own.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use super::{Kept, Program, stem};
use crate::model_files::{entries, file_name, ggufs, is_model_folder, paths_of, small_text};

/// `hub/models/<owner>/<name>/<folder>/` and a little more.
const DEPTH_MAX: usize = 7;
/// A walk that meets more folders than this has left the models.
const FOLDERS_MAX: usize = 5_000;
/// What comes with a model that sees pictures is none itself.
const PROJECTOR: &str = "mmproj";

/// The models below a program's folder.
pub(super) fn models(root: &Path, program: Program) -> Vec<Kept> {
    let roots = match program {
        // `llamacpp/models/<id>/model.gguf`, `models/<…>/<file>.gguf` before.
        Program::Jan => vec![root.join("llamacpp/models"), root.join("models")],
        // `hub/models/<owner>/<name>`, `hub/<owner>/<name>` before, `models/…` where the folder was moved.
        Program::ModelScope => vec![root.join("hub/models"), root.join("models"), root.join("hub"), root.to_path_buf()],
        _ => vec![root.to_path_buf()],
    };
    let found = roots.iter().flat_map(|folder| walk(folder, root).into_iter().map(move |path| (folder, path)));
    found.map(|(folder, path)| named(folder, path, program)).collect()
}

/// The models of Hugging Face's cache: `models--<owner>--<name>/snapshots/<commit>/…`.
pub(super) fn cached(root: &Path) -> Vec<Kept> {
    let mut models = Vec::new();
    for repository in entries(root).into_iter().take(FOLDERS_MAX) {
        let name = file_name(&repository);
        let Some(id) = name.strip_prefix("models--") else { continue };
        let id = id.replace("--", "/");
        // What a branch points at now, before snapshots of the past.
        let main = small_text(&repository.join("refs/main")).unwrap_or_default();
        let mut snapshots = entries(&repository.join("snapshots"));
        snapshots.sort_by_key(|snapshot| file_name(snapshot) != main.trim());
        for snapshot in snapshots {
            for path in walk(&snapshot, &repository) {
                if path.is_dir() && models.iter().any(|model: &Kept| model.name == id) {
                    continue;
                }
                let tag = file_name(&path);
                let name = if path.is_dir() { id.clone() } else { format!("{id} · {}", stem(&path)) };
                models.push(Kept { name, path, tag, sha256: None });
            }
        }
    }
    models
}

fn named(folder: &Path, path: PathBuf, program: Program) -> Kept {
    let above = path.parent().unwrap_or(folder);
    let name = if path.is_dir() { &path } else { above };
    let name = name.strip_prefix(folder).unwrap_or(name).to_string_lossy().replace('\\', "/");
    // ModelScope's programs write a dot in a name as three underscores.
    let name = if program == Program::ModelScope { name.replace("___", ".") } else { name };
    let tag = if program == Program::Jan { format!("{name}/{}", file_name(&path)) } else { file_name(&path) };
    let own = if program == Program::Jan { jans_name(above) } else { None };
    let name = match (own, path.is_dir() || program == Program::Jan && file_name(&path) == "model.gguf") {
        (Some(own), _) => own,
        (None, _) if name.is_empty() => stem(&path),
        (None, true) => name,
        (None, false) => format!("{name} · {}", stem(&path)),
    };
    Kept { name, path, tag, sha256: None }
}

/// The name in Jan's `model.yml`: one line of it, no more is needed.
fn jans_name(folder: &Path) -> Option<String> {
    let text = small_text(&folder.join("model.yml")).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    let name = name.trim().trim_matches(['"', '\'']);
    let sound = !name.is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control);
    sound.then(|| name.to_string())
}

/// GGUF files and folders of weights below a folder. Linked folders are not entered, and a file behind a link counts only
/// where the link leads to within `bounds`.
fn walk(folder: &Path, bounds: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = VecDeque::from([(folder.to_path_buf(), 0)]);
    let mut visited = 0;
    let inside = |path: &Path| path.canonicalize().is_ok_and(|real| real.starts_with(bounds));
    while let Some((folder, depth)) = waiting.pop_front() {
        visited += 1;
        if visited > FOLDERS_MAX {
            break;
        }
        if is_model_folder(&folder) && paths_of(&folder).is_ok_and(|files| files.iter().all(|file| inside(file))) {
            found.push(folder);
            continue;
        }
        let models = ggufs(&folder).into_iter();
        found.extend(models.filter(|path| !file_name(path).to_lowercase().starts_with(PROJECTOR) && inside(path)));
        if depth < DEPTH_MAX {
            let folders = entries(&folder).into_iter();
            let folders = folders.filter(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()));
            waiting.extend(folders.map(|folder| (folder, depth + 1)));
        }
    }
    found
}
