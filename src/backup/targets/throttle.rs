//! A limit for bytes per second, on average over one copy.

use std::time::Duration;

use tokio::time::Instant;

/// Counts what is sent and waits where that was too fast.
#[derive(Debug)]
pub(super) struct Throttle {
    per_second: u64,
    begun: Instant,
    sent: u64,
}

impl Throttle {
    /// 0: no limit.
    pub(super) fn new(per_second: u64) -> Self {
        Self {
            per_second,
            begun: Instant::now(),
            sent: 0,
        }
    }

    /// So many bytes were sent; returns when more may be.
    pub(super) async fn sent(&mut self, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
        let millis = self.sent.saturating_mul(1000).checked_div(self.per_second);
        if let Some(millis) = millis {
            tokio::time::sleep_until(self.begun + Duration::from_millis(millis)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_average_stays_below_the_limit() {
        let begun = Instant::now();
        let mut throttle = Throttle::new(1000);
        for _ in 0..5 {
            throttle.sent(500).await;
        }
        assert_eq!(begun.elapsed(), Duration::from_millis(2500));
        let mut free = Throttle::new(0);
        free.sent(u64::MAX).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(2500));
    }
}
