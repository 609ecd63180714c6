//! Version `v1alpha1`: one kind a file, shared pieces in [`shared`].

mod account;
mod answers;
mod backend;
mod balancing;
mod consumer;
mod embedded;
mod failover;
mod gateway;
mod gateway_limits;
mod route;
mod route_policy;
mod shared;

pub use account::{AccountBalance, AccountConcurrency, ModelConcurrency, UserId};
pub use answers::{Cache, CacheScope, KeepAlive};
pub use backend::{BackendTls, DeepSeekBackend, DeepSeekBackendSpec, DeepSeekBackendStatus, Flavor};
pub use balancing::{Affinity, Balancing, Strategy};
pub use consumer::{ConsumerApiKey, DeepSeekConsumer, DeepSeekConsumerSpec, DeepSeekConsumerStatus};
pub use failover::{Backoff, CircuitBreaker, Failover, Fallback, MidStream, RetryOn, StaticAnswer};
pub use gateway::{
    AllowedNamespaces, AllowedRoutes, AuthMode, Autoscaling, DeepSeekGateway, DeepSeekGatewaySpec,
    DeepSeekGatewayStatus, Drain, GatewayAuth, Listener, ListenerProtocol, ListenerTls, LocalSecretRef,
    LogLevel, NetworkPolicySettings, PodSettings, Replicas, ServiceSettings, ServiceType,
};
pub use gateway_limits::GatewayLimits;
pub use route::{
    BackendHealth, BackendState, ConsumerSelector, DeepSeekRoute, DeepSeekRouteSpec, DeepSeekRouteStatus,
    RouteAccess, RouteBackend, RouteTraffic,
};
pub use route_policy::{Quota, QuotaMode, QuotaPer, Timeouts};
pub use shared::{DurationString, GatewayRef, NamespacedRef, SecretKeyRef, SecretSource, WindowString};
