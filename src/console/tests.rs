//! The published document of the API.

use super::document;

#[test]
fn the_published_document_is_the_generated_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/openapi.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(file, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == generated,
        "{file} is not what the operations generate: run \
         `UPDATE_SCHEMAS=1 cargo test --release --lib console::` and commit it"
    );
}
