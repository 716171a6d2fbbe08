//! The one thing that the CRI plugin is asked for itself, because only its own memory counts for the
//! kubelet: that it forgets a container that has ended.

use containerd_client::tonic::client::Grpc;
use containerd_client::tonic::codegen::http::uri::PathAndQuery;
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{Containerd, Error, found};

const CALL: &str = "RuntimeService.RemoveContainer";
/// The second one for containerd before 1.6.
const METHODS: [&str; 2] = [
    "/runtime.v1.RuntimeService/RemoveContainer",
    "/runtime.v1alpha2.RuntimeService/RemoveContainer",
];

/// Source: `k8s.io/cri-api` `pkg/apis/runtime/v1/api.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct RemoveContainerRequest {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RemoveContainerResponse {}

impl Containerd {
    /// Removes a container of the kubelet's that has ended. That it is not there is fine. One that
    /// runs would be killed: only for what was seen to have ended.
    ///
    /// # Errors
    /// Where containerd does not answer, or knows no CRI.
    pub async fn forget_ended(&self, id: &str) -> Result<(), Error> {
        let namespace = self.config().cri_namespace.as_str();
        let mut last = Ok(());
        for method in METHODS {
            let message = RemoveContainerRequest {
                container_id: id.to_owned(),
            };
            let answer = self.call(CALL, namespace, message, |channel, request| {
                unary(method, channel, request)
            });
            last = found(answer.await).map(drop);
            let unknown = matches!(
                &last,
                Err(Error::Refused {
                    code: Code::Unimplemented,
                    ..
                })
            );
            if !unknown {
                break;
            }
        }
        last
    }
}

async fn unary(
    method: &'static str,
    channel: Channel,
    request: Request<RemoveContainerRequest>,
) -> Result<Response<RemoveContainerResponse>, Status> {
    let mut grpc = Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(method);
    grpc.unary(request, path, ProstCodec::default()).await
}
