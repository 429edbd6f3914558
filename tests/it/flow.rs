//! flow.js, request by request, through the whole stack.

use crate::support::TestApp;

#[tokio::test]
async fn chunks_in_any_order_become_one_file() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").force_chunk_size();
    file.probe(1).await.assert_status(204);
    file.send([3, 1]).await.assert_status(200);
    let last = file.post(2).await;
    last.assert_status(201);
    file.assert_completed(&last);
    file.probe(2).await.assert_status(200);
    assert_eq!(app.creatives().await.len(), 1);
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}
