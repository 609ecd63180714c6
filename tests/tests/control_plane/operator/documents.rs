//! From resources to ConfigMaps and the Secret of projected keys, and away again.

use super::support::{GATEWAY, Room, SOON, route, secret};
use anyhow::ensure;
use deepseek_config::document::{Body, Kind};
use deepseek_crds::v1alpha1::DeepSeekRoute;
use deepseek_tests::kubernetes::eventually;

#[tokio::test]
async fn a_route_becomes_a_document_and_its_key_is_projected() {
    let (room, operator) = Room::with_operator("document").await;
    room.apply(
        &[GATEWAY, &secret("deepseek", "sk-of-the-account"), &route("chat", "deepseek-chat", "deepseek")]
            .concat(),
    )
    .await;

    let documents = eventually("the documents are there", SOON, async || {
        let documents = room.documents("gw").await?;
        ensure!(documents.len() == 2, "{documents:?}\n{}", operator.log());
        Ok(documents)
    })
    .await;
    let Body::Route(document) = &documents[&room.id(Kind::Route, "chat")].body else {
        panic!("{documents:?}")
    };
    assert_eq!(document.model, "deepseek-chat");
    let keys = room.keys("gw").await.unwrap();
    assert_eq!(
        keys.into_iter().collect::<Vec<_>>(),
        [(format!("{}_deepseek_key", room.namespace), "sk-of-the-account".to_owned())]
    );
    room.condition::<DeepSeekRoute>("chat", "Accepted", "True", "Accepted").await;
    room.condition::<DeepSeekRoute>("chat", "ResolvedRefs", "True", "ResolvedRefs").await;
    room.condition::<DeepSeekRoute>("chat", "Ready", "False", "NoGatewayPods").await;
}
