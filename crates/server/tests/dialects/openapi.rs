//! What the server says of itself.

use std::collections::BTreeSet;

use huacaya_server::ROUTES;
use serde_json::Value;

use crate::served::Served;

const SCHEMAS: &str = "#/components/schemas/";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_names_is_there() {
    let served = Served::start().await;
    let heard = served.get("/openapi.json").await;
    assert_eq!(heard.status, 200);
    let document = heard.json();

    let text = document.to_string();
    let named: BTreeSet<&str> =
        text.split(&format!("\"{SCHEMAS}")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(named, schemas.keys().map(String::as_str).collect::<BTreeSet<_>>());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_described_as_they_are_read() {
    let served = Served::start().await;
    let document = served.get("/openapi.json").await.json();
    let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_else(|| panic!("{pointer}: {document}"));
    let request = "/paths/~1v1~1chat~1completions/post/requestBody/content/application~1json/schema";
    assert_eq!(at(&format!("{request}/allOf/1/$ref")), format!("{SCHEMAS}Drawing"));
    // The border that the document tells of is the one that holds.
    let border = at("/components/schemas/Drawing/properties/temperature/maximum").as_f64().unwrap();
    for (temperature, status) in [(border, 200), (border + 0.5, 400)] {
        let asked = serde_json::json!({"prompt": "1, 2,", "max_tokens": 1, "temperature": temperature});
        assert_eq!(served.post("/v1/completions", asked).await.status, status, "{temperature}");
    }
    assert_eq!(at("/paths/~1health/get/security"), Value::Array(Vec::new()));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_tells_of_all_routes_and_of_no_others() {
    let served = Served::start().await;
    let document = served.get("/openapi.json").await.json();
    let told: BTreeSet<(String, String)> = (document["paths"].as_object().unwrap().iter())
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .filter(|(method, _)| ["GET", "POST", "PUT", "DELETE"].contains(&method.as_str()))
        .collect();
    let there = ROUTES.iter().map(|route| (route.method.to_string(), route.path.replace("{*", "{")));
    assert_eq!(told, there.collect());
    served.end().await;
}
