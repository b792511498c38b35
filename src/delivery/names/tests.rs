use super::Names;

#[tokio::test]
async fn names_and_what_is_none() {
    let names = Names::default();
    let found = names.look_up("localhost".to_owned()).await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    assert!(!found.is_empty());
    assert!(names.look_up("no such name".to_owned()).await.is_err());
}
