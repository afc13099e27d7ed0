//! Writes `ui/src/api/bindings.ts` anew (`-- write`), or prints it.

fn main() -> std::io::Result<()> {
    let text = huacaya_app::bindings::typescript();
    if std::env::args().nth(1).as_deref() == Some("write") {
        return std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/src/api/bindings.ts"), text);
    }
    print!("{text}");
    Ok(())
}
