//! The API server by kubeconfig: pods of this node, Secrets, ConfigMaps.
