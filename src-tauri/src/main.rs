//! Starts the window. Before any thread: one setting that some graphics drivers need.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

fn main() -> tauri::Result<()> {
    #[cfg(target_os = "linux")]
    if std::env::var_os("WEBKIT_DISABLE_DMABUF_RENDERER").is_none() && shares_no_buffers() {
        // SAFETY: this is the first statement of the program; no other thread exists that could read the environment.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("WEBKIT_DISABLE_DMABUF_RENDERER", "1");
        }
    }
    huacaya_app_desktop::run()
}

/// WebKitGTK paints a blank window where graphics buffers cannot be shared: with NVIDIA's own driver, and without a render node.
#[cfg(target_os = "linux")]
fn shares_no_buffers() -> bool {
    let render_node = std::fs::read_dir("/dev/dri")
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("renderD")));
    !render_node || std::path::Path::new("/proc/driver/nvidia/version").exists()
}
