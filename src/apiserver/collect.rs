//! Complete lists of what an API server has, for a recovery: asked once, in pages, followed never.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::ask::{Asker, escaped};
use crate::core::reading::{Unseen, UnseenKind};

/// Objects in one answer: twenty of the largest Secrets stay below the bound of an answer.
const PAGE: usize = 20;
/// Most objects of one list.
const MOST: usize = 128 << 10;

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: Meta,
    items: Option<Vec<Value>>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Asker {
    /// The objects of the collection at `path`, passed to `take` one by one.
    ///
    /// # Errors
    /// Where the API server cannot be asked, or does not give all of them.
    pub async fn each(&self, path: &str, mut take: impl FnMut(Value)) -> Result<(), Unseen> {
        let mut next = String::new();
        let mut count = 0;
        loop {
            let query = format!("{path}?limit={PAGE}&continue={}", escaped(&next));
            let reply = self.send(Method::GET, &query, None).await?;
            let list: List = reply.object()?;
            let items = list.items.unwrap_or_default();
            count += items.len();
            items.into_iter().for_each(&mut take);
            next = list.metadata.next;
            if next.is_empty() {
                return Ok(());
            }
            if count > MOST {
                let text = format!("the list {path} has more than {MOST} objects");
                return Err(Unseen::new(UnseenKind::TooLarge, text));
            }
        }
    }
}
