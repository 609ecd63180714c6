//! `GET /models` and `GET /user/balance`.

use super::object::object;
use crate::{Account, Options};

/// The list of models; as on the real one, without `created`.
pub(crate) fn list(options: &Options) -> String {
    let owner = if options.flavor.is_deepseek() { "deepseek" } else { options.name.as_str() };
    let models = options.models.iter().map(|id| object! {"id": id, "object": "model", "owned_by": owner});
    object! {"object": "list", "data": models.collect::<Vec<_>>()}.to_text()
}

/// The balance; amounts are strings.
pub(crate) fn balance(account: &Account) -> String {
    let (total, granted, topped_up) = match &account.balance {
        Some(total) => (total.as_str(), "0.00", total.as_str()),
        None => ("110.00", "10.00", "100.00"),
    };
    let info = object! {
        "currency": account.currency.as_deref().unwrap_or("CNY"), "total_balance": total, "granted_balance": granted,
        "topped_up_balance": topped_up,
    };
    object! {"is_available": !account.is_broke(), "balance_infos": [info]}.to_text()
}
