//! Names of a gateway's objects. The Service has the gateway's own name, as clients type it; the others carry a suffix,
//! as a namespace has objects of its own under common names (every one has a ServiceAccount `default`).

/// Name of the Service.
pub fn service(gateway: &str) -> String {
    gateway.to_owned()
}

/// Name of the Deployment and of all that belongs to its pods.
pub fn workload(gateway: &str) -> String {
    format!("{gateway}-gateway")
}
