//! The handle of a running fake.

use std::{fmt::Display, io, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    Account, Options, Recorded, Scenario, Stats, Target,
    replay::Recordings,
    server::{Door, Life, accept},
    state::State,
};

/// A running fake. Dropping it kills it.
#[derive(Debug)]
pub struct Mock {
    state: Arc<State>,
    addr: SocketAddr,
    admin: Option<SocketAddr>,
    life: Mutex<Life>,
    /// The admin listener survives a kill.
    admin_life: Life,
    /// Keeps the address while the fake is dead: bound, not listening, so that connects are refused.
    grave: Mutex<Option<TcpSocket>>,
}

/// A condition did not come true in time.
#[derive(Clone, Debug)]
pub struct TimedOut {
    /// How long was waited.
    pub after: Duration,
    /// The counters at the end.
    pub stats: Box<Stats>,
}

impl Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the condition did not come true within {:?}; at the end: {:?}", self.after, self.stats)
    }
}

impl std::error::Error for TimedOut {}

impl Mock {
    /// Starts a fake; it listens once this returns.
    pub async fn start(options: Options) -> io::Result<Self> {
        let recordings =
            options.recorded.as_deref().map_or_else(|| Ok(Recordings::default()), Recordings::load)?;
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let admin_listener = match options.admin {
            Some(addr) => Some(TcpListener::bind(addr).await?),
            None => None,
        };
        let admin = admin_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let state = State::new(options, recordings);
        let (life, admin_life) = (Life::default(), Life::default());
        life.tasks.spawn(accept(listener, Door::Front, state.clone(), life.clone()));
        if let Some(listener) = admin_listener {
            admin_life.tasks.spawn(accept(listener, Door::Admin, state.clone(), admin_life.clone()));
        }
        Ok(Self { state, addr, admin, life: Mutex::new(life), admin_life, grave: Mutex::new(None) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its admin paths are, besides the same port.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// `http://ADDR` (or `https://`), without a slash at the end.
    pub fn base_url(&self) -> String {
        let scheme = if self.state.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// Its name, as answers say it.
    pub fn name(&self) -> &str {
        &self.state.options.name
    }

    /// Sets the scenario of requests that choose none themselves and have none set for their key or model.
    ///
    /// Takes a [`Scenario`] or its text, as in `mock.set_default("cut?cut_after=5")`.
    ///
    /// # Panics
    /// If the text is no scenario.
    pub fn set_default<S: TryInto<Scenario, Error: Display>>(&self, scenario: S) {
        self.set_scenario(Target::Default, scenario);
    }

    /// Sets the scenario of requests for a model.
    ///
    /// # Panics
    /// If the text is no scenario.
    pub fn set_for_model<S: TryInto<Scenario, Error: Display>>(&self, model: &str, scenario: S) {
        self.set_scenario(Target::Model(model.to_owned()), scenario);
    }

    /// Sets the scenario of requests with an API key.
    ///
    /// # Panics
    /// If the text is no scenario.
    pub fn set_for_key<S: TryInto<Scenario, Error: Display>>(&self, key: &str, scenario: S) {
        self.set_scenario(Target::Key(key.to_owned()), scenario);
    }

    /// Sets the scenario of requests for an end user (`user_id`).
    ///
    /// # Panics
    /// If the text is no scenario.
    pub fn set_for_user<S: TryInto<Scenario, Error: Display>>(&self, user: &str, scenario: S) {
        self.set_scenario(Target::User(user.to_owned()), scenario);
    }

    /// Sets a scenario; requests already under way keep theirs.
    ///
    /// # Panics
    /// If the text is no scenario.
    #[expect(
        clippy::panic,
        reason = "a misspelt scenario is a mistake in the test that sets it, to be seen at once"
    )]
    pub fn set_scenario<S: TryInto<Scenario, Error: Display>>(&self, target: Target, scenario: S) {
        match scenario.try_into() {
            Ok(scenario) => self.state.set(target, scenario),
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes a scenario set for a model, key or user back.
    pub fn unset(&self, target: &Target) {
        self.state.unset(target);
    }

    /// Changes an account (`default`, unless [`Options::accounts`] gives its keys another): its balance, its limits.
    /// Requests already under way keep their places.
    pub fn change_account(&self, name: &str, change: impl FnOnce(&mut Account)) {
        self.state.change_account(name, change);
    }

    /// Gives the account `default` a balance, such as `0.00`: at 0 or below, requests get 402.
    pub fn set_balance(&self, balance: &str) {
        self.change_account("default", |account| account.balance = Some(balance.to_owned()));
    }

    /// Limits the requests in flight of the account `default` per model, or takes the limit back.
    pub fn set_concurrency(&self, limit: Option<u32>) {
        self.change_account("default", |account| account.concurrency = limit);
    }

    /// The requests received, oldest first, if they are kept.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.read(|books| books.records.all())
    }

    /// The newest request.
    pub fn last_request(&self) -> Option<Recorded> {
        self.requests().pop()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Scenarios and accounts back to the start; counters and records emptied.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Waits until the counters satisfy a condition, woken by each change of them.
    pub async fn wait_for(
        &self,
        condition: impl Fn(&Stats) -> bool,
        within: Duration,
    ) -> Result<Stats, TimedOut> {
        match tokio::time::timeout(within, self.state.until(condition)).await {
            Ok(stats) => Ok(stats),
            Err(_) => Err(TimedOut { after: within, stats: Box::new(self.stats()) }),
        }
    }

    /// Dies as a machine does: connections are reset, connects refused. The port stays reserved for [`Self::restart`].
    pub async fn kill(&self) -> io::Result<()> {
        let life = self.life.lock().clone();
        life.kill.cancel();
        life.tasks.close();
        life.tasks.wait().await;
        *self.grave.lock() = Some(bind(self.addr)?);
        Ok(())
    }

    /// Lives again on the same port, with the same scenarios, counters and records.
    pub async fn restart(&self) -> io::Result<()> {
        if !self.life.lock().kill.is_cancelled() {
            self.kill().await?;
        }
        let grave = self.grave.lock().take();
        let socket = grave.map_or_else(|| bind(self.addr), Ok)?;
        let listener = socket.listen(1024)?;
        let life = Life::default();
        life.tasks.spawn(accept(listener, Door::Front, self.state.clone(), life.clone()));
        *self.life.lock() = life;
        Ok(())
    }

    /// Resets all open connections; new ones are accepted.
    pub async fn drop_connections(&self) -> io::Result<()> {
        self.kill().await?;
        self.restart().await
    }

    /// Stops well: no new connections, answers under way are finished, within the time given; then the rest is reset.
    pub async fn shutdown(&self, within: Duration) {
        let life = self.life.lock().clone();
        life.stop.cancel();
        life.tasks.close();
        if tokio::time::timeout(within, life.tasks.wait()).await.is_err() {
            life.kill.cancel();
            life.tasks.wait().await;
        }
        self.admin_life.kill.cancel();
        self.admin_life.tasks.close();
        self.admin_life.tasks.wait().await;
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.life.lock().kill.cancel();
        self.admin_life.kill.cancel();
    }
}
