//! Version `v1alpha1`: one kind a file, shared pieces in [`shared`].

mod backend;
mod consumer;
mod embedded;
mod gateway;
mod route;
mod route_policy;
mod shared;

pub use backend::{BackendTls, DeepSeekBackend, DeepSeekBackendSpec, DeepSeekBackendStatus, Flavor, UserId};
pub use consumer::{ConsumerApiKey, DeepSeekConsumer, DeepSeekConsumerSpec, DeepSeekConsumerStatus};
pub use gateway::{
    AllowedNamespaces, AllowedRoutes, AuthMode, Autoscaling, DeepSeekGateway, DeepSeekGatewaySpec,
    DeepSeekGatewayStatus, Drain, GatewayAuth, GatewayLimits, Listener, ListenerProtocol, ListenerTls,
    LocalSecretRef, LogLevel, NetworkPolicySettings, PodSettings, Replicas, ServiceSettings, ServiceType,
};
pub use route::{
    BackendHealth, BackendState, ConsumerSelector, DeepSeekRoute, DeepSeekRouteSpec, DeepSeekRouteStatus,
    RouteAccess, RouteBackend, RouteTraffic,
};
pub use route_policy::{
    Affinity, Backoff, CacheScope, CircuitBreaker, Failover, MidStream, Quota, QuotaMode, QuotaPer, RetryOn,
    Strategy, Timeouts,
};
pub use shared::{DurationString, GatewayRef, NamespacedRef, SecretKeyRef, SecretSource, WindowString};
