//! containerd as a source: sandboxes, tasks, events, images.
