//! Our own engine: runs checkpoints through containerd.
