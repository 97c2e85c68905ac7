use std::sync::Arc;

/// Writes one line of the log.
pub(crate) type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// The reason for which something failed last, so that the log has it once, and not at each look.
#[derive(Debug, Default)]
pub(crate) struct News(Option<String>);

impl News {
    /// Whether it fails now, for another reason than last.
    pub(crate) fn is(&mut self, why: Option<&str>) -> bool {
        let news = why.is_some() && self.0.as_deref() != why;
        self.0 = why.map(str::to_owned);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_news_once() {
        let mut news = News::default();
        let told = ["locked", "locked", "gone"].map(|why| news.is(Some(why)));
        assert_eq!(told, [true, false, true]);
        assert!(!news.is(None) && news.is(Some("gone")));
    }
}
