//! What one task does again and again. Each call checks its answers.

use crate::data::{Key, Keys, Size, Walk};
use crate::peers::{Answer, Client, Failure};

pub(super) trait Call<C>: Send + 'static {
    fn call(&mut self, client: &mut C) -> impl Future<Output = Answer<()>> + Send;
}

pub(super) struct Get(Walk);

impl Get {
    pub(super) fn new(keys: &'static Keys, task: u32) -> Get {
        Get(Walk::new(keys, task))
    }

    pub(super) fn size(&self) -> Size {
        self.0.size()
    }
}

impl<C: Client> Call<C> for Get {
    async fn call(&mut self, client: &mut C) -> Answer<()> {
        let key = self.0.next_key();
        let value = client.get(key).await?;
        check(self.0.size(), key, value.as_ref())
    }
}

pub(super) struct Set {
    walk: Walk,
    value: Vec<u8>,
}

impl Set {
    pub(super) fn new(keys: &'static Keys, task: u32) -> Set {
        let walk = Walk::new(keys, task);
        Set {
            value: vec![b'x'; walk.size().bytes()],
            walk,
        }
    }
}

impl<C: Client> Call<C> for Set {
    async fn call(&mut self, client: &mut C) -> Answer<()> {
        let key = self.walk.next_key();
        // The value that the key has already, so that whoever reads finds what was loaded.
        self.value[..key.text.len()].copy_from_slice(key.text.as_bytes());
        client.set(key, &self.value).await
    }
}

/// Many keys in one call.
pub(super) struct Many {
    walk: Walk,
    how: How,
    keys: Vec<Key>,
}

enum How {
    Mget,
    Pipeline,
}

impl Many {
    pub(super) fn mget(keys: &'static Keys, task: u32, count: u32) -> Many {
        Many::new(keys, task, count, How::Mget)
    }

    pub(super) fn pipeline(keys: &'static Keys, task: u32, count: u32) -> Many {
        Many::new(keys, task, count, How::Pipeline)
    }

    fn new(keys: &'static Keys, task: u32, count: u32, how: How) -> Many {
        let mut walk = Walk::new(keys, task);
        Many {
            how,
            keys: (0..count).map(|_| walk.next_key()).collect(),
            walk,
        }
    }
}

impl<C: Client> Call<C> for Many {
    async fn call(&mut self, client: &mut C) -> Answer<()> {
        for key in &mut self.keys {
            *key = self.walk.next_key();
        }
        let values = match self.how {
            How::Mget => client.mget(&self.keys).await?,
            How::Pipeline => client.pipeline(&self.keys).await?,
        };
        if values.len() != self.keys.len() {
            let (got, asked) = (values.len(), self.keys.len());
            return Err(Failure::Wrong(format!("{got} answers to {asked} keys")));
        }
        for (key, value) in self.keys.iter().zip(&values) {
            check(self.walk.size(), *key, value.as_ref())?;
        }
        Ok(())
    }
}

fn check(size: Size, key: Key, value: &[u8]) -> Answer<()> {
    if size.is_value_of(key.text, value) {
        return Ok(());
    }
    let begin = String::from_utf8_lossy(&value[..value.len().min(24)]).into_owned();
    Err(Failure::Wrong(format!(
        "{} was answered with {} bytes that begin with {begin:?}; expected {} that begin with the key",
        key.text,
        value.len(),
        size.bytes()
    )))
}
